//! The limits of a container that has processes already: one about to start, or a running one.

use std::fs;
use std::path::Path;

use cri::v1;
use serde::{Deserialize, Serialize};

use crate::cgroups::Cgroups;
use crate::error::{At, Error, Result};
use crate::files;

/// The file of [`AtStart`] in a container's directory.
const FILE: &str = "limits.json";

/// The limits that are set once a container is made, just before its program begins: making it takes more memory and
/// processor time than a small container may have.
#[derive(Serialize, Deserialize)]
pub(crate) struct AtStart {
    cgroup: String,
    #[serde(with = "crate::wire")]
    wanted: v1::LinuxContainerResources,
}

impl AtStart {
    /// Of a container's request: memory, and processor time by quota. The rest is in its specification.
    pub(crate) fn of(config: &v1::ContainerConfig, cgroup: &str) -> Self {
        let asked = config.linux.as_ref().and_then(|linux| linux.resources.clone()).unwrap_or_default();
        let wanted = v1::LinuxContainerResources {
            cpu_period: asked.cpu_period,
            cpu_quota: asked.cpu_quota,
            memory_limit_in_bytes: asked.memory_limit_in_bytes,
            memory_swap_limit_in_bytes: asked.memory_swap_limit_in_bytes,
            ..v1::LinuxContainerResources::default()
        };
        Self { cgroup: cgroup.to_owned(), wanted }
    }

    /// For the shim, which has the container's directory only.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        files::write_json(&directory.join(FILE), self)
    }

    /// Sets the limits that were written down for a container.
    pub(crate) fn apply(directory: &Path) -> Result<()> {
        let missing = || Error::Start(format!("no {FILE}"));
        let limits: Self = files::read_json(&directory.join(FILE))?.ok_or_else(missing)?;
        apply(&Cgroups::read()?, &limits.cgroup, &limits.wanted)
    }
}

/// Writes the limits that are set (not 0) to the cgroup at `path`.
pub(crate) fn apply(cgroups: &Cgroups, path: &str, wanted: &v1::LinuxContainerResources) -> Result<()> {
    let find = |controller: &str| {
        cgroups
            .directory(controller, path)
            .ok_or_else(|| Error::Precondition(format!("the {controller} controller is not available")))
    };
    let is_unified = cgroups.is_unified();
    if wanted.cpu_shares != 0 {
        let (name, value) = match is_unified {
            true => ("cpu.weight", weight(wanted.cpu_shares)),
            false => ("cpu.shares", wanted.cpu_shares),
        };
        set(&find("cpu")?, name, &value.to_string())?;
    }
    if wanted.cpu_quota != 0 || wanted.cpu_period != 0 {
        set_quota(&find("cpu")?, is_unified, wanted.cpu_quota, wanted.cpu_period)?;
    }
    if wanted.memory_limit_in_bytes != 0 {
        let (memory, swap) = (wanted.memory_limit_in_bytes, wanted.memory_swap_limit_in_bytes);
        set_memory(&find("memory")?, is_unified, memory, if swap == 0 { memory } else { swap })?;
    }
    for (name, value) in [("cpuset.cpus", &wanted.cpuset_cpus), ("cpuset.mems", &wanted.cpuset_mems)] {
        if !value.is_empty() {
            set(&find("cpuset")?, name, value)?;
        }
    }
    Ok(())
}

/// `with_swap` is memory and swap together, as in version 1 and in the request.
fn set_memory(directory: &Path, is_unified: bool, limit: i64, with_swap: i64) -> Result<()> {
    if is_unified {
        let or_max = |amount: i64| if amount < 0 { "max".to_owned() } else { amount.to_string() };
        if directory.join("memory.swap.max").exists() {
            let swap = if with_swap < 0 { -1 } else { (with_swap - limit).max(0) };
            set(directory, "memory.swap.max", &or_max(swap))?;
        }
        return set(directory, "memory.max", &or_max(limit));
    }
    // Memory alone may never be allowed more than memory and swap together: so that grows first and shrinks last.
    let mut values = vec![("memory.limit_in_bytes", limit), ("memory.memsw.limit_in_bytes", with_swap)];
    // A kernel that does not count swap has no second file.
    values.retain(|(name, _)| directory.join(name).exists());
    let now = fs::read_to_string(directory.join("memory.limit_in_bytes")).unwrap_or_default();
    if now.trim().parse::<i64>().is_ok_and(|now| now < limit) {
        values.reverse();
    }
    values.into_iter().try_for_each(|(name, value)| set(directory, name, &value.to_string()))
}

fn set_quota(directory: &Path, is_unified: bool, quota: i64, period: i64) -> Result<()> {
    if is_unified {
        let quota = if quota <= 0 { "max".to_owned() } else { quota.to_string() };
        let period = if period == 0 { 100_000 } else { period };
        return set(directory, "cpu.max", &format!("{quota} {period}"));
    }
    if period != 0 {
        set(directory, "cpu.cfs_period_us", &period.to_string())?;
    }
    if quota != 0 { set(directory, "cpu.cfs_quota_us", &quota.to_string()) } else { Ok(()) }
}

/// Version 1's shares (2 to 262144) on version 2's scale (1 to 10000), as a container has them from its creation: by the
/// formula of newer runtimes, for which 1024 shares are the weight 100 that a group has by itself.
fn weight(shares: i64) -> i64 {
    let shares = u32::try_from(shares.clamp(2, 262_144)).map_or(2.0, f64::from);
    let log = shares.log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    // The last step may round to just above the scale's end, and is then rounded up.
    (10_f64.powf(exponent).ceil() as i64).min(10_000)
}

fn set(directory: &Path, name: &str, value: &str) -> Result<()> {
    let path = directory.join(name);
    fs::write(&path, value).at("write", &path)
}

#[cfg(test)]
mod tests {
    #[test]
    fn shares_become_weights() {
        assert_eq!([0, 2, 10, 1024, 262_144].map(super::weight), [1, 1, 4, 100, 10_000]);
    }
}
