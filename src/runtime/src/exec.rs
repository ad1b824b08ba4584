//! Commands in running containers, from the runtime's side: starts `shim exec`, holds the streams, learns the exit code.

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;

use crate::container::Container;
use crate::core::Core;
use crate::error::{At, Error, Result};
use crate::process::Identity;

/// The descriptor that `shim exec` answers on.
const ANSWER: RawFd = 3;
/// What the CRI allows in an answer; the rest is thrown away.
const OUTPUT_LIMIT_BYTES: usize = 16 * 1024 * 1024;
/// How long output may still come after the command has ended, from processes that it left behind.
const LEFTOVER_TIMEOUT: Duration = Duration::from_secs(2);

/// A command that runs in a container.
pub(crate) struct Command {
    /// Closed by dropping it.
    pub(crate) stdin: Option<pipe::Sender>,
    pub(crate) stdout: Option<pipe::Receiver>,
    pub(crate) stderr: Option<pipe::Receiver>,
    /// The terminal, for its size.
    pub(crate) terminal: Option<OwnedFd>,
    process: Option<Identity>,
    control: Control,
    /// Reaped in the background when dropped.
    _shim: tokio::process::Child,
}

/// What a command left.
pub(crate) struct Finished {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) code: i32,
}

/// Runs a command to its end, without input. `timeout` zero is none.
pub(crate) async fn run(
    core: &Core,
    container: &Container,
    command: &[String],
    timeout: Duration,
) -> Result<Finished> {
    let mut running = Command::start(core, container, command, false, false).await?;
    let (out, err) = (running.stdout.take(), running.stderr.take());
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let code = {
        let reading = async { tokio::join!(read_capped(out, &mut stdout), read_capped(err, &mut stderr)) };
        let waiting = running.wait_at_most(timeout);
        tokio::pin!(reading, waiting);
        tokio::select! {
            _ = &mut reading => waiting.await,
            code = &mut waiting => {
                if code.is_ok() {
                    // Whoever still holds the streams after that has nobody who reads them.
                    drop(tokio::time::timeout(LEFTOVER_TIMEOUT, reading).await);
                }
                code
            }
        }
    };
    let code = code.inspect_err(|_| running.kill())?;
    Ok(Finished { stdout, stderr, code })
}

impl Command {
    /// Starts a command; it runs when this returns.
    pub(crate) async fn start(
        core: &Core,
        container: &Container,
        command: &[String],
        wants_terminal: bool,
        wants_stdin: bool,
    ) -> Result<Self> {
        let target = container.running()?;
        if command.is_empty() {
            return Err(Error::Invalid("no command specified".to_owned()));
        }
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().at("open", "a socket")?;
        let mut shim = tokio::process::Command::new(&core.config.executable);
        shim.args(["shim", "exec"])
            .arg(&container.directory)
            .args([target.pid.to_string(), target.ticks.to_string()])
            .args([if wants_terminal { "tty" } else { "pipe" }, "--"])
            .args(command)
            .current_dir("/")
            .env_clear();
        let pipes = Pipes::make(&mut shim, wants_terminal, wants_stdin)?;
        let answer = theirs.as_raw_fd();
        // SAFETY: between fork and exec only calls that are allowed there.
        unsafe {
            shim.pre_exec(move || {
                // When both are the same, `dup2` would leave it to be closed on exec.
                let result = if answer == ANSWER {
                    libc::fcntl(answer, libc::F_SETFD, 0)
                } else {
                    libc::dup2(answer, ANSWER)
                };
                if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
            });
        }
        let child = shim.spawn().at("execute", &core.config.executable)?;
        // Our copies of the command's ends would keep it from seeing the end of its streams, and us of its.
        drop((theirs, shim));
        let mut running = Self {
            stdin: pipes.stdin,
            stdout: pipes.stdout,
            stderr: pipes.stderr,
            terminal: None,
            process: None,
            control: Control::new(ours)?,
            _shim: child,
        };
        running.await_start(wants_terminal).await.map_err(|e| {
            Error::Start(format!("failed to exec in container: failed to start exec: exec failed: {e}"))
        })?;
        Ok(running)
    }

    async fn await_start(&mut self, wants_terminal: bool) -> Result<()> {
        while self.process.is_none() || (wants_terminal && self.terminal.is_none()) {
            match self.control.next().await? {
                Answer::Pid(pid) => self.process = Identity::of(pid).or(Some(Identity { pid, ticks: 0 })),
                Answer::Terminal(terminal) => self.take_terminal(terminal)?,
                Answer::Error(message) => return Err(Error::Start(message)),
                Answer::Exit(code) => return Err(Error::Start(format!("it ended with {code}"))),
            }
        }
        // Whether the program itself could be executed is known only when the control socket says more; see `wait`.
        Ok(())
    }

    fn take_terminal(&mut self, terminal: OwnedFd) -> Result<()> {
        set_nonblocking(&terminal)?;
        let clone = || terminal.try_clone().at("duplicate", "the terminal");
        self.stdin = Some(pipe::Sender::from_owned_fd_unchecked(clone()?).at("use", "the terminal")?);
        self.stdout = Some(pipe::Receiver::from_owned_fd_unchecked(clone()?).at("use", "the terminal")?);
        self.terminal = Some(terminal);
        Ok(())
    }

    /// Waits for the end; answers the exit code, or why the program could not be executed.
    pub(crate) async fn wait(&mut self) -> Result<i32> {
        let mut failure = None;
        loop {
            match self.control.next().await? {
                Answer::Exit(code) => return failure.map_or(Ok(code), Err),
                Answer::Error(message) => {
                    failure = Some(Error::Start(format!(
                        "failed to exec in container: failed to start exec: OCI runtime exec failed: exec failed: {message}"
                    )));
                }
                Answer::Pid(_) | Answer::Terminal(_) => {}
            }
        }
    }

    /// As `wait`, but not for longer than `patience`, unless that is zero.
    async fn wait_at_most(&mut self, patience: Duration) -> Result<i32> {
        if patience.is_zero() {
            return self.wait().await;
        }
        tokio::time::timeout(patience, self.wait()).await.unwrap_or_else(|_| {
            Err(Error::Deadline(format!(
                "failed to exec in container: timeout {patience:?} exceeded: context deadline exceeded"
            )))
        })
    }

    pub(crate) fn kill(&self) {
        if let Some(process) = self.process {
            process.signal(Signal::SIGKILL);
        }
    }
}

/// The command's standard streams where it has no terminal.
struct Pipes {
    stdin: Option<pipe::Sender>,
    stdout: Option<pipe::Receiver>,
    stderr: Option<pipe::Receiver>,
}

impl Pipes {
    fn make(shim: &mut tokio::process::Command, wants_terminal: bool, wants_stdin: bool) -> Result<Self> {
        if wants_terminal {
            shim.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            return Ok(Self { stdin: None, stdout: None, stderr: None });
        }
        let stdin = if wants_stdin {
            let (sender, receiver) = pipe::pipe().at("open", "a pipe")?;
            shim.stdin(receiver.into_blocking_fd().at("use", "a pipe")?);
            Some(sender)
        } else {
            shim.stdin(Stdio::null());
            None
        };
        let (sender, stdout) = pipe::pipe().at("open", "a pipe")?;
        shim.stdout(sender.into_blocking_fd().at("use", "a pipe")?);
        let (sender, stderr) = pipe::pipe().at("open", "a pipe")?;
        shim.stderr(sender.into_blocking_fd().at("use", "a pipe")?);
        Ok(Self { stdin, stdout: Some(stdout), stderr: Some(stderr) })
    }
}

/// What `shim exec` says.
enum Answer {
    Pid(i32),
    Terminal(OwnedFd),
    Error(String),
    Exit(i32),
}

/// The socket that it says it on.
struct Control {
    stream: UnixStream,
    received: Vec<u8>,
    descriptor: Option<OwnedFd>,
}

impl Control {
    fn new(stream: std::os::unix::net::UnixStream) -> Result<Self> {
        stream.set_nonblocking(true).at("use", "a socket")?;
        let stream = UnixStream::from_std(stream).at("use", "a socket")?;
        Ok(Self { stream, received: Vec::new(), descriptor: None })
    }

    async fn next(&mut self) -> Result<Answer> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return self.parse(String::from_utf8_lossy(&line[..end]).as_ref());
            }
            let mut buffer = [0; 4096];
            let socket = self.stream.as_raw_fd();
            let received = self.stream.async_io(Interest::READABLE, || receive(socket, &mut buffer)).await;
            let (count, descriptor) = received.at("read from", "shim exec")?;
            if count == 0 {
                return Err(Error::Shim("exec ended without a word".to_owned()));
            }
            self.received.extend_from_slice(&buffer[..count]);
            self.descriptor = descriptor.or(self.descriptor.take());
        }
    }

    fn parse(&mut self, line: &str) -> Result<Answer> {
        let bad = || Error::Shim(format!("exec said {line:?}"));
        match line.split_once(' ').unwrap_or((line, "")) {
            ("pid", pid) => pid.parse().map(Answer::Pid).map_err(|_| bad()),
            ("exit", code) => code.parse().map(Answer::Exit).map_err(|_| bad()),
            ("error", message) => Ok(Answer::Error(message.to_owned())),
            ("terminal", _) => self.descriptor.take().map(Answer::Terminal).ok_or_else(bad),
            _ => Err(bad()),
        }
    }
}

fn receive(socket: RawFd, buffer: &mut [u8]) -> std::io::Result<(usize, Option<OwnedFd>)> {
    let mut space = nix::cmsg_space!(RawFd);
    let mut vector = [IoSliceMut::new(buffer)];
    let message = recvmsg::<()>(socket, &mut vector, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let descriptor = message.cmsgs()?.find_map(|control| match control {
        // SAFETY: the kernel made this descriptor for us.
        ControlMessageOwned::ScmRights(fds) => fds.first().map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) }),
        _ => None,
    });
    Ok((message.bytes, descriptor))
}

fn set_nonblocking(fd: &OwnedFd) -> Result<()> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map(drop).at("use", "the terminal")
}

async fn read_capped(stream: Option<pipe::Receiver>, kept: &mut Vec<u8>) {
    let Some(mut stream) = stream else { return };
    let mut buffer = vec![0; 32 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        let room = OUTPUT_LIMIT_BYTES - kept.len();
        // What is too much is still read, or the command would wait for ever.
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
}
