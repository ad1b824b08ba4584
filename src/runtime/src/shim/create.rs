//! `shim create`: makes and starts one container with libcontainer. Started by a monitor, whose child the container becomes.
//!
//! Descriptors: 3, 4, 5 the container's standard streams, 6 a socket for the answer: `pid N` (with the terminal, if there is
//! one), then `started`; or `error MESSAGE`. The container's directory holds the OCI bundle.

use std::fs::File;
use std::io::{IoSlice, Read, Seek};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::error::LibcontainerError;
use libcontainer::syscall::syscall::SyscallType;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, send, sendmsg};

use super::devices;
use super::program::Program;
use crate::cgroups::Cgroups;
use crate::error::{At, Error, Result};
use crate::files;
use crate::limits::AtStart;

const STDIO: [RawFd; 3] = [3, 4, 5];
const ANSWER: RawFd = 6;
/// libcontainer's own state, in the container's directory.
const STATE_DIR: &str = "oci";
const CONSOLE_SOCKET: &str = "console.sock";

pub(super) fn main(directory: &Path) -> ! {
    let details = capture_errors();
    if let Err(e) = run(directory) {
        let message = explain(&e.to_string(), details);
        send(ANSWER, format!("error {message}").as_bytes(), MsgFlags::empty()).ok(/* no monitor, nobody to tell */);
        std::process::exit(1);
    }
    std::process::exit(0)
}

fn run(directory: &Path) -> Result<()> {
    // libcontainer leaves the runtime's own groups in place when the container asks for none.
    nix::unistd::setgroups(&[]).map_err(|e| Error::Start(format!("drop groups: {e}")))?;
    std::env::set_current_dir(directory).at("enter", directory)?;
    files::remove_tree(&directory.join(STATE_DIR))?;
    let spec = read_spec(directory)?;
    let wants_terminal = spec["process"]["terminal"].as_bool().unwrap_or(false);
    let console = if wants_terminal { Some(listen_for_console()?) } else { None };

    let mut container = build(directory, console.is_some()).map_err(|e| Error::Start(e.to_string()))?;
    let pid = container.pid().ok_or_else(|| Error::Start("the container has no process".to_owned()))?;
    // The monitor must know the process before it can end.
    let terminal = console.map(receive_console).transpose()?;
    answer(&format!("pid {pid}"), terminal.as_ref())?;
    control_devices(&spec, pid.as_raw())?;
    AtStart::apply(directory)?;
    container.start().map_err(|e| Error::Start(e.to_string()))?;
    answer("started", None)
}

fn build(directory: &Path, has_terminal: bool) -> Result<Container, LibcontainerError> {
    let id = directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut builder = ContainerBuilder::new(id, SyscallType::Linux)
        .with_root_path(directory.join(STATE_DIR))?
        .with_executor(Program)
        .with_console_socket(has_terminal.then(|| directory.join(CONSOLE_SOCKET)));
    if !has_terminal {
        // SAFETY: the monitor gave us these descriptors and nobody else in this process uses them.
        let [stdin, stdout, stderr] = STDIO.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
        builder = builder.with_stdin(stdin).with_stdout(stdout).with_stderr(stderr);
    }
    builder.as_init(directory).with_systemd(false).as_sibling(true).build()
}

fn read_spec(directory: &Path) -> Result<serde_json::Value> {
    files::read_json(&directory.join("config.json"))?.ok_or_else(|| Error::Start("no config.json".to_owned()))
}

fn asks_for_tunnels(spec: &serde_json::Value) -> bool {
    let devices = spec["linux"]["devices"].as_array().map(Vec::as_slice).unwrap_or_default();
    devices.iter().any(|device| device["major"] == 10 && device["minor"] == 200)
}

/// Listens in the current directory: the full path may be longer than a socket address.
fn listen_for_console() -> Result<UnixListener> {
    files::remove_file(Path::new(CONSOLE_SOCKET))?;
    UnixListener::bind(CONSOLE_SOCKET).at("listen on", CONSOLE_SOCKET)
}

/// The container's side has sent its terminal when `build` returns.
fn receive_console(listener: UnixListener) -> Result<OwnedFd> {
    let (socket, _) = listener.accept().at("accept on", CONSOLE_SOCKET)?;
    files::remove_file(Path::new(CONSOLE_SOCKET))?;
    let mut buffer = [0; 4096];
    let mut space = nix::cmsg_space!(RawFd);
    let mut vector = [std::io::IoSliceMut::new(&mut buffer)];
    let message =
        recvmsg::<()>(socket.as_raw_fd(), &mut vector, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)
            .at("receive from", CONSOLE_SOCKET)?;
    for control in message.cmsgs().at("receive from", CONSOLE_SOCKET)? {
        if let ControlMessageOwned::ScmRights(fds) = control
            && let Some(fd) = fds.first()
        {
            // SAFETY: the kernel made this descriptor for us.
            return Ok(unsafe { OwnedFd::from_raw_fd(*fd) });
        }
    }
    Err(Error::Start("the container sent no terminal".to_owned()))
}

fn answer(text: &str, descriptor: Option<&OwnedFd>) -> Result<()> {
    let fds: Vec<RawFd> = descriptor.iter().map(|fd| fd.as_raw_fd()).collect();
    let control = [ControlMessage::ScmRights(&fds)];
    let control = if fds.is_empty() { &[][..] } else { &control[..] };
    sendmsg::<()>(ANSWER, &[IoSlice::new(text.as_bytes())], control, MsgFlags::empty(), None)
        .map_err(|e| Error::Shim(format!("answer the monitor: {e}")))?;
    Ok(())
}

/// With version 2 of cgroups libcontainer leaves devices uncontrolled; with version 1 it allows one too many.
fn control_devices(spec: &serde_json::Value, pid: i32) -> Result<()> {
    let cgroups = Cgroups::read()?;
    let groups = cgroups.of_process(pid)?;
    if !cgroups.is_unified() {
        if !asks_for_tunnels(spec) {
            forbid_tunnels(&groups);
        }
        return Ok(());
    }
    let rules = spec["linux"]["resources"]["devices"].as_array().map(Vec::as_slice).unwrap_or_default();
    let directory = groups.first().and_then(|procs| procs.parent());
    let directory = directory.ok_or_else(|| Error::Start("the container is in no cgroup".to_owned()))?;
    devices::control(directory, rules)
}

/// libcontainer allows `/dev/net/tun` to everybody; upstream's runtimes do not. Where the container is privileged there is
/// nothing to take away.
fn forbid_tunnels(groups: &[PathBuf]) {
    for procs in groups {
        let allowed = std::fs::read_to_string(procs.with_file_name("devices.list")).unwrap_or_default();
        if allowed.lines().any(|line| line == "c 10:200 rwm")
            && let Err(e) = std::fs::write(procs.with_file_name("devices.deny"), "c 10:200 rwm")
        {
            tracing::error!(error = %e, "cannot forbid /dev/net/tun");
        }
    }
}

/// Keeps what libcontainer logs, from whichever of its processes: its errors lose their causes on the way.
fn capture_errors() -> Option<File> {
    let fd = nix::sys::memfd::memfd_create(c"log", nix::sys::memfd::MFdFlags::MFD_CLOEXEC).ok()?;
    let file = File::from(fd);
    let writer = Mutex::new(file.try_clone().ok()?);
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::ERROR)
        .with_writer(writer)
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .with_level(false)
        .finish();
    tracing::subscriber::set_global_default(subscriber).ok()?;
    Some(file)
}

/// The sentence for the user: runc's where runc has one, else libcontainer's with the first cause that it logged.
fn explain(error: &str, details: Option<File>) -> String {
    let mut text = error;
    for prefix in
        ["failed to create container: ", "exec process failed with error ", "intermediate process error "]
    {
        text = text.strip_prefix(prefix).unwrap_or(text);
    }
    if let Some(start) = text.find("exec: \"") {
        return format!("unable to start container process: error during container init: {}", &text[start..]);
    }
    let mut log = String::new();
    if let Some(mut file) = details
        && file.rewind().is_ok()
        && file.read_to_string(&mut log).is_ok()
        && let Some(first) = log.lines().find(|line| !line.trim().is_empty())
    {
        return format!("unable to start container process: {text}: {}", first.trim());
    }
    format!("unable to start container process: {text}")
}
