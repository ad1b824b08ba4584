//! What the node itself needs so that pods reach the world and are reached by host ports: forwarding, the table.

use std::{fs, net::Ipv4Addr};

use ipnet::Ipv4Net;

use super::host_ports::HostPorts;
use crate::{
    Error, names,
    nft::{Batch, Chain, Expression, Hook, HookType, Load, Rule, Socket},
};

const SOURCE_NAT: i32 = 100;
/// Destinations that must see the pod's own address: nobody answers to a group.
const MULTICAST: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 4);

/// Turns forwarding on, hides pods behind the node where they talk to something outside the cluster, and leads host
/// ports to their pods.
pub(super) fn prepare(instance: &str, cluster_cidr: Ipv4Net, host_ports: &HostPorts) -> Result<(), Error> {
    turn_on("net/ipv4/ip_forward")?;
    let mut batch = Batch::new(names::pods_table(instance));
    batch.replace_table().add_chain(&Chain::base(
        "postrouting",
        HookType::Nat,
        Hook::Postrouting,
        SOURCE_NAT,
    ));
    let leaving = Rule::new()
        .within(Load::SourceAddress, cluster_cidr)
        .outside(Load::DestinationAddress, cluster_cidr)
        .outside(Load::DestinationAddress, MULTICAST);
    batch.add_rule("postrouting", &leaving.then(Expression::Masquerade));
    host_ports.fill(&mut batch, "postrouting");
    batch.commit(&mut Socket::open()?)
}

/// The address that the node's own packets to pods should come from, where it can be one.
pub(crate) fn source_address(node_ip: Ipv4Addr) -> Option<Ipv4Addr> {
    // A pod cannot answer to a loopback or unspecified address; then the kernel chooses.
    Some(node_ip).filter(|address| !address.is_loopback() && !address.is_unspecified())
}

/// Lets connections from the node's loopback go out by a link, so that they reach the pod behind a host port.
pub(super) fn allow_loopback(link: &str) -> Result<(), Error> {
    turn_on(&format!("net/ipv4/conf/{link}/route_localnet"))
}

/// Writes 1 to a sysctl unless it is there already: `/proc/sys` may be read-only on machines set up by others.
fn turn_on(sysctl: &str) -> Result<(), Error> {
    let path = format!("/proc/sys/{sysctl}");
    let now = fs::read_to_string(&path).map_err(Error::io(format!("reading {path}")))?;
    match now.trim() {
        "1" => Ok(()),
        _ => fs::write(&path, "1").map_err(Error::io(format!("writing {path}"))),
    }
}
