//! Whether the node runs short of memory, disk or process numbers: its three pressure conditions (upstream: kubelet/eviction).
//!
//! Measured anew for each status, against the hard thresholds that the kubelet is told; a condition stays until its threshold has not been met for
//! five minutes. Says so only: no pod is evicted here.

use std::{fs, path::Path};

use jiff::{SignedDuration, Timestamp};

use crate::{
    disk::Space,
    machine,
    thresholds::{EvictionHard, Signal},
};

const TRANSITION: SignedDuration = SignedDuration::from_mins(5);

/// A condition: its type, and status, reason and message.
pub(super) type Condition = (&'static str, &'static str, &'static str, &'static str);

/// What is short now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Pressure {
    memory: bool,
    disk: bool,
    tasks: bool,
}

/// What was measured; `None` where that failed, which has been logged.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measured {
    memory: Option<Memory>,
    node_disk: Option<Space>,
    image_disk: Option<Space>,
    tasks: Option<Tasks>,
}

/// Bytes of the whole machine.
#[derive(Clone, Copy, Debug)]
struct Memory {
    available: u64,
    whole: u64,
}

/// Threads of the whole machine.
#[derive(Clone, Copy, Debug)]
struct Tasks {
    running: u64,
    most: u64,
}

/// When each was short last.
#[derive(Debug, Default)]
pub(super) struct Watch {
    memory: Option<Timestamp>,
    disk: Option<Timestamp>,
    tasks: Option<Timestamp>,
}

impl Watch {
    /// Takes in what is short now; what was short a moment ago still counts.
    pub(super) fn update(&mut self, is_short: Pressure, now: Timestamp) -> Pressure {
        let holds = |last: &mut Option<Timestamp>, is_short: bool| {
            if is_short {
                *last = Some(now);
            }
            last.is_some_and(|last| now.duration_since(last) < TRANSITION)
        };
        Pressure {
            memory: holds(&mut self.memory, is_short.memory),
            disk: holds(&mut self.disk, is_short.disk),
            tasks: holds(&mut self.tasks, is_short.tasks),
        }
    }
}

impl Measured {
    /// `data_dir` is on the node's file system, `images` on that of the images, where that is known.
    pub(super) fn now(data_dir: &Path, images: Option<&Path>) -> Self {
        Self {
            memory: logged("memory", Memory::now()),
            node_disk: logged("the node's disk", Space::of(data_dir)),
            image_disk: images.and_then(|path| logged("the images' disk", Space::of(path))),
            tasks: logged("tasks", Tasks::now()),
        }
    }

    /// What of it is below its threshold.
    pub(super) fn pressure(&self, least: &EvictionHard) -> Pressure {
        let is_full = |disk: Option<Space>, bytes: Signal, inodes: Signal| {
            disk.is_some_and(|disk| {
                least.is_short(bytes, disk.available_bytes, disk.capacity_bytes)
                    || least.is_short(inodes, disk.inodes_free, disk.inodes)
            })
        };
        let is_crowded = |tasks: Tasks| {
            least.is_short(Signal::PidAvailable, tasks.most.saturating_sub(tasks.running), tasks.most)
        };
        let is_tight =
            |memory: Memory| least.is_short(Signal::MemoryAvailable, memory.available, memory.whole);
        Pressure {
            memory: self.memory.is_some_and(is_tight),
            disk: is_full(self.node_disk, Signal::NodeFsAvailable, Signal::NodeFsInodesFree)
                || is_full(self.image_disk, Signal::ImageFsAvailable, Signal::ImageFsInodesFree),
            tasks: self.tasks.is_some_and(is_crowded),
        }
    }
}

impl Pressure {
    /// As the Node object has it.
    pub(super) fn conditions(self) -> [Condition; 3] {
        let memory = match self.memory {
            true => ("True", "KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
            false => ("False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        };
        let disk = match self.disk {
            true => ("True", "KubeletHasDiskPressure", "kubelet has disk pressure"),
            false => ("False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        };
        let tasks = match self.tasks {
            true => ("True", "KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
            false => ("False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        };
        [("MemoryPressure", memory), ("DiskPressure", disk), ("PIDPressure", tasks)]
            .map(|(type_, (status, reason, message))| (type_, status, reason, message))
    }
}

impl Memory {
    fn now() -> Result<Self, String> {
        let table = read("/proc/meminfo")?;
        let bytes = |name: &str| u64::try_from(machine::meminfo_bytes(&table, name)?).ok();
        let memory = || Some(Self { available: bytes("MemAvailable:")?, whole: bytes("MemTotal:")? });
        memory().ok_or_else(|| "/proc/meminfo does not say".into())
    }
}

impl Tasks {
    fn now() -> Result<Self, String> {
        let number = |path: &str| {
            let text = read(path)?;
            text.trim().parse::<u64>().map_err(|error| format!("{path}: {error}"))
        };
        let most = number("/proc/sys/kernel/pid_max")?.min(number("/proc/sys/kernel/threads-max")?);
        let load = read("/proc/loadavg")?;
        let running = running(&load).ok_or_else(|| format!("/proc/loadavg says {load:?}"))?;
        Ok(Self { running, most })
    }
}

/// The fourth word is `RUNNABLE/ALL`.
fn running(load: &str) -> Option<u64> {
    load.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}

fn logged<T>(what: &str, result: Result<T, impl std::fmt::Display>) -> Option<T> {
    result.inspect_err(|error| tracing::warn!(what, %error, "cannot tell how much is left")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(available_bytes: u64, inodes_free: u64) -> Option<Space> {
        Some(Space { capacity_bytes: 1000, available_bytes, inodes: 100, inodes_free })
    }

    fn check(measured: Measured, expected: [&str; 3]) {
        assert_eq!(
            measured.pressure(&EvictionHard::default()).conditions().map(|(_, status, ..)| status),
            expected
        );
    }

    #[test]
    fn each_is_short_below_its_threshold() {
        let memory = |mib: u64| Some(Memory { available: mib << 20, whole: 1 << 30 });
        let none = Measured::default();
        check(none, ["False"; 3]);
        check(Measured { memory: memory(100), ..none }, ["False"; 3]);
        check(Measured { memory: memory(99), ..none }, ["True", "False", "False"]);
        check(Measured { node_disk: disk(100, 5), image_disk: disk(150, 5), ..none }, ["False"; 3]);
        check(Measured { node_disk: disk(99, 5), ..none }, ["False", "True", "False"]);
        check(Measured { node_disk: disk(100, 4), ..none }, ["False", "True", "False"]);
        check(Measured { image_disk: disk(149, 5), ..none }, ["False", "True", "False"]);
        let unlimited = Space { inodes: 0, inodes_free: 0, ..disk(100, 0).unwrap() };
        check(Measured { node_disk: Some(unlimited), ..none }, ["False"; 3]);
        check(Measured { tasks: Some(Tasks { running: 950, most: 1000 }), ..none }, ["False"; 3]);
        check(
            Measured { tasks: Some(Tasks { running: 951, most: 1000 }), ..none },
            ["False", "False", "True"],
        );
    }

    #[test]
    fn a_condition_stays_for_five_minutes_after_its_threshold_was_met_last() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let enough = Pressure::default();
        let short = Pressure { memory: true, ..enough };
        let mut watch = Watch::default();
        let mut look = |is_short: Pressure, second: i64| watch.update(is_short, at(second)).memory;
        assert!(!look(enough, 0));
        assert!(look(short, 10));
        assert!(look(short, 20));
        assert!(look(enough, 319));
        assert!(!look(enough, 320));
    }

    #[test]
    fn this_machine_can_be_measured() {
        let here = std::env::temp_dir();
        let measured = Measured::now(&here, Some(&here));
        assert!(
            measured.memory.is_some_and(|memory| memory.available > 0 && memory.available < memory.whole)
        );
        assert!(measured.node_disk.is_some_and(|disk| disk.capacity_bytes >= disk.available_bytes));
        assert!(measured.image_disk.is_some());
        assert!(measured.tasks.is_some_and(|tasks| tasks.running > 0 && tasks.running < tasks.most));
        assert_eq!(running("0.1 0.2 0.3 4/112 4242\n"), Some(112));
    }
}
