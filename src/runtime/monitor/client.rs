//! A connection to the monitor. It carries lines of tab-separated fields until the client attaches to a container; from
//! then on frames: a byte for the kind, four for the length (big-endian), the bytes.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

/// A client that does not read what it is sent is dropped at this backlog; nobody waits for it.
const BACKLOG_LIMIT_BYTES: usize = 1024 * 1024;
/// No line or frame is longer; a client that sends one is dropped.
const MESSAGE_LIMIT_BYTES: usize = 64 * 1024;
const FRAME_HEADER_BYTES: usize = 5;

pub(crate) const FRAME_STDIN: u8 = 0;
pub(crate) const FRAME_STDIN_END: u8 = 3;
pub(crate) const FRAME_RESIZE: u8 = 4;

pub(crate) struct Client {
    pub(crate) stream: UnixStream,
    /// The container that it is attached to.
    pub(crate) attached: Option<String>,
    pub(crate) is_gone: bool,
    /// To be closed once everything is sent.
    is_closing: bool,
    received: Vec<u8>,
    unsent: Vec<u8>,
}

impl Client {
    pub(crate) fn new(stream: UnixStream) -> std::io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            attached: None,
            is_gone: false,
            is_closing: false,
            received: Vec::new(),
            unsent: Vec::new(),
        })
    }

    pub(crate) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Takes what has arrived, once.
    pub(crate) fn receive(&mut self) {
        let mut buffer = [0; 8192];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.is_gone = true,
            Ok(count) => self.received.extend_from_slice(&buffer[..count]),
            Err(e) if e.kind() == ErrorKind::WouldBlock || e.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.is_gone = true,
        }
        if self.received.len() > MESSAGE_LIMIT_BYTES {
            self.is_gone = true;
        }
    }

    /// The next complete line, unless the client is attached.
    pub(crate) fn next_line(&mut self) -> Option<String> {
        if self.attached.is_some() {
            return None;
        }
        let end = self.received.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.received.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line[..end]).into_owned())
    }

    /// The next complete frame of an attached client.
    pub(crate) fn next_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let header = self.received.get(..FRAME_HEADER_BYTES)?;
        let length = u32::from_be_bytes(header[1..].try_into().ok()?) as usize;
        let kind = header[0];
        if length > MESSAGE_LIMIT_BYTES - FRAME_HEADER_BYTES {
            self.is_gone = true;
            return None;
        }
        if self.received.len() < FRAME_HEADER_BYTES + length {
            return None;
        }
        let frame: Vec<u8> = self.received.drain(..FRAME_HEADER_BYTES + length).collect();
        Some((kind, frame[FRAME_HEADER_BYTES..].to_vec()))
    }

    pub(crate) fn send_line(&mut self, fields: &[&str]) {
        let mut line = fields.join("\t").replace('\n', " ");
        line.push('\n');
        self.send(line.as_bytes());
    }

    pub(crate) fn send_frame(&mut self, kind: u8, data: &[u8]) {
        let mut frame = vec![kind];
        frame.extend_from_slice(&u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
        frame.extend_from_slice(data);
        self.send(&frame);
    }

    fn send(&mut self, bytes: &[u8]) {
        self.unsent.extend_from_slice(bytes);
        self.flush();
        if self.unsent.len() > BACKLOG_LIMIT_BYTES {
            self.is_gone = true;
        }
    }

    /// Sends as much as the socket takes.
    pub(crate) fn flush(&mut self) {
        while !self.unsent.is_empty() && !self.is_gone {
            match self.stream.write(&self.unsent) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.is_gone = true,
            }
        }
        self.is_gone |= self.is_closing && self.unsent.is_empty();
    }

    /// Closes the connection when everything is sent.
    pub(crate) fn close(&mut self) {
        self.is_closing = true;
        self.flush();
    }
}
