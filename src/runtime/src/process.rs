//! Processes that outlive us, named beyond doubt: by number and start time, so that a reused number is not mistaken.

use std::fmt;
use std::os::fd::{FromRawFd, OwnedFd};
use std::str::FromStr;

use nix::sys::signal::Signal;

/// A process: its number and when it started, in the kernel's ticks since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    pub(crate) ticks: u64,
}

impl Identity {
    /// The process that has the number `pid` now.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        Some(Self { pid, ticks: stat_field(pid, 19)?.parse().ok()? })
    }

    /// A process as two words of a command line.
    pub(crate) fn from_words(pid: &str, ticks: &str) -> Option<Self> {
        Some(Self { pid: pid.parse().ok()?, ticks: ticks.parse().ok()? })
    }

    /// Whether it still runs; one that waits to be reaped does not.
    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
            && stat_field(self.pid, 0).is_some_and(|state| state != "Z" && state != "X")
    }

    /// A descriptor of exactly this process; `None` when it is gone.
    pub(crate) fn open(self) -> Option<OwnedFd> {
        // SAFETY: no memory is involved; a new descriptor is owned by nobody else.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, self.pid, 0) };
        let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0)?;
        // SAFETY: as above.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // The number may have been another's when we opened it, but not after this.
        (Self::of(self.pid) == Some(self)).then_some(fd)
    }

    /// Whether a signal does anything to the process. The first process of a PID namespace does not get one that it neither
    /// catches nor has blocked (signal(7)), which is so of every program in its first moments.
    pub(crate) fn heeds(self, signal: i32) -> bool {
        let spares_first = !matches!(signal, libc::SIGKILL | libc::SIGSTOP);
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        !(spares_first && self.is_alive() && is_deaf(&status, signal))
    }

    /// Sends a signal to exactly this process; that it is gone is fine.
    pub(crate) fn signal(self, signal: Signal) {
        self.signal_number(signal as i32);
    }

    /// The same by number, which real-time signals have alone.
    pub(crate) fn signal_number(self, signal: i32) {
        use std::os::fd::AsRawFd;
        if let Some(fd) = self.open() {
            // SAFETY: no memory is involved.
            unsafe {
                libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), signal, std::ptr::null::<()>(), 0)
            };
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pid, self.ticks)
    }
}

impl FromStr for Identity {
    type Err = std::num::ParseIntError;

    /// The first two words of a text.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text.split_whitespace();
        let mut word = || words.next().unwrap_or_default();
        Ok(Self { pid: word().parse()?, ticks: word().parse()? })
    }
}

/// A field of `/proc/<pid>/stat`, counted from 0 at the state, which follows the name in parentheses.
fn stat_field(pid: i32, index: usize) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(index).map(str::to_owned)
}

/// Whether a `/proc/<pid>/status` is that of a namespace's first process that neither catches nor blocks the signal.
fn is_deaf(status: &str, signal: i32) -> bool {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let is_first = field("NSpid:").and_then(|numbers| numbers.split_whitespace().next_back()) == Some("1");
    let bit = 1_u64 << (signal - 1);
    let has = |name: &str| {
        let mask = field(name).and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_none_or(|mask| mask & bit != 0)
    };
    is_first && !has("SigCgt:") && !has("SigBlk:")
}

/// The processes whose parent is `pid`, whatever the kernel was built with.
pub(crate) fn children_of(pid: i32) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|child| stat_field(*child, 1).is_some_and(|parent| parent == pid.to_string()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_first_process_is_deaf_to_what_it_neither_catches_nor_blocks() {
        let status = |pids: &str, blocked: &str, caught: &str| {
            format!("Name:\tx\nNSpid:\t{pids}\nSigBlk:\t{blocked}\nSigIgn:\t0\nSigCgt:\t{caught}\n")
        };
        let (none, term) = ("0000000000000000", "0000000000004000");
        assert!(is_deaf(&status("4711\t1", none, none), libc::SIGTERM));
        assert!(is_deaf(&status("4711\t1", none, term), libc::SIGQUIT));
        assert!(!is_deaf(&status("4711\t1", none, term), libc::SIGTERM));
        assert!(!is_deaf(&status("4711\t1", term, none), libc::SIGTERM));
        assert!(!is_deaf(&status("4711\t7", none, none), libc::SIGTERM));
        assert!(!is_deaf(&status("4711", none, none), libc::SIGTERM));
        assert!(!is_deaf("", libc::SIGTERM));
        let (first, last) = ("0000000200000000", "8000000000000000");
        assert!(
            !is_deaf(&status("4711\t1", none, first), libc::SIGRTMIN())
                && is_deaf(&status("1", none, first), libc::SIGRTMAX())
        );
        assert!(!is_deaf(&status("4711\t1", none, last), libc::SIGRTMAX()));
    }

    #[test]
    fn a_process_is_known_by_number_and_start_and_gone_when_reaped() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let identity = Identity::of(i32::try_from(child.id()).unwrap()).unwrap();
        assert!(identity.is_alive());
        assert_eq!(identity.to_string().parse(), Ok(identity));
        let other = Identity { ticks: identity.ticks + 1, ..identity };
        assert!(!other.is_alive() && other.open().is_none());
        identity.signal(Signal::SIGKILL);
        child.wait().unwrap();
        assert!(!identity.is_alive());
    }
}
