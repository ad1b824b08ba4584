//! What can go wrong in networking, named by what the caller can do about it.

use std::{io, path::PathBuf};

/// An error of the network crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused a link, address, route or neighbour.
    #[error("{what}: {source}")]
    Link {
        /// What was being done.
        what: String,
        /// The kernel's answer.
        source: rtnetlink::Error,
    },
    /// The kernel refused an nf_tables transaction.
    #[error("nftables: {what}: {source}")]
    Nft {
        /// The operation of the transaction that was refused, with the kernel's explanation where it gave one.
        what: String,
        /// The error number.
        source: io::Error,
    },
    /// An operating system call failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// The cause.
        source: io::Error,
    },
    /// A pod was attached before the node's pod CIDR was known.
    #[error("the node has no pod CIDR yet")]
    NotConfigured,
    /// The node's pod CIDR cannot be used.
    #[error("pod CIDR {0:?} is not an IPv4 network with room for pods")]
    PodCidr(String),
    /// Every address of the node's pod CIDR is taken.
    #[error("no free address in pod CIDR {0}")]
    Exhausted(ipnet::Ipv4Net),
    /// A file of the address records is damaged.
    #[error("address record {path}: {reason}", path = .path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another pod of the node has the host port.
    #[error("host port {0} of this node already leads to another pod")]
    HostPortTaken(crate::pods::HostPort),
    /// The machine lacks something that networking needs.
    #[error("missing on this machine: {}", .0.join(", "))]
    Missing(Vec<String>),
    /// A configured address family is not supported.
    #[error("{0} is not IPv4; only IPv4 is supported")]
    NotIpv4(String),
    /// A task or thread of this crate ended without an answer.
    #[error("{0} ended unexpectedly")]
    Ended(&'static str),
}

impl Error {
    /// Wraps an operating system error with what was being done.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let what = what.into();
        move |source| Error::Io { what, source }
    }

    /// Wraps a netlink error with what was being done.
    pub(crate) fn link(what: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> Error {
        let what = what.into();
        move |source| Error::Link { what, source }
    }
}
