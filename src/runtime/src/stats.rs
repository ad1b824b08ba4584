//! What containers, sandboxes and images use: read from cgroups and directories when asked, never in between.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use cri::v1;

use crate::cgroups::Cgroups;
use crate::container::Container;
use crate::core::Core;
use crate::error::Result;
use crate::sandbox::{self, Sandbox};
use crate::{clock, process};

pub(crate) fn of_container(core: &Core, container: &Arc<Container>) -> v1::ContainerStats {
    let summary = container.summary();
    let path = &container.record.cgroup_path;
    v1::ContainerStats {
        attributes: Some(v1::ContainerAttributes {
            id: summary.id,
            metadata: summary.metadata,
            labels: summary.labels,
            annotations: summary.annotations,
        }),
        cpu: cpu(&core.cgroups, path),
        memory: memory(&core.cgroups, path),
        writable_layer: Some(usage(&container.directory.join("upper"), &core.config.root)),
        swap: None,
    }
}

pub(crate) fn of_sandbox(core: &Core, sandbox: &Arc<Sandbox>) -> v1::PodSandboxStats {
    let summary = sandbox.summary();
    let containers = core.containers_of(&sandbox.id);
    let running: Vec<_> = containers.iter().filter(|c| c.running().is_ok()).collect();
    let path = sandbox::life::cgroup_parent(core, &sandbox.record().config);
    // Where several sandboxes share a parent, its figures are not this one's.
    let is_own = path != core.config.cgroup_root;
    let count = running.iter().map(|c| core.cgroups.processes(&c.record.cgroup_path).len() as u64).sum();
    v1::PodSandboxStats {
        attributes: Some(v1::PodSandboxAttributes {
            id: summary.id,
            metadata: summary.metadata,
            labels: summary.labels,
            annotations: summary.annotations,
        }),
        linux: Some(v1::LinuxPodSandboxStats {
            cpu: cpu(&core.cgroups, &path).filter(|_| is_own),
            memory: memory(&core.cgroups, &path).filter(|_| is_own),
            network: network(sandbox),
            process: Some(v1::ProcessUsage { timestamp: clock::now_ns(), process_count: value(count) }),
            containers: running.into_iter().map(|container| of_container(core, container)).collect(),
        }),
        ..v1::PodSandboxStats::default()
    }
}

/// Usage of the images' and of the containers' files.
pub(crate) fn of_file_systems(core: &Core) -> Result<(v1::FilesystemUsage, v1::FilesystemUsage)> {
    let root = &core.config.root;
    let containers = core.containers.all();
    let mut written = usage(Path::new("/nonexistent"), root);
    for container in &containers {
        let one = usage(&container.directory.join("upper"), root);
        add(&mut written.used_bytes, one.used_bytes);
        add(&mut written.inodes_used, one.inodes_used);
    }
    Ok((usage(&core.images.layers_dir(), root), written))
}

fn cpu(cgroups: &Cgroups, path: &str) -> Option<v1::CpuUsage> {
    let ns = if cgroups.is_unified() {
        keyed(&read(cgroups, "cpu", path, "cpu.stat")?).get("usage_usec")? * 1000
    } else {
        read(cgroups, "cpuacct", path, "cpuacct.usage")?.trim().parse().ok()?
    };
    Some(v1::CpuUsage {
        timestamp: clock::now_ns(),
        usage_core_nano_seconds: value(ns),
        usage_nano_cores: None,
    })
}

fn memory(cgroups: &Cgroups, path: &str) -> Option<v1::MemoryUsage> {
    let is_unified = cgroups.is_unified();
    let stat = keyed(&read(cgroups, "memory", path, "memory.stat")?);
    let get = |v1_name: &str, v2_name: &str| {
        stat.get(if is_unified { v2_name } else { v1_name }).copied().unwrap_or_default()
    };
    let (usage_file, limit_file) = if is_unified {
        ("memory.current", "memory.max")
    } else {
        ("memory.usage_in_bytes", "memory.limit_in_bytes")
    };
    let number = |name| read(cgroups, "memory", path, name).and_then(|text| text.trim().parse::<u64>().ok());
    let usage = number(usage_file)?;
    // Page cache that can go at any time is not part of the working set.
    let working_set = usage.saturating_sub(get("total_inactive_file", "inactive_file"));
    // Version 1 says "none" with a number near the largest.
    let limit = number(limit_file).filter(|limit| *limit < 1 << 60);
    Some(v1::MemoryUsage {
        timestamp: clock::now_ns(),
        working_set_bytes: value(working_set),
        available_bytes: limit.and_then(|limit| value(limit.saturating_sub(working_set))),
        usage_bytes: value(usage),
        rss_bytes: value(get("total_rss", "anon")),
        page_faults: value(get("total_pgfault", "pgfault")),
        major_page_faults: value(get("total_pgmajfault", "pgmajfault")),
    })
}

/// The interfaces in a sandbox's network namespace, as its monitor sees them.
fn network(sandbox: &Sandbox) -> Option<v1::NetworkUsage> {
    if sandbox::is_node(sandbox::namespace_options(&sandbox.record().config).network) {
        return None;
    }
    let monitor: process::Identity = sandbox.monitor_identity().filter(|monitor| monitor.is_alive())?;
    let text = fs::read_to_string(format!("/proc/{}/net/dev", monitor.pid)).ok()?;
    let mut interfaces: Vec<_> = text.lines().filter_map(interface).filter(|i| i.name != "lo").collect();
    let default_interface =
        interfaces.iter().position(|i| i.name == "eth0").map(|index| interfaces.remove(index));
    Some(v1::NetworkUsage { timestamp: clock::now_ns(), default_interface, interfaces })
}

/// A line of `/proc/net/dev`: name, eight numbers received, eight sent.
fn interface(line: &str) -> Option<v1::NetworkInterfaceUsage> {
    let (name, numbers) = line.split_once(':')?;
    let numbers: Vec<u64> = numbers.split_whitespace().map_while(|word| word.parse().ok()).collect();
    Some(v1::NetworkInterfaceUsage {
        name: name.trim().to_owned(),
        rx_bytes: value(*numbers.first()?),
        rx_errors: value(*numbers.get(2)?),
        tx_bytes: value(*numbers.get(8)?),
        tx_errors: value(*numbers.get(10)?),
    })
}

fn read(cgroups: &Cgroups, controller: &str, path: &str, name: &str) -> Option<String> {
    fs::read_to_string(cgroups.directory(controller, path)?.join(name)).ok()
}

/// Lines of a name and a number.
fn keyed(text: &str) -> HashMap<String, u64> {
    let pair =
        |line: &str| Some((line.split_once(' ')?.0.to_owned(), line.split_once(' ')?.1.trim().parse().ok()?));
    text.lines().filter_map(pair).collect()
}

/// The disk space of everything below `directory`, on the file system of `root`.
fn usage(directory: &Path, root: &Path) -> v1::FilesystemUsage {
    let (mut bytes, mut inodes) = (0, 0);
    sum(directory, &mut bytes, &mut inodes);
    v1::FilesystemUsage {
        timestamp: clock::now_ns(),
        fs_id: Some(v1::FilesystemIdentifier { mountpoint: root.to_string_lossy().into_owned() }),
        used_bytes: value(bytes),
        inodes_used: value(inodes),
    }
}

/// Files that vanish meanwhile are not counted.
fn sum(path: &Path, bytes: &mut u64, inodes: &mut u64) {
    let Ok(metadata) = fs::symlink_metadata(path) else { return };
    *inodes += 1;
    *bytes += metadata.blocks() * 512;
    if metadata.is_dir() {
        fs::read_dir(path)
            .into_iter()
            .flatten()
            .flatten()
            .for_each(|entry| sum(&entry.path(), bytes, inodes));
    }
}

fn value(value: u64) -> Option<v1::UInt64Value> {
    Some(v1::UInt64Value { value })
}

fn add(total: &mut Option<v1::UInt64Value>, more: Option<v1::UInt64Value>) {
    if let (Some(total), Some(more)) = (total, more) {
        total.value += more.value;
    }
}
