//! What is to change in the kernel. Pure.

use std::{collections::BTreeSet, fmt, net::Ipv4Addr};

use ipnet::Ipv4Net;

use crate::links::{Gateway, HardwareAddress};

/// One thing that the kernel holds for the mesh. Ordered so that what another relies on comes before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Entry {
    /// The tunnel link's own address.
    Address(Ipv4Addr),
    /// The tunnel link sends frames for this hardware address to that node.
    Forward(HardwareAddress, Ipv4Addr),
    /// A neighbour behind the tunnel link has this hardware address.
    Neighbour(Ipv4Addr, HardwareAddress),
    /// Packets for a network go this way.
    Route(Ipv4Net, Gateway),
}

/// Everything that the kernel holds, or should hold, for the mesh.
pub(super) type Entries = BTreeSet<Entry>;

/// What to do, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// No longer wanted; what relies on something goes before it.
    pub(super) remove: Vec<Entry>,
    /// Missing; what relies on something comes after it.
    pub(super) add: Vec<Entry>,
}

/// The way from what the kernel `has` to what is `wanted`.
pub(super) fn plan(wanted: &Entries, has: &Entries) -> Plan {
    let mut remove: Vec<Entry> = has.difference(wanted).copied().collect();
    remove.reverse();
    Plan { remove, add: wanted.difference(has).copied().collect() }
}

impl fmt::Display for Entry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Entry::Address(address) => write!(out, "address {address} of the tunnel link"),
            Entry::Forward(_, to) => write!(out, "tunnel to {to}"),
            Entry::Neighbour(address, _) => write!(out, "neighbour {address} behind the tunnel"),
            Entry::Route(network, _) => write!(out, "route to {network}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(network: &str, gateway: &str) -> Entry {
        Entry::Route(network.parse().unwrap(), Gateway::Direct(gateway.parse().unwrap()))
    }

    #[test]
    fn what_stays_is_left_alone() {
        let stays = route("10.244.1.0/24", "192.0.2.2");
        let (before, after) = (route("10.244.2.0/24", "192.0.2.3"), route("10.244.2.0/24", "192.0.2.4"));
        let plan = plan(&Entries::from([stays, after]), &Entries::from([stays, before]));
        assert_eq!(plan, Plan { remove: vec![before], add: vec![after] });
    }

    #[test]
    fn routes_come_last_and_go_first() {
        let node: Ipv4Addr = "192.0.2.2".parse().unwrap();
        let gateway: Ipv4Addr = "10.244.1.0".parse().unwrap();
        let route = Entry::Route("10.244.1.0/24".parse().unwrap(), Gateway::Tunnelled(gateway));
        let (forward, neighbour) = (Entry::Forward([1; 6], node), Entry::Neighbour(gateway, [1; 6]));
        let entries = Entries::from([route, neighbour, forward]);
        assert_eq!(plan(&entries, &Entries::new()).add, [forward, neighbour, route]);
        assert_eq!(plan(&Entries::new(), &entries).remove, [route, neighbour, forward]);
    }
}
