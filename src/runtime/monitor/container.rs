//! One container, from the request to create it until its exit is on disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::log::Lines;
use crate::sys;

/// What the runtime asks for.
pub(crate) struct Request<'a> {
    pub(crate) id: &'a str,
    /// The program that has the subcommand `shim create`.
    pub(crate) executable: &'a str,
    /// The container's directory: its bundle is there, `pid` and `exit` are written there.
    pub(crate) directory: &'a str,
    /// The log file; empty for none.
    pub(crate) log: &'a str,
    /// `t` for a terminal, `i` for standard input, `o` to end standard input with the first attached client.
    pub(crate) flags: &'a str,
}

pub(crate) struct Container {
    pub(crate) id: String,
    directory: PathBuf,
    log_path: String,
    log: Option<File>,
    /// `shim create` and where it reports; gone when it is done.
    pub(crate) creator: i32,
    pub(crate) status: Option<OwnedFd>,
    /// 0 until `shim create` has told it.
    pub(crate) pid: i32,
    /// When that was, and the process's own start in the kernel's ticks.
    started_at_ns: u128,
    ticks: String,
    pub(crate) outputs: Vec<Output>,
    pub(crate) input: Option<OwnedFd>,
    pub(crate) is_tty: bool,
    pub(crate) is_input_once: bool,
    /// Input that the container has not taken yet; its clients are not read meanwhile.
    pub(crate) unread_input: Vec<u8>,
}

/// One of the container's output streams.
pub(crate) struct Output {
    /// 1 or 2, as attached clients know it.
    pub(crate) number: u8,
    pub(crate) source: File,
    lines: Lines,
}

/// What `shim create` reported.
pub(crate) enum Report {
    Pid,
    Started { pid: i32, ticks: String, at_ns: u128 },
    Failed(String),
    Nothing,
}

impl Container {
    /// Opens log and pipes and starts `shim create`.
    pub(crate) fn create(request: &Request<'_>) -> io::Result<Self> {
        let is_tty = request.flags.contains('t');
        let log = open_log(request.log)?;
        let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
        let (ours, theirs) = sys::socket_pair()?;
        let mut container = Self {
            id: request.id.to_owned(),
            directory: PathBuf::from(request.directory),
            log_path: request.log.to_owned(),
            log,
            creator: 0,
            status: Some(ours),
            pid: 0,
            started_at_ns: 0,
            ticks: String::new(),
            outputs: Vec::new(),
            input: None,
            is_tty,
            is_input_once: request.flags.contains('o'),
            unread_input: Vec::new(),
        };
        let mut kept_open = Vec::new();
        let mut stdio = [null.as_raw_fd(); 3];
        if !is_tty {
            if request.flags.contains('i') {
                let (read, write) = sys::input_pipe()?;
                sys::set_nonblocking(&write)?;
                stdio[0] = read.as_raw_fd();
                kept_open.push(read);
                container.input = Some(write);
            }
            for (number, stream) in [(1, "stdout"), (2, "stderr")] {
                let (read, write) = sys::output_pipe()?;
                container.outputs.push(Output::new(number, stream, read));
                stdio[number as usize] = write.as_raw_fd();
                kept_open.push(write);
            }
        }
        let null = null.as_raw_fd();
        let fds: [RawFd; 7] = [null, null, null, stdio[0], stdio[1], stdio[2], theirs.as_raw_fd()];
        container.creator = sys::spawn(&[request.executable, "shim", "create", request.directory], &fds)?;
        Ok(container)
    }

    /// Takes one message from `shim create`.
    pub(crate) fn read_report(&mut self) -> Report {
        let Some(status) = &self.status else { return Report::Nothing };
        let mut buffer = [0; 8192];
        let (count, descriptor) = match sys::receive(status, &mut buffer) {
            Ok(received) => received,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Report::Nothing,
            Err(e) => return self.fail(format!("shim create: {e}")),
        };
        let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
        if let Some(terminal) = descriptor {
            self.take_terminal(terminal);
        }
        match text.split_once(' ') {
            Some(("pid", pid)) => match self.record_pid(pid) {
                Ok(()) => Report::Pid,
                Err(e) => self.fail(format!("record process {pid}: {e}")),
            },
            Some(("error", message)) => self.fail(message.to_owned()),
            _ if text == "started" => self.confirm_start(),
            _ => self.fail("shim create ended without a word".to_owned()),
        }
    }

    fn confirm_start(&mut self) -> Report {
        self.status = None;
        Report::Started { pid: self.pid, ticks: self.ticks.clone(), at_ns: self.started_at_ns }
    }

    /// Its process has ended. If `shim create` did not get round to saying that it had started, it had.
    pub(crate) fn process_ended(&mut self) -> Report {
        if self.status.is_some() { self.confirm_start() } else { Report::Nothing }
    }

    /// `shim create` is gone. If it did not say how it went, it failed; its own child may still hold the socket open.
    pub(crate) fn creator_ended(&mut self) -> Report {
        self.creator = 0;
        if self.status.is_some() { self.fail("shim create was killed".to_owned()) } else { Report::Nothing }
    }

    fn record_pid(&mut self, pid: &str) -> io::Result<()> {
        self.pid = pid.parse().map_err(io::Error::other)?;
        self.ticks = start_ticks(self.pid).ok_or(ErrorKind::NotFound)?;
        self.started_at_ns = now_ns();
        write_file(&self.directory, "pid", &format!("{} {} {}\n", self.pid, self.ticks, self.started_at_ns))
    }

    fn fail(&mut self, message: String) -> Report {
        self.status = None;
        if self.pid > 0 {
            sys::kill(self.pid);
            // It may not be there; then nothing was recorded.
            drop(fs::remove_file(self.directory.join("pid")));
        }
        Report::Failed(message)
    }

    fn take_terminal(&mut self, terminal: OwnedFd) {
        if sys::set_nonblocking(&terminal).is_ok()
            && let Ok(input) = terminal.try_clone()
        {
            self.input = Some(input);
            self.outputs.push(Output::new(1, "stdout", terminal));
        }
    }

    /// How it ended, which is now.
    pub(crate) fn exit(&self, code: i32) -> Exit {
        Exit { directory: self.directory.clone(), code, at_ns: now_ns() }
    }

    /// Copies what is there of output number `index` to the log; answers it for attached clients. `None` at the end.
    pub(crate) fn copy_output(&mut self, index: usize) -> Option<Vec<u8>> {
        let output = &mut self.outputs[index];
        let mut buffer = [0; 16 * 1024];
        let (now, mut text) = (SystemTime::now(), Vec::new());
        let result = match output.source.read(&mut buffer) {
            Ok(0) => None,
            Ok(count) => {
                output.lines.push(&buffer[..count], now, &mut text);
                Some(buffer[..count].to_vec())
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock || e.kind() == ErrorKind::Interrupted => {
                Some(Vec::new())
            }
            // A terminal that nobody has open any more gives an error rather than an end.
            Err(_) => None,
        };
        if result.is_none() {
            output.lines.finish(now, &mut text);
        }
        if let Some(log) = &mut self.log
            && !text.is_empty()
        {
            // A full disk must not stop the container; its output is lost until there is room.
            drop(log.write_all(&text));
        }
        if result.is_none() {
            self.outputs.remove(index);
        }
        result
    }

    pub(crate) fn reopen_log(&mut self) -> io::Result<()> {
        self.log = open_log(&self.log_path)?;
        Ok(())
    }

    /// Gives the container as much of its pending input as it takes.
    pub(crate) fn feed(&mut self, data: &[u8]) {
        self.unread_input.extend_from_slice(data);
        let Some(input) = &self.input else {
            self.unread_input.clear();
            return;
        };
        let Ok(clone) = input.try_clone() else { return };
        let mut writer = File::from(clone);
        while !self.unread_input.is_empty() {
            match writer.write(&self.unread_input) {
                Ok(count) => drop(self.unread_input.drain(..count)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.input = None;
                    self.unread_input.clear();
                }
            }
        }
    }
}

/// How a container ended and when.
pub(crate) struct Exit {
    directory: PathBuf,
    pub(crate) code: i32,
    pub(crate) at_ns: u128,
}

impl Exit {
    /// Whether it is written down now, or nobody wants it any more.
    pub(crate) fn record(&self) -> bool {
        let text = format!("{} {}\n", self.code, self.at_ns);
        write_file(&self.directory, "exit", &text).is_ok() || !self.directory.exists()
    }
}

impl Output {
    fn new(number: u8, stream: &'static str, source: OwnedFd) -> Self {
        Self { number, source: File::from(source), lines: Lines::new(stream) }
    }
}

fn open_log(path: &str) -> io::Result<Option<File>> {
    if path.is_empty() {
        return Ok(None);
    }
    OpenOptions::new().append(true).create(true).mode(0o640).open(path).map(Some)
}

/// Puts a short text in place in one step.
fn write_file(directory: &Path, name: &str, text: &str) -> io::Result<()> {
    let temporary = directory.join(format!("{name}.tmp"));
    fs::write(&temporary, text)?;
    fs::rename(&temporary, directory.join(name))
}

/// When a process started, in the kernel's ticks: with its number, that names it beyond doubt.
fn start_ticks(pid: i32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name, in parentheses, may contain anything. After it, the 20th field.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19).map(str::to_owned)
}

fn now_ns() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}
