//! What `/proc` says of processes: CPU time and memory.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use nix::time::ClockId;
use nix::unistd::Pid;

/// CPU time (user and system) that all threads of a process have used so far, to the nanosecond: the ticks of
/// `/proc/<pid>/stat` miss whatever is shorter than they are.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid.try_into()?))?;
    Ok(Duration::from(clock.now()?))
}

/// The program's name as the kernel keeps it, cut at 15 characters.
pub(crate) fn name(pid: u32) -> anyhow::Result<String> {
    Ok(fs::read_to_string(format!("/proc/{pid}/comm"))?.trim_end().to_owned())
}

/// The children of a process's first thread.
pub(crate) fn children(pid: u32) -> anyhow::Result<Vec<u32>> {
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    listed.split_whitespace().map(|child| child.parse().context("no number")).collect()
}

/// Resident memory of a process in KiB.
pub(crate) fn resident_kib(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    line.split_whitespace().nth(1).context("no number")?.parse().context("no number")
}

/// Memory of a process in KiB, shared pages divided by those who share them.
pub(crate) fn proportional_kib(pid: u32) -> anyhow::Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup.lines().find(|line| line.starts_with("Pss:")).context("no Pss")?;
    line.split_whitespace().nth(1).context("no number")?.parse().context("no number")
}

/// Processes whose command line contains a text.
pub(crate) fn naming(text: &str) -> anyhow::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
        let Ok(command) = fs::read(path.join("cmdline")) else { continue };
        if String::from_utf8_lossy(&command).contains(text) && pid != std::process::id() {
            found.push(pid);
        }
    }
    Ok(found)
}
