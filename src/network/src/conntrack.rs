//! The kernel's memory of connections: forgets flows whose translation is no longer right.
//!
//! TCP connections end by themselves. A UDP flow is remembered as long as packets come, so a client that keeps its port
//! would be led to an endpoint that is gone.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
};

use crate::nft::{Attributes, Header, exchange, find};

const SUBSYSTEM: u16 = 1;
const GET: u16 = 1;
const DELETE: u16 = 2;

const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ID: u16 = 12;

/// A flow that the kernel remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    /// Number of the transport protocol.
    pub(crate) protocol: u8,
    /// Where the client sends to.
    pub(crate) opened_to: SocketAddrV4,
    /// Who answers.
    pub(crate) answered_by: SocketAddrV4,
    /// What names the flow to the kernel.
    original: Vec<u8>,
    id: Vec<u8>,
}

/// Forgets the flows that `is_stale` says, and answers how many.
pub(crate) fn forget(is_stale: impl Fn(&Flow) -> bool) -> io::Result<usize> {
    let mut forgotten = 0;
    for flow in flows()?.iter().filter(|flow| is_stale(flow)) {
        match exchange(&request(DELETE, libc::NLM_F_ACK, flow.name())) {
            Ok(_) => forgotten += 1,
            // It ended by itself.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(forgotten)
}

fn flows() -> io::Result<Vec<Flow>> {
    let replies = exchange(&request(GET, libc::NLM_F_DUMP, Attributes::default()))?;
    Ok(replies.iter().filter_map(|reply| Flow::parse(reply.get(Header::LENGTH..)?)).collect())
}

fn request(message: u16, flags: libc::c_int, attributes: Attributes) -> Vec<u8> {
    let kind = SUBSYSTEM << 8 | message;
    let header = Header { kind, flags: flags as u16, sequence: 0, family: libc::AF_INET as u8, resource: 0 };
    let mut bytes = Vec::new();
    header.write(&attributes.into_bytes(), &mut bytes);
    bytes
}

impl Flow {
    /// From the attributes of a flow; `None` where it has no ports.
    fn parse(attributes: &[u8]) -> Option<Self> {
        let original = find(attributes, TUPLE_ORIGINAL)?;
        let (protocol, _, opened_to) = tuple(original)?;
        let (_, answered_by, _) = tuple(find(attributes, TUPLE_REPLY)?)?;
        let id = find(attributes, ID)?.to_vec();
        Some(Self { protocol, opened_to, answered_by, original: original.to_vec(), id })
    }

    fn name(&self) -> Attributes {
        let mut attributes = Attributes::default();
        attributes.bytes(TUPLE_ORIGINAL | 1 << 15, &self.original).bytes(ID, &self.id);
        attributes
    }
}

/// Protocol, source and destination of one direction of a flow.
fn tuple(attributes: &[u8]) -> Option<(u8, SocketAddrV4, SocketAddrV4)> {
    let (addresses, transport) = (find(attributes, 1)?, find(attributes, 2)?);
    let address = |kind| Some(Ipv4Addr::from(<[u8; 4]>::try_from(find(addresses, kind)?).ok()?));
    let port = |kind| Some(u16::from_be_bytes(find(transport, kind)?.try_into().ok()?));
    let protocol = *find(transport, 1)?.first()?;
    Some((protocol, SocketAddrV4::new(address(1)?, port(2)?), SocketAddrV4::new(address(2)?, port(3)?)))
}
