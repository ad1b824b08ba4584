//! The proxy's nf_tables table: what stands in it from the start, and how a plan changes it.
//!
//! The number of rules does not depend on the number of services or endpoints. A packet that opens a connection is
//! looked up twice: its destination in `services`, which leads to the chain of a *shape* (so many endpoints, in such a
//! manner), and there the destination with a random number in `endpoints`, which gives the new destination. A chain
//! exists once for all services of its shape.
//!
//! Rules use the result of a look-up only where `nft` can list that: it aborts on a look-up by the result of another.

mod changes;

use ipnet::Ipv4Net;

pub(super) use changes::{change, client_key};

use crate::nft::{
    Batch, Chain,
    DataType::{self, InetProto, InetService, Ipv4Addr as Ipv4, Mark},
    Expression, Hook, HookType, Load, Register, Reject, Rule, Set, SetValue, Verdict,
};

/// Front with endpoints → the chain of its shape.
const SERVICES: &str = "services";
/// Front without endpoints → what becomes of connections to it.
const REFUSED: &str = "refused";
/// Front and number → backend.
const ENDPOINTS: &str = "endpoints";
/// Fronts whose endpoints see this node in place of clients from outside the cluster.
const HIDING: &str = "hiding";
/// Front where clients stay with their endpoint → the chain that remembers them.
const STICKY: &str = "sticky";
/// Client and front → the backend that the client stays with; filled by rules.
pub(in crate::proxy) const AFFINITY: &str = "affinity";
/// Addresses with fronts.
const ADDRESSES: &str = "service-addresses";
/// Every backend's address, twice: it talks to itself.
const HAIRPIN: &str = "hairpin";

/// The chain that refuses.
const REFUSE: &str = "refuse";
/// The chain that asks whether a new connection is to be refused.
const CHECK: &str = "check";

const DESTINATION_NAT: i32 = -100;
const SOURCE_NAT: i32 = 100;
/// Before the destination is translated, after connections are known.
const BEFORE_DESTINATION_NAT: i32 = DESTINATION_NAT - 10;

/// Clients that are remembered at a time, as many as the kernel's default.
const CLIENTS: u32 = 65535;

const FRONT_KEY: &[DataType] = &[Ipv4, InetProto, InetService];
const BACKEND: SetValue = SetValue::Data(&[Ipv4, InetService]);

const SETS: [Set; 8] = [
    Set { name: SERVICES, key: FRONT_KEY, value: SetValue::Verdict, dynamic: None },
    Set { name: REFUSED, key: FRONT_KEY, value: SetValue::Verdict, dynamic: None },
    Set { name: ENDPOINTS, key: &[Ipv4, InetProto, InetService, Mark], value: BACKEND, dynamic: None },
    Set { name: HIDING, key: FRONT_KEY, value: SetValue::None, dynamic: None },
    Set { name: STICKY, key: FRONT_KEY, value: SetValue::Verdict, dynamic: None },
    Set {
        name: AFFINITY,
        key: &[Ipv4, Ipv4, InetProto, InetService],
        value: BACKEND,
        dynamic: Some(CLIENTS),
    },
    Set { name: ADDRESSES, key: &[Ipv4], value: SetValue::None, dynamic: None },
    Set { name: HAIRPIN, key: &[Ipv4, Ipv4], value: SetValue::None, dynamic: None },
];

/// A front, as an arriving packet has it.
const FRONT: [Load; 3] = [Load::DestinationAddress, Load::Protocol, Load::DestinationPort];
/// A front, once its address was translated to that of an endpoint.
const OPENED_TO: [Load; 3] =
    [Load::OriginalDestinationAddress, Load::Protocol, Load::OriginalDestinationPort];
const R0: Register = Register(0);

/// Begins the table anew with no services in it. With a plan made from nothing in the same batch there is no moment
/// without rules; connections that are open stay, the kernel translates them without asking the table.
pub(super) fn begin(batch: &mut Batch, cluster_cidr: Ipv4Net, service_cidr: Ipv4Net) {
    batch.replace_table();
    for set in &SETS {
        batch.add_set(set);
    }
    destination_chains(batch);
    refusing_chains(batch, service_cidr);
    source_chains(batch, cluster_cidr);
    remembering_chains(batch);
}

/// Lead connections to endpoints: those that arrive and those that the node opens.
fn destination_chains(batch: &mut Batch) {
    for (name, hook) in [("prerouting", Hook::Prerouting), ("output", Hook::Output)] {
        batch.add_chain(&Chain::base(name, HookType::Nat, hook, DESTINATION_NAT));
        batch.add_rule(name, &Rule::new().load_key(&FRONT, R0).verdict_map(SERVICES, R0));
    }
}

/// Refuse connections to services without endpoints, to ports that a service has not, and to addresses without service.
fn refusing_chains(batch: &mut Batch, service_cidr: Ipv4Net) {
    batch.add_chain(&Chain::regular(REFUSE));
    batch.add_rule(REFUSE, &Rule::new().then(Expression::Reject(Reject::PortUnreachable)));

    batch.add_chain(&Chain::regular(CHECK));
    batch.add_rule(CHECK, &Rule::new().load_key(&FRONT, R0).verdict_map(REFUSED, R0));
    let to_services = Rule::new().within(Load::DestinationAddress, service_cidr);
    let served = to_services.clone().load_key(&FRONT, R0).in_set(HIDING, R0);
    batch.add_rule(CHECK, &served.verdict(Verdict::Return));
    let known = to_services.clone().load(Load::DestinationAddress, R0).in_set(ADDRESSES, R0);
    batch.add_rule(CHECK, &known.verdict(Verdict::goto(REFUSE)));
    batch.add_rule(CHECK, &to_services.verdict(Verdict::Drop));

    for (name, hook) in [("check-prerouting", Hook::Prerouting), ("check-output", Hook::Output)] {
        batch.add_chain(&Chain::base(name, HookType::Filter, hook, BEFORE_DESTINATION_NAT));
        batch.add_rule(name, &Rule::new().new_connection().verdict(Verdict::jump(CHECK)));
    }
}

/// Make answers come back through this node where they would not by themselves: to a pod that reached itself through a
/// service, and to clients that are no pods.
fn source_chains(batch: &mut Batch, cluster_cidr: Ipv4Net) {
    batch.add_chain(&Chain::base("postrouting", HookType::Nat, Hook::Postrouting, SOURCE_NAT));
    let itself = [Load::SourceAddress, Load::DestinationAddress];
    let hairpin = Rule::new().destination_translated().not_leaving_by("lo");
    let hairpin = hairpin.load_key(&itself, R0).in_set(HAIRPIN, R0);
    batch.add_rule("postrouting", &hairpin.then(Expression::Masquerade));

    let from_outside = Rule::new().destination_translated().outside(Load::SourceAddress, cluster_cidr);
    let through_us = from_outside.not_leaving_by("lo").load_key(&OPENED_TO, R0).in_set(HIDING, R0);
    batch.add_rule("postrouting", &through_us.then(Expression::Masquerade));
}

/// Remember which endpoint a client was led to, whether that is a pod or a process of this node. Before the chains that
/// translate the source, so that the end of those is not the end of this.
fn remembering_chains(batch: &mut Batch) {
    for (name, hook) in [("remember-forwarded", Hook::Postrouting), ("remember-local", Hook::Input)] {
        batch.add_chain(&Chain::base(name, HookType::Nat, hook, SOURCE_NAT - 10));
        let led = Rule::new().destination_translated().load_key(&OPENED_TO, R0);
        batch.add_rule(name, &led.verdict_map(STICKY, R0));
    }
}

#[cfg(test)]
mod tests;
