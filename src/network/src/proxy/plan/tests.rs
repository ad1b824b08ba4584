//! Plans, and that carrying them out leads where they say.

use super::*;
use crate::proxy::model::{Manner, Protocol};

const TCP_80: Front = Front { address: Ipv4Addr::new(10, 96, 0, 1), protocol: Protocol::Tcp, port: 80 };
const TCP_81: Front = Front { port: 81, ..TCP_80 };

fn spread(last_octets: &[u8]) -> Target {
    let backends = last_octets.iter().map(|octet| backend(*octet)).collect();
    Target::Spread { backends, manner: Manner::default() }
}

fn backend(last_octet: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 244, 0, last_octet), 8080)
}

fn programmed(fronts: &[(Front, Target)]) -> Programmed {
    let mut programmed = Programmed::default();
    let desired = fronts.iter().map(|(front, target)| (*front, Some(target.clone()))).collect();
    programmed.note(plan(desired, &programmed));
    programmed
}

fn one(front: Front, target: impl Into<Option<Target>>) -> Desired {
    Desired::from([(front, target.into())])
}

#[test]
fn a_first_service_brings_its_shape_addresses_and_endpoints() {
    let plan = plan(one(TCP_80, spread(&[1, 2])), &Programmed::default());
    let shape = spread(&[1, 2]).shape();
    let expected = Parts {
        fronts: vec![(TCP_80, shape)],
        backends: vec![(TCP_80, 0, backend(1)), (TCP_80, 1, backend(2))],
        addresses: vec![TCP_80.address],
        endpoints: vec![*backend(1).ip(), *backend(2).ip()],
        shapes: vec![shape],
    };
    assert_eq!((plan.remove, plan.add), (Parts::default(), expected));
}

#[test]
fn nothing_changes_when_nothing_changed() {
    let programmed = programmed(&[(TCP_80, spread(&[1, 2]))]);
    assert_eq!(plan(one(TCP_80, spread(&[2, 1])), &programmed), Plan::default());
    assert_eq!(plan(one(TCP_81, None), &programmed), Plan::default());
}

#[test]
fn a_removed_endpoint_moves_only_the_last_one() {
    let programmed = programmed(&[(TCP_80, spread(&[1, 2, 3, 4]))]);
    let plan = plan(one(TCP_80, spread(&[1, 3, 4])), &programmed);
    assert_eq!(plan.remove.backends, [(TCP_80, 1, backend(2)), (TCP_80, 3, backend(4))]);
    assert_eq!(plan.add.backends, [(TCP_80, 1, backend(4))]);
    assert_eq!(plan.remove.endpoints, [*backend(2).ip()]);
    assert_eq!(plan.changed(), BTreeSet::from([TCP_80]));
}

#[test]
fn an_exchanged_endpoint_leaves_the_front_alone() {
    let programmed = programmed(&[(TCP_80, spread(&[1, 2]))]);
    let plan = plan(one(TCP_80, spread(&[1, 9])), &programmed);
    assert!(plan.remove.fronts.is_empty() && plan.add.fronts.is_empty() && plan.add.shapes.is_empty());
    assert_eq!(plan.add.backends, [(TCP_80, 1, backend(9))]);
}

#[test]
fn a_shape_stays_while_another_front_has_it() {
    let mut programmed = programmed(&[(TCP_80, spread(&[1])), (TCP_81, spread(&[1]))]);
    let first = plan(one(TCP_80, None), &programmed);
    assert!(first.remove.shapes.is_empty() && first.remove.addresses.is_empty());
    programmed.note(first);
    let second = plan(one(TCP_81, None), &programmed);
    assert_eq!(second.remove.shapes, [spread(&[1]).shape()]);
    assert_eq!(second.remove.endpoints, [*backend(1).ip()]);
    assert_eq!(second.remove.addresses, [TCP_81.address]);
}

#[test]
fn losing_all_endpoints_refuses() {
    let programmed = programmed(&[(TCP_80, spread(&[1]))]);
    let plan = plan(one(TCP_80, Target::Reject), &programmed);
    assert_eq!(plan.remove.fronts, [(TCP_80, spread(&[1]).shape())]);
    assert_eq!(plan.add.fronts, [(TCP_80, Shape::Reject)]);
    assert_eq!(plan.remove.backends, [(TCP_80, 0, backend(1))]);
    assert!(plan.add.addresses.is_empty());
}
