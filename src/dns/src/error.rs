//! What can go wrong in DNS.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

/// An error of the dns crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {address} for DNS: {source}")]
    Listen {
        /// The address and port.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// The cluster domain is not a domain name.
    #[error("cluster domain {domain:?} is not a domain name: {reason}")]
    Domain {
        /// What was configured.
        domain: String,
        /// Why it is not a name.
        reason: String,
    },
    /// The server stopped by itself.
    #[error("the DNS server stopped: {0}")]
    Stopped(String),
}

impl Error {
    /// Wraps why an address cannot be listened on.
    pub(crate) fn listen(ip: IpAddr, port: u16) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Listen { address: SocketAddr::new(ip, port), source }
    }
}
