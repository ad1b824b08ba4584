//! From single addresses and ports to as few subsets as possible, in a stable order (upstream `RepackSubsets`). Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset};

/// More addresses than this are not written; those who need all read endpoint slices.
const MAX_ADDRESSES: usize = 1000;

/// One address under one port, or under none.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) address: EndpointAddress,
    pub(super) is_ready: bool,
    pub(super) port: Option<EndpointPort>,
}

/// What orders ports: protocol, number, name.
type PortKey = (String, i32, String);
/// What tells addresses apart.
type AddressKey = (String, String, bool);

/// Groups by address first, then puts those with the same ports together.
pub(super) fn repack(entries: Vec<Entry>) -> Vec<EndpointSubset> {
    let mut by_address: BTreeMap<AddressKey, (EndpointAddress, BTreeMap<PortKey, EndpointPort>)> =
        BTreeMap::new();
    for entry in entries {
        let uid = entry.address.target_ref.as_ref().and_then(|target| target.uid.clone()).unwrap_or_default();
        let key = (entry.address.ip.clone(), uid, entry.is_ready);
        let (_, ports) = by_address.entry(key).or_insert_with(|| (entry.address, BTreeMap::new()));
        if let Some(port) = entry.port {
            ports.insert(port_key(&port), port);
        }
    }
    let mut by_ports: BTreeMap<Vec<PortKey>, EndpointSubset> = BTreeMap::new();
    for ((_, _, is_ready), (address, ports)) in by_address {
        let subset = by_ports.entry(ports.keys().cloned().collect()).or_insert_with(|| EndpointSubset {
            ports: Some(ports.into_values().collect()).filter(|ports: &Vec<_>| !ports.is_empty()),
            ..EndpointSubset::default()
        });
        let list = if is_ready { &mut subset.addresses } else { &mut subset.not_ready_addresses };
        list.get_or_insert_default().push(address);
    }
    by_ports.into_values().collect()
}

fn port_key(port: &EndpointPort) -> PortKey {
    (port.protocol.clone().unwrap_or_default(), port.port, port.name.clone().unwrap_or_default())
}

/// Cuts to the capacity, each subset in proportion, ready addresses preferred; tells whether anything was cut.
pub(super) fn truncate(mut subsets: Vec<EndpointSubset>) -> (Vec<EndpointSubset>, bool) {
    let ready: usize = subsets.iter().map(|subset| length(&subset.addresses)).sum();
    let not_ready: usize = subsets.iter().map(|subset| length(&subset.not_ready_addresses)).sum();
    if ready + not_ready <= MAX_ADDRESSES {
        return (subsets, false);
    }
    let cut_ready = ready > MAX_ADDRESSES;
    let (total, room) = if cut_ready { (ready, MAX_ADDRESSES) } else { (not_ready, MAX_ADDRESSES - ready) };
    let mut left = room;
    for subset in &mut subsets {
        if cut_ready {
            subset.not_ready_addresses = None;
        }
        let list = if cut_ready { &mut subset.addresses } else { &mut subset.not_ready_addresses };
        let share = (length(list) * room).div_ceil(total).min(left);
        if let Some(addresses) = list {
            addresses.truncate(share);
            left -= addresses.len();
        }
        if length(list) == 0 {
            *list = None;
        }
    }
    subsets.retain(|subset| subset.addresses.is_some() || subset.not_ready_addresses.is_some());
    (subsets, true)
}

fn length(addresses: &Option<Vec<EndpointAddress>>) -> usize {
    addresses.as_ref().map_or(0, Vec::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ready: usize, not_ready: usize, expected: (usize, usize, bool)) {
        let list =
            |count| Some(vec![EndpointAddress::default(); count]).filter(|list: &Vec<_>| !list.is_empty());
        let subset =
            EndpointSubset { addresses: list(ready), not_ready_addresses: list(not_ready), ports: None };
        let (subsets, truncated) = truncate(vec![subset]);
        let counts = subsets
            .first()
            .map_or((0, 0), |subset| (length(&subset.addresses), length(&subset.not_ready_addresses)));
        assert_eq!((counts.0, counts.1, truncated), expected);
    }

    #[test]
    fn at_most_a_thousand_addresses_are_kept_ready_ones_first() {
        check(1000, 0, (1000, 0, false));
        check(900, 200, (900, 100, true));
        check(1200, 200, (1000, 0, true));
    }
}
