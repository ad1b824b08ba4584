//! `shim exec`: runs a command in a container. Started by the runtime; its standard streams are the command's.
//!
//! libcontainer's own way to do this does not join the user namespace, forgets the seccomp profile and runs as root, so
//! it is done here, in the order of a container's own start: all namespaces at once by the process's descriptor, the
//! control groups, then groups, user, capabilities, seccomp, and the program.
//!
//! Descriptor 3 is a socket for the answer, in lines: `pid N`; with a terminal, `terminal` together with it; then
//! `error MESSAGE` or nothing; at the end `exit CODE`.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{IoSlice, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use libcontainer::capabilities;
use libcontainer::oci_spec::runtime::{Process, Spec};
use libcontainer::syscall::Syscall;
use libcontainer::syscall::syscall::SyscallType;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Pid, Uid, fork};

use super::program;
use crate::cgroups::Cgroups;
use crate::error::{At, Error, Result};
use crate::process::Identity;

const ANSWER: RawFd = 3;
/// What a shell answers when a command cannot be run.
const CANNOT_RUN: i32 = 126;

pub(super) fn main(directory: &Path, pid: &str, ticks: &str, wants_terminal: bool, command: &[&str]) -> ! {
    let outcome = Identity::from_words(pid, ticks)
        .ok_or_else(|| Error::Shim("bad process".to_owned()))
        .and_then(|target| run(directory, target, wants_terminal, command));
    let code = outcome.unwrap_or_else(|e| {
        report(&format!("error {e}"));
        CANNOT_RUN
    });
    report(&format!("exit {code}"));
    std::process::exit(0)
}

/// Runs the command to its end; answers its exit code.
fn run(directory: &Path, target: Identity, wants_terminal: bool, command: &[&str]) -> Result<i32> {
    close_on_exec()?;
    let spec = Spec::load(directory.join("config.json")).map_err(|e| Error::Start(e.to_string()))?;
    let process =
        spec.process().clone().ok_or_else(|| Error::Start("the container has no process".to_owned()))?;
    let cgroups: Vec<File> = open_cgroups(target)?;
    // A process of the container must not reach our memory or program through /proc.
    nix::sys::prctl::set_dumpable(false).map_err(|e| Error::Start(format!("prctl: {e}")))?;
    join_namespaces(target)?;

    let terminal = if wants_terminal { Some(open_terminal(process.user().uid())?) } else { None };
    let (gate_read, gate_write) = nix::unistd::pipe().map_err(|e| Error::Start(format!("pipe: {e}")))?;
    // SAFETY: this process has one thread.
    match unsafe { fork() }.map_err(|e| Error::Start(format!("fork: {e}")))? {
        ForkResult::Child => {
            drop(gate_write);
            // Not before we are in the container's control groups.
            let mut go = [0];
            if File::from(gate_read).read(&mut go).is_ok_and(|count| count == 1) {
                let Err(e) = become_command(&spec, &process, terminal, command);
                report(&format!("error {e}"));
            }
            std::process::exit(CANNOT_RUN)
        }
        ForkResult::Parent { child } => {
            drop(gate_read);
            enter_cgroups(child, cgroups)?;
            report(&format!("pid {child}"));
            if let Some(Terminal { master, .. }) = &terminal {
                send_terminal(master)?;
            }
            drop(terminal);
            close_stdio()?;
            File::from(gate_write).write_all(b"g").at("release", "the command")?;
            wait_for(child)
        }
    }
}

/// In the command's own process.
fn become_command(
    spec: &Spec,
    process: &Process,
    terminal: Option<Terminal>,
    command: &[&str],
) -> Result<Infallible> {
    nix::unistd::setsid().map_err(|e| Error::Start(format!("setsid: {e}")))?;
    let has_terminal = terminal.is_some();
    if let Some(terminal) = terminal {
        take_terminal(&terminal.slave)?;
    }
    let cwd = process.cwd();
    std::env::set_current_dir(cwd)
        .map_err(|e| Error::Start(format!("chdir to cwd ({}): {e}", cwd.display())))?;
    let env = environment(process, has_terminal);
    set_identity(spec, process)?;
    let name = command.first().copied().unwrap_or_default();
    let path = program::find(name, &env).map_err(start_error)?;
    let args: Vec<String> = command.iter().map(|arg| (*arg).to_owned()).collect();
    restrict(spec, process, true)?;
    program::execute(&path, &args, &env).map_err(start_error)
}

fn start_error(text: String) -> Error {
    Error::Start(format!("unable to start container process: {text}"))
}

/// Groups, user and capabilities. Without `no_new_privileges`, seccomp needs privilege and comes before they go.
fn set_identity(spec: &Spec, process: &Process) -> Result<()> {
    let failed = |what: &'static str| move |e: &dyn std::fmt::Display| Error::Start(format!("{what}: {e}"));
    let syscall: Box<dyn Syscall> = SyscallType::Linux.create_syscall();
    let user = process.user();
    if let Some(umask) = user.umask() {
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(umask));
    }
    if process.no_new_privileges().unwrap_or(false) {
        nix::sys::prctl::set_no_new_privs().map_err(|e| failed("no_new_privs")(&e))?;
    }
    let gids: Vec<Gid> = user.additional_gids().iter().flatten().map(|gid| Gid::from_raw(*gid)).collect();
    nix::unistd::setgroups(&gids).map_err(|e| failed("set groups")(&e))?;
    // The C library's types of this crate and libcontainer's are of different versions; the numbers are the same.
    syscall.set_id(user.uid().into(), user.gid().into()).map_err(|e| failed("set user")(&e))?;
    restrict(spec, process, false)?;
    capabilities::reset_effective(&*syscall).map_err(|e| failed("set capabilities")(&e))?;
    match process.capabilities() {
        Some(set) => {
            capabilities::drop_privileges(set, &*syscall).map_err(|e| failed("drop capabilities")(&e))
        }
        None => Ok(()),
    }
}

/// Loads the container's seccomp profile, at the one of two moments that fits whether new privileges are forbidden.
fn restrict(spec: &Spec, process: &Process, is_late: bool) -> Result<()> {
    let profile = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    match profile {
        Some(profile) if process.no_new_privileges().unwrap_or(false) == is_late => {
            libcontainer::seccomp::initialize_seccomp(profile)
                .map(drop)
                .map_err(|e| Error::Start(format!("load seccomp profile: {e}")))
        }
        _ => Ok(()),
    }
}

fn environment(process: &Process, has_terminal: bool) -> Vec<String> {
    let mut env: Vec<String> = process.env().clone().unwrap_or_default();
    let has = |env: &[String], name: &str| env.iter().any(|e| e.starts_with(name));
    if has_terminal && !has(&env, "TERM=") {
        env.push("TERM=xterm".to_owned());
    }
    if !has(&env, "HOME=") {
        env.push(format!("HOME={}", home_of(process.user().uid()).display()));
    }
    env
}

/// The home directory that the container's own `/etc/passwd` gives a user.
fn home_of(uid: u32) -> PathBuf {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let uid = uid.to_string();
    let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(&uid));
    line.and_then(|line| line.split(':').nth(5)).filter(|home| !home.is_empty()).unwrap_or("/").into()
}

/// All of the target's namespaces in one step, so that it cannot change between them.
fn join_namespaces(target: Identity) -> Result<()> {
    let gone = || Error::Precondition("container is not running".to_owned());
    let process = target.open().ok_or_else(gone)?;
    let mut flags = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWCGROUP
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET;
    let user_namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/user"));
    // The kernel refuses to join the user namespace that one is in.
    if user_namespace(&target.pid.to_string()).map_err(|_| gone())?
        != user_namespace("self").at("read", "/proc/self")?
    {
        flags |= CloneFlags::CLONE_NEWUSER;
    }
    setns(&process, flags).map_err(|e| Error::Start(format!("join the container's namespaces: {e}")))
}

fn open_cgroups(target: Identity) -> Result<Vec<File>> {
    let files = Cgroups::read()?.of_process(target.pid)?;
    files.into_iter().map(|path| File::options().write(true).open(&path).at("open", path)).collect()
}

fn enter_cgroups(child: Pid, cgroups: Vec<File>) -> Result<()> {
    for mut procs in cgroups {
        procs.write_all(child.to_string().as_bytes()).at("join", "the container's control groups")?;
    }
    Ok(())
}

struct Terminal {
    master: OwnedFd,
    slave: OwnedFd,
}

/// A new terminal of the container's own, so that programs in it can tell its name.
fn open_terminal(owner: u32) -> Result<Terminal> {
    let path = "/dev/pts/ptmx";
    let master: OwnedFd = File::options().read(true).write(true).open(path).at("open", path)?.into();
    let unlocked: libc::c_int = 0;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the integer is valid during the call; the new descriptor is owned by nobody else.
    let slave = unsafe {
        if libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) != 0 {
            return Err(std::io::Error::last_os_error()).at("unlock", path);
        }
        match libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) {
            fd if fd >= 0 => OwnedFd::from_raw_fd(fd),
            _ => return Err(std::io::Error::last_os_error()).at("open the other end of", path),
        }
    };
    nix::unistd::fchown(&slave, Some(Uid::from_raw(owner)), None).at("change owner of", path)?;
    Ok(Terminal { master, slave })
}

fn take_terminal(slave: &OwnedFd) -> Result<()> {
    // SAFETY: the descriptor is open, and 0 to 2 are this process's to replace.
    unsafe {
        if libc::ioctl(slave.as_raw_fd(), libc::TIOCSCTTY, 0) != 0 {
            return Err(std::io::Error::last_os_error()).at("take", "the terminal");
        }
        for fd in 0..3 {
            libc::dup2(slave.as_raw_fd(), fd);
        }
    }
    Ok(())
}

fn send_terminal(master: &OwnedFd) -> Result<()> {
    let fds = [master.as_raw_fd()];
    sendmsg::<()>(
        ANSWER,
        &[IoSlice::new(b"terminal\n")],
        &[ControlMessage::ScmRights(&fds)],
        MsgFlags::MSG_NOSIGNAL,
        None,
    )
    .map_err(|e| Error::Shim(format!("send the terminal: {e}")))?;
    Ok(())
}

/// Tells the runtime. If it is gone nobody is left to be told.
fn report(line: &str) {
    let line = format!("{}\n", line.replace('\n', " "));
    nix::sys::socket::send(ANSWER, line.as_bytes(), MsgFlags::MSG_NOSIGNAL).ok();
}

/// Nothing of ours is open in the command.
fn close_on_exec() -> Result<()> {
    // SAFETY: no memory is involved.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()).at("close", "descriptors") }
}

/// The streams are the command's alone: whoever reads them waits for the last holder to close.
fn close_stdio() -> Result<()> {
    for fd in 0..3 {
        // SAFETY: this process does not use its standard streams any more.
        unsafe { libc::close(fd) };
    }
    Ok(())
}

fn wait_for(child: Pid) -> Result<i32> {
    loop {
        match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, code)) => return Ok(code),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(128 + signal as i32),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return Err(Error::Shim(format!("wait for the command: {e}"))),
        }
    }
}
