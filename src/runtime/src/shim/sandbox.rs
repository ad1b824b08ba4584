//! `shim sandbox`: makes a sandbox's namespaces, then becomes its monitor. The monitor's children inherit them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde::{Deserialize, Serialize};

use crate::error::{At, Error, Result};
use crate::files;

/// Where the runtime writes the plan, in the sandbox's directory.
pub(crate) const PLAN_FILE: &str = "shim.json";
/// Where the process that holds a shared PID namespace is written down.
pub(crate) const PAUSE_FILE: &str = "pause";
/// What the monitor prints when it serves.
pub(crate) const READY: &str = "ready";

/// What the runtime wants made.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The program to become.
    pub(crate) monitor: PathBuf,
    /// `cgroup.procs` files to join, so that stopping the runtime's own service does not take the monitor along.
    pub(crate) join: Vec<PathBuf>,
    /// A network namespace of its own, pinned at this path.
    pub(crate) network: Option<PathBuf>,
    /// An IPC namespace of its own.
    pub(crate) ipc: bool,
    /// A UTS namespace of its own, with this host name.
    pub(crate) hostname: Option<String>,
    /// A PID namespace that containers share.
    pub(crate) shared_pid: bool,
    /// Kernel parameters of the new namespaces.
    pub(crate) sysctls: BTreeMap<String, String>,
}

pub(super) fn main(directory: &Path) -> ! {
    let Err(e) = run(directory);
    println!("error: {e}");
    std::process::exit(1)
}

fn run(directory: &Path) -> Result<Infallible> {
    let plan: Plan = files::read_json(&directory.join(PLAN_FILE))?
        .ok_or_else(|| Error::Shim(format!("no plan in {}", directory.display())))?;
    nix::unistd::setsid().map_err(|e| Error::Shim(format!("new session: {e}")))?;
    // Processes that a container of the host's PID namespace leaves behind are the monitor's to reap.
    nix::sys::prctl::set_child_subreaper(true).map_err(|e| Error::Shim(format!("become subreaper: {e}")))?;
    for procs in &plan.join {
        fs::write(procs, "0").at("join", procs)?;
    }
    make_namespaces(&plan)?;
    let monitor = c_string(&plan.monitor)?;
    if plan.shared_pid {
        start_pause(&monitor, directory)?;
    }
    let args = [monitor.clone(), c"run".to_owned(), c_string(directory)?];
    let errno = nix::unistd::execv(&monitor, &args).expect_err("returns only on failure");
    Err(errno).at("execute", &plan.monitor)
}

fn make_namespaces(plan: &Plan) -> Result<()> {
    let wanted = [
        (plan.network.is_some(), CloneFlags::CLONE_NEWNET),
        (plan.ipc, CloneFlags::CLONE_NEWIPC),
        (plan.hostname.is_some(), CloneFlags::CLONE_NEWUTS),
    ];
    let flags = wanted.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, flag)| flag).collect();
    unshare(flags).map_err(|e| Error::Shim(format!("new namespaces: {e}")))?;
    if let Some(hostname) = &plan.hostname {
        nix::unistd::sethostname(hostname)
            .map_err(|e| Error::Shim(format!("set host name {hostname}: {e}")))?;
    }
    if let Some(pin) = &plan.network {
        raise_loopback()?;
        File::create(pin).at("create", pin)?;
        mount(Some("/proc/self/ns/net"), pin, None::<&str>, MsFlags::MS_BIND, None::<&str>).at("pin", pin)?;
    }
    for (name, value) in &plan.sysctls {
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        fs::write(&path, value).at("set", &path)?;
    }
    Ok(())
}

fn raise_loopback() -> Result<()> {
    let failed = |e: io::Error| Error::Shim(format!("raise loopback: {e}"));
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").map_err(failed)?;
    // SAFETY: all bytes zero is a valid request.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request is complete and valid during the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) };
    if result == 0 { Ok(()) } else { Err(failed(io::Error::last_os_error())) }
}

/// Starts the process that is number 1 of the shared PID namespace and writes down who it is.
fn start_pause(monitor: &CStr, directory: &Path) -> Result<()> {
    let args = [monitor.to_owned(), c"pause".to_owned()];
    // SAFETY: without a stack, this is `fork` into a new PID namespace; this process has one thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::CLONE_NEWPID | libc::SIGCHLD, 0, 0, 0, 0) };
    match pid {
        0 => {
            let null = File::options().read(true).write(true).open("/dev/null").expect("/dev/null is there");
            // Without its monitor nobody could tell how a container ended: then they shall end.
            nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).expect("a valid signal");
            // The runtime waits for the end of our output, which is the monitor's to close.
            // SAFETY: both descriptors are open.
            unsafe { libc::dup2(null.as_raw_fd(), 1) };
            let errno = nix::unistd::execv(monitor, &args).expect_err("returns only on failure");
            std::process::exit(errno as i32)
        }
        pid if pid > 0 => {
            let pid = i32::try_from(pid).expect("process numbers fit");
            let identity = crate::process::Identity::of(pid)
                .ok_or_else(|| Error::Shim("the pause process ended at once".to_owned()))?;
            files::write_atomically(&directory.join(PAUSE_FILE), identity.to_string().as_bytes())
        }
        _ => Err(Error::Shim(format!("new PID namespace: {}", io::Error::last_os_error()))),
    }
}

fn c_string(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|e| Error::Shim(e.to_string()))
}
