//! From addresses of any family to IPv4, which is all that this crate supports so far.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::Error;

pub(crate) fn address(address: IpAddr) -> Result<Ipv4Addr, Error> {
    match address {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(_) => Err(Error::NotIpv4(address.to_string())),
    }
}

pub(crate) fn network(network: IpNet) -> Result<Ipv4Net, Error> {
    match network {
        IpNet::V4(network) => Ok(network.trunc()),
        IpNet::V6(_) => Err(Error::NotIpv4(network.to_string())),
    }
}
