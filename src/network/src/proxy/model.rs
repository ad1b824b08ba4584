//! The words of the proxy: an address in front, backends behind it, and how traffic gets from one to the other.

use std::net::{Ipv4Addr, SocketAddrV4};

/// A transport protocol of a service's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Protocol {
    /// TCP
    Tcp,
    /// UDP
    Udp,
    /// SCTP
    Sctp,
}

impl Protocol {
    /// The protocol of a service's or endpoint's port; TCP where none is named.
    pub(super) fn parse(name: Option<&str>) -> Option<Self> {
        match name {
            None | Some("TCP") => Some(Protocol::Tcp),
            Some("UDP") => Some(Protocol::Udp),
            Some("SCTP") => Some(Protocol::Sctp),
            Some(_) => None,
        }
    }

    /// The protocol of that number.
    pub(super) fn from_number(number: u8) -> Option<Self> {
        [Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
            .into_iter()
            .find(|protocol| protocol.number() == number)
    }

    /// IANA's number.
    pub(super) fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }
}

/// What clients connect to: one port of one address of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Front {
    /// A cluster IP, an external IP, or the node's address for a node port.
    pub(super) address: Ipv4Addr,
    /// The protocol.
    pub(super) protocol: Protocol,
    /// The port.
    pub(super) port: u16,
}

/// What becomes of connections to a front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// They are spread evenly over endpoints.
    Spread {
        /// The endpoints, at least one, each once.
        backends: Vec<SocketAddrV4>,
        /// How the endpoint is chosen and how the client appears to it.
        manner: Manner,
    },
    /// They are refused: there are no endpoints.
    Reject,
    /// They are ignored: there are endpoints, but none that the traffic policy allows on this node.
    Drop,
}

/// How connections reach the endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Manner {
    /// For how many seconds a client's connections go to the same endpoint.
    pub(super) affinity_seconds: Option<u32>,
    /// Whether endpoints see the address of clients outside the cluster (`externalTrafficPolicy: Local`).
    pub(super) keeps_source: bool,
}

/// All that the kernel's chains need to know of a target; targets of one shape share a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shape {
    /// Spread over so many endpoints.
    Spread {
        /// How many.
        count: u32,
        /// In which manner.
        manner: Manner,
    },
    /// Refused.
    Reject,
    /// Ignored.
    Drop,
}

impl Target {
    /// The shape of this target.
    pub(super) fn shape(&self) -> Shape {
        match self {
            Target::Spread { backends, manner } => {
                let count = u32::try_from(backends.len()).expect("fewer endpoints than addresses");
                Shape::Spread { count, manner: *manner }
            }
            Target::Reject => Shape::Reject,
            Target::Drop => Shape::Drop,
        }
    }

    /// The endpoints, none when connections are not let through.
    pub(super) fn backends(&self) -> &[SocketAddrV4] {
        match self {
            Target::Spread { backends, .. } => backends,
            Target::Reject | Target::Drop => &[],
        }
    }

    /// Whether a client stays with its endpoint.
    pub(super) fn is_sticky(&self) -> bool {
        matches!(self, Target::Spread { manner: Manner { affinity_seconds: Some(_), .. }, .. })
    }
}
