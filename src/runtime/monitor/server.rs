//! The monitor's loop: one `poll` over signals, the socket, clients, reports and output.
//!
//! Requests, as lines of tab-separated fields: `create ID EXECUTABLE DIRECTORY LOG FLAGS`, `reopen ID`, `resize ID ROWS COLUMNS`,
//! `attach ID`, `end`. What clients hear: `started ID PID TICKS NS`, `failed ID MESSAGE`, `exited ID CODE NS`, `reopened ID`, `refused ID MESSAGE`,
//! `ended`, `busy`.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixListener;

use crate::client::{Client, FRAME_RESIZE, FRAME_STDIN, FRAME_STDIN_END};
use crate::container::{Container, Exit, Report, Request};
use crate::sys::{self, POLLIN, POLLOUT, PollFd};

/// The socket's name in the sandbox's directory.
const SOCKET: &str = "monitor.sock";
/// How often what could not be written is tried again: the disk may have room by then.
const RETRY_MS: i32 = 1000;

/// Serves until a client says `end` and no container is left.
pub(crate) fn run(directory: &str) -> io::Result<()> {
    // A relative name: the full path may be longer than a socket address.
    std::env::set_current_dir(directory)?;
    match fs::remove_file(SOCKET) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(SOCKET)?;
    listener.set_nonblocking(true)?;
    let mut monitor = Monitor {
        listener,
        signals: sys::child_signals()?.into(),
        clients: Vec::new(),
        containers: Vec::new(),
        unwritten: Vec::new(),
        is_ending: false,
    };
    println!("ready");
    io::stdout().flush()?;
    sys::leave_stdio(&File::options().read(true).write(true).open("/dev/null")?)?;
    while !(monitor.is_ending && monitor.containers.is_empty()) {
        monitor.turn()?;
    }
    fs::remove_file(SOCKET)
}

struct Monitor {
    listener: UnixListener,
    signals: File,
    clients: Vec<Client>,
    containers: Vec<Container>,
    /// What a runtime that is away now could not be told by file.
    unwritten: Vec<Exit>,
    is_ending: bool,
}

impl Monitor {
    /// Waits once and handles everything that is ready. The order matters: a container's process must be known before
    /// it is reaped, and its output copied before its exit is told.
    fn turn(&mut self) -> io::Result<()> {
        let mut fds = self.interests();
        sys::wait_ready(&mut fds, if self.unwritten.is_empty() { -1 } else { RETRY_MS })?;
        let ready = |fd: RawFd| fds.iter().any(|p| p.fd == fd && p.revents != 0);

        for index in 0..self.containers.len() {
            if self.containers[index].status.as_ref().is_some_and(|fd| ready(fd.as_raw_fd())) {
                self.take_reports(index);
            }
            self.copy_output(index, &ready);
            if self.containers[index].input.as_ref().is_some_and(|fd| ready(fd.as_raw_fd())) {
                self.containers[index].feed(&[]);
            }
        }
        if ready(self.signals.as_raw_fd()) {
            self.reap();
        }
        let ready_clients: Vec<usize> =
            (0..self.clients.len()).filter(|i| ready(self.clients[*i].stream.as_raw_fd())).collect();
        for index in ready_clients {
            self.serve(index);
        }
        if ready(self.listener.as_raw_fd()) {
            self.accept();
        }
        self.clients.retain(|client| !client.is_gone);
        self.unwritten.retain(|exit| !exit.record());
        Ok(())
    }

    fn interests(&self) -> Vec<PollFd> {
        let mut fds = Vec::new();
        let mut add = |fd: RawFd, events: i16| fds.push(PollFd { fd, events, revents: 0 });
        add(self.signals.as_raw_fd(), POLLIN);
        add(self.listener.as_raw_fd(), POLLIN);
        for container in &self.containers {
            container.status.iter().for_each(|fd| add(fd.as_raw_fd(), POLLIN));
            container.outputs.iter().for_each(|output| add(output.source.as_raw_fd(), POLLIN));
            if !container.unread_input.is_empty() {
                container.input.iter().for_each(|fd| add(fd.as_raw_fd(), POLLOUT));
            }
        }
        for client in &self.clients {
            let waits_for_container = client
                .attached
                .as_deref()
                .is_some_and(|id| self.containers.iter().any(|c| c.id == id && !c.unread_input.is_empty()));
            let input = if waits_for_container { 0 } else { POLLIN };
            add(client.stream.as_raw_fd(), input | if client.has_unsent() { POLLOUT } else { 0 });
        }
        fds
    }

    fn take_reports(&mut self, index: usize) {
        loop {
            match self.containers[index].read_report() {
                Report::Nothing => return,
                report => self.take(index, report),
            }
        }
    }

    fn take(&mut self, index: usize, report: Report) {
        let id = self.containers[index].id.clone();
        match report {
            Report::Nothing | Report::Pid => {}
            Report::Started { pid, ticks, at_ns } => {
                self.tell(&["started", &id, &pid.to_string(), &ticks, &at_ns.to_string()]);
            }
            Report::Failed(message) => self.tell(&["failed", &id, &message]),
        }
    }

    fn copy_output(&mut self, index: usize, ready: impl Fn(RawFd) -> bool) {
        for output in (0..self.containers[index].outputs.len()).rev() {
            if ready(self.containers[index].outputs[output].source.as_raw_fd()) {
                self.copy_once(index, output);
            }
        }
    }

    /// Answers whether there was anything.
    fn copy_once(&mut self, index: usize, output: usize) -> bool {
        let container = &mut self.containers[index];
        let number = container.outputs[output].number;
        let Some(data) = container.copy_output(output) else { return false };
        let id = self.containers[index].id.as_str();
        for client in self.clients.iter_mut().filter(|client| client.attached.as_deref() == Some(id)) {
            if !data.is_empty() {
                client.send_frame(number, &data);
            }
        }
        !data.is_empty()
    }

    fn reap(&mut self) {
        // Any number of children may stand behind one notice: what it says does not matter.
        drop((&self.signals).read(&mut [0; 256]));
        while let Some((pid, code)) = sys::reap() {
            if let Some(index) = self.containers.iter().position(|c| c.creator == pid) {
                self.take_reports(index);
                let report = self.containers[index].creator_ended();
                self.take(index, report);
            } else if let Some(index) = self.containers.iter().position(|c| c.pid == pid) {
                self.end(index, code);
            }
        }
        // What failed to start has no process left to wait for.
        self.containers.retain(|c| c.creator != 0 || c.status.is_some() || c.pid != 0);
    }

    /// A container's first process is gone, and with it all others of its PID namespace.
    fn end(&mut self, index: usize, code: i32) {
        self.take_reports(index);
        let report = self.containers[index].process_ended();
        self.take(index, report);
        for output in (0..self.containers[index].outputs.len()).rev() {
            while output < self.containers[index].outputs.len() && self.copy_once(index, output) {}
        }
        let container = self.containers.remove(index);
        let exit = container.exit(code);
        let at_ns = exit.at_ns;
        if !exit.record() {
            self.unwritten.push(exit);
        }
        for client in self.clients.iter_mut().filter(|c| c.attached.as_ref() == Some(&container.id)) {
            client.close();
        }
        self.tell(&["exited", &container.id, &code.to_string(), &at_ns.to_string()]);
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            if let Ok(client) = Client::new(stream) {
                self.clients.push(client);
            }
        }
    }

    fn serve(&mut self, index: usize) {
        self.clients[index].flush();
        self.clients[index].receive();
        while let Some(line) = self.clients[index].next_line() {
            self.obey(index, &line);
        }
        if self.clients[index].attached.is_some() {
            self.pass_input(index);
        }
    }

    fn obey(&mut self, client: usize, line: &str) {
        let fields: Vec<&str> = line.split('\t').collect();
        match fields[..] {
            ["create", id, executable, directory, log, flags] => {
                match Container::create(&Request { id, executable, directory, log, flags }) {
                    Ok(container) => self.containers.push(container),
                    Err(e) => self.tell(&["failed", id, &format!("monitor: {e}")]),
                }
            }
            ["reopen", id] => match self.find(id).map(Container::reopen_log) {
                Some(Ok(())) => self.clients[client].send_line(&["reopened", id]),
                Some(Err(e)) => self.clients[client].send_line(&["refused", id, &e.to_string()]),
                None => self.clients[client].send_line(&["refused", id, "container is not running"]),
            },
            ["resize", id, rows, columns] => self.resize(id, rows.parse().ok(), columns.parse().ok()),
            ["attach", id] if self.find(id).is_some() => self.clients[client].attached = Some(id.to_owned()),
            ["end"] => {
                self.is_ending = true;
                let answer = if self.containers.is_empty() { "ended" } else { "busy" };
                self.clients[client].send_line(&[answer]);
            }
            _ => self.clients[client].close(),
        }
    }

    fn pass_input(&mut self, client: usize) {
        let Some(id) = self.clients[client].attached.clone() else { return };
        while let Some((kind, data)) = self.clients[client].next_frame() {
            match (kind, self.find(&id)) {
                (FRAME_STDIN, Some(container)) => container.feed(&data),
                (FRAME_STDIN_END, Some(container)) if container.is_input_once && !container.is_tty => {
                    container.input = None;
                }
                (FRAME_RESIZE, Some(_)) if data.len() == 4 => {
                    let number = |at: usize| Some(u16::from_be_bytes([data[at], data[at + 1]]));
                    self.resize(&id, number(0), number(2));
                }
                _ => {}
            }
        }
    }

    fn resize(&mut self, id: &str, rows: Option<u16>, columns: Option<u16>) {
        if let (Some(container), Some(rows), Some(columns)) = (self.find(id), rows, columns)
            && let Some(terminal) = container.input.as_ref().filter(|_| container.is_tty)
        {
            sys::resize(terminal, rows, columns);
        }
    }

    fn find(&mut self, id: &str) -> Option<&mut Container> {
        self.containers.iter_mut().find(|container| container.id == id)
    }

    fn tell(&mut self, fields: &[&str]) {
        self.clients
            .iter_mut()
            .filter(|client| client.attached.is_none())
            .for_each(|client| client.send_line(fields));
    }
}
