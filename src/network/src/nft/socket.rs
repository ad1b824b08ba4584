//! The netfilter socket: sends a transaction, reads what the kernel says to it; sends a request, reads its replies.
//!
//! The kernel works through a message while it is being sent, so that every answer is there when `send` returns:
//! nothing here waits.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use netlink_sys::{SocketAddr, protocols::NETLINK_NETFILTER};
use nix::sys::socket::{setsockopt, sockopt};

use super::attributes::parse;
use crate::Error;

/// Bytes of a netlink header.
const HEADER: usize = 16;
/// Attributes of an error message: the explanation.
const EXPLANATION: u16 = 1;

/// A socket to the kernel's netfilter, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Socket(netlink_sys::Socket);

/// Why a transaction was refused.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Sequence number of the message at fault.
    pub(super) sequence: usize,
    pub(super) error: io::Error,
    pub(super) explanation: Option<String>,
}

impl Socket {
    /// Opens the socket.
    ///
    /// # Errors
    /// When the kernel has no netfilter or refuses.
    pub fn open() -> Result<Self, Error> {
        open().map(Self).map_err(Error::io("opening a netfilter socket"))
    }

    /// Sends `messages` and answers what the kernel says. `acknowledged` is the message that asked for an answer.
    pub(super) fn transact(&mut self, messages: &[u8], acknowledged: usize) -> Result<(), Refusal> {
        let refused = |error| Refusal { sequence: 0, error, explanation: None };
        self.make_room_for(messages.len()).map_err(refused)?;
        self.0.send(messages, 0).map_err(refused)?;
        let replies = self.replies().map_err(refused)?;
        let mut answered = false;
        for message in split(&replies) {
            let Some((sequence, code, attributes)) = error_of(message) else { continue };
            if code != 0 {
                let error = io::Error::from_raw_os_error(-code);
                return Err(Refusal { sequence, error, explanation: explanation_in(attributes) });
            }
            answered |= sequence == acknowledged;
        }
        match answered {
            true => Ok(()),
            false => Err(refused(io::Error::other("the kernel did not answer"))),
        }
    }

    /// A message is one datagram; it must fit the socket's buffer however long it is.
    fn make_room_for(&self, length: usize) -> io::Result<()> {
        Ok(setsockopt(&self.as_fd(), sockopt::SndBufForce, &(length + 4096))?)
    }

    /// Everything that is there to read.
    fn replies(&mut self) -> io::Result<Vec<u8>> {
        let mut replies = Vec::new();
        loop {
            let mut datagram = Vec::with_capacity(64 * 1024);
            match self.0.recv(&mut datagram, libc::MSG_DONTWAIT) {
                Ok(_) => replies.append(&mut datagram),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(replies),
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sends one request on a fresh socket and answers the messages that come back, headers included, up to the end of a
/// dump or the acknowledgement.
pub(crate) fn exchange(request: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let socket = open()?;
    socket.send(request, 0)?;
    let mut messages = Vec::new();
    loop {
        let mut datagram = Vec::with_capacity(64 * 1024);
        socket.recv(&mut datagram, 0)?;
        for message in split(&datagram) {
            let kind = u16::from_ne_bytes([message[4], message[5]]);
            match (libc::c_int::from(kind), error_of(message)) {
                (libc::NLMSG_DONE, _) | (_, Some((_, 0, _))) => return Ok(messages),
                (_, Some((_, code, _))) => return Err(io::Error::from_raw_os_error(-code)),
                _ => messages.push(message.to_vec()),
            }
        }
    }
}

fn open() -> io::Result<netlink_sys::Socket> {
    let mut socket = netlink_sys::Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.set_ext_ack(true)?;
    socket.set_cap_ack(true)?;
    Ok(socket)
}

/// The messages in a stream of datagrams.
fn split(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
        let message = bytes.get(..length).filter(|message| message.len() >= HEADER)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// Sequence number, error number (negative, 0 for an acknowledgement) and attributes of an error message.
fn error_of(message: &[u8]) -> Option<(usize, i32, &[u8])> {
    const SEQUENCE: usize = 8;
    let kind = u16::from_ne_bytes([message[4], message[5]]);
    if libc::c_int::from(kind) != libc::NLMSG_ERROR {
        return None;
    }
    let sequence = u32::from_ne_bytes(*message.get(SEQUENCE..)?.first_chunk()?);
    let code = i32::from_ne_bytes(*message.get(HEADER..)?.first_chunk()?);
    // With capped answers the header of the request follows, then the attributes.
    let attributes = message.get(HEADER + 4 + HEADER..).unwrap_or_default();
    Some((sequence as usize, code, attributes))
}

fn explanation_in(attributes: &[u8]) -> Option<String> {
    let (_, text) = parse(attributes).find(|(kind, _)| *kind == EXPLANATION)?;
    Some(String::from_utf8_lossy(text.strip_suffix(&[0]).unwrap_or(text)).into_owned())
}
