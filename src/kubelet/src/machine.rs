//! The machine the node is on: its size and how it calls itself. Read once at the start.

use std::{fs, path::Path};

use crate::thresholds::{EvictionHard, Signal};

/// Facts about the machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    pub cores: i64,
    pub memory_bytes: i64,
    /// Of the file system with the kubelet's data.
    pub storage_bytes: i64,
    /// Of memory and storage, what pods do not get: the node would count as short.
    kept_memory_bytes: i64,
    kept_storage_bytes: i64,
    /// Page size (as in `hugepages-2Mi`) and bytes set aside, for each size the kernel has.
    pub hugepages: Vec<(String, i64)>,
    pub machine_id: String,
    pub system_uuid: String,
    pub boot_id: String,
    pub kernel_version: String,
    pub os_image: String,
    pub architecture: &'static str,
    /// Whether the kernel enforces AppArmor profiles.
    pub has_apparmor: bool,
}

/// How many pods a node takes.
pub(crate) const MAX_PODS: i64 = 110;

/// How much of it pods may use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Amounts {
    pub milli_cpu: i64,
    pub memory_bytes: i64,
    pub ephemeral_bytes: i64,
}

impl Machine {
    pub(crate) fn read(data_dir: &Path, eviction_hard: &EvictionHard) -> Self {
        let kept = |signal, whole: i64| {
            let kept = eviction_hard.kept(signal, u64::try_from(whole).unwrap_or(0));
            i64::try_from(kept).unwrap_or(i64::MAX)
        };
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let (memory_bytes, storage_bytes) = (memory(&text("/proc/meminfo")), storage(data_dir));
        Self {
            cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as i64),
            memory_bytes,
            storage_bytes,
            kept_memory_bytes: kept(Signal::MemoryAvailable, memory_bytes),
            kept_storage_bytes: kept(Signal::NodeFsAvailable, storage_bytes),
            hugepages: hugepages(),
            machine_id: text("/etc/machine-id"),
            system_uuid: Some(text("/sys/class/dmi/id/product_uuid"))
                .filter(|uuid| !uuid.is_empty())
                .unwrap_or_else(|| text("/etc/machine-id")),
            boot_id: text("/proc/sys/kernel/random/boot_id"),
            kernel_version: text("/proc/sys/kernel/osrelease"),
            os_image: os_image(&text("/etc/os-release")),
            has_apparmor: text("/sys/module/apparmor/parameters/enabled").starts_with('Y'),
            architecture: match std::env::consts::ARCH {
                "x86_64" => "amd64",
                "aarch64" => "arm64",
                other => other,
            },
        }
    }

    pub(crate) fn allocatable(&self) -> Amounts {
        let in_hugepages: i64 = self.hugepages.iter().map(|(_, bytes)| bytes).sum();
        Amounts {
            milli_cpu: self.cores * 1000,
            memory_bytes: self
                .memory_bytes
                .saturating_sub(self.kept_memory_bytes)
                .saturating_sub(in_hugepages)
                .max(0),
            ephemeral_bytes: self.storage_bytes.saturating_sub(self.kept_storage_bytes).max(0),
        }
    }

    /// The same by resource name, as admission counts.
    pub(crate) fn allocatable_amounts(&self) -> objects::resources::Amounts {
        let amounts = self.allocatable();
        let mut out = objects::resources::Amounts::default();
        out.set("cpu", amounts.milli_cpu);
        out.set("memory", amounts.memory_bytes);
        out.set("ephemeral-storage", amounts.ephemeral_bytes);
        out.set("pods", MAX_PODS);
        for (name, bytes) in &self.hugepages {
            out.set(name, *bytes);
        }
        out
    }
}

fn memory(meminfo: &str) -> i64 {
    meminfo_bytes(meminfo, "MemTotal:").unwrap_or(0)
}

/// A line of the kernel's table of memory, in bytes.
pub(crate) fn meminfo_bytes(table: &str, name: &str) -> Option<i64> {
    let line = table.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<i64>().ok()? * 1024)
}

fn storage(path: &Path) -> i64 {
    let stat = nix::sys::statvfs::statvfs(path);
    stat.map_or(0, |stat| i64::try_from(stat.blocks() * stat.fragment_size()).unwrap_or(i64::MAX))
}

fn hugepages() -> Vec<(String, i64)> {
    let Ok(entries) = fs::read_dir("/sys/kernel/mm/hugepages") else { return Vec::new() };
    let mut out: Vec<_> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let kib: i64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
            let count: i64 =
                fs::read_to_string(entry.path().join("nr_hugepages")).ok()?.trim().parse().ok()?;
            Some((format!("hugepages-{}", binary_size(kib)), count * kib * 1024))
        })
        .collect();
    out.sort();
    out
}

/// KiB in the largest unit that leaves a whole number: `2Mi`, `1Gi`.
fn binary_size(kib: i64) -> String {
    match kib {
        kib if kib % (1 << 20) == 0 => format!("{}Gi", kib >> 20),
        kib if kib % (1 << 10) == 0 => format!("{}Mi", kib >> 10),
        kib => format!("{kib}Ki"),
    }
}

fn os_image(release: &str) -> String {
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_understood() {
        assert_eq!(memory("MemTotal:       16384 kB\nMemFree: 1 kB\n"), 16 << 20);
        assert_eq!(
            os_image("NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
            "Debian GNU/Linux 12 (bookworm)"
        );
        assert_eq!([binary_size(2048), binary_size(1 << 20), binary_size(64)], ["2Mi", "1Gi", "64Ki"]);
    }
}
