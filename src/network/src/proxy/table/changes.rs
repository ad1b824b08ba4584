//! A plan as operations on the table: elements, and the chains of shapes.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use super::{
    ADDRESSES, AFFINITY, ENDPOINTS, FRONT, HAIRPIN, HIDING, OPENED_TO, R0, REFUSE, REFUSED, SERVICES, STICKY,
};
use crate::{
    nft::{Batch, Chain, Concat, Element, Expression, Load, Register, Rule, Verdict},
    proxy::{
        model::{Front, Manner, Shape},
        plan::{Parts, Plan},
    },
};

/// Adds a plan's changes to the transaction.
pub(in crate::proxy) fn change(batch: &mut Batch, plan: &Plan) {
    remove(batch, &plan.remove);
    add(batch, &plan.add);
}

fn remove(batch: &mut Batch, parts: &Parts) {
    for map in FrontElements::of(&parts.fronts).each() {
        batch.delete_elements(map.0, map.1.into_iter().map(|element| Element::key(element.key)));
    }
    batch.delete_elements(
        ENDPOINTS,
        parts.backends.iter().map(|(front, number, _)| Element::key(front_key(front).mark(*number))),
    );
    batch.delete_elements(ADDRESSES, parts.addresses.iter().map(|address| Element::key(single(*address))));
    batch.delete_elements(HAIRPIN, parts.endpoints.iter().map(|address| Element::key(pair(*address))));
    for (count, manner) in parts.shapes.iter().filter_map(spread) {
        batch.delete_chain(&spread_chain(count, manner));
        if manner.affinity_seconds.is_some() {
            batch.delete_chain(&remember_chain(count, manner));
        }
    }
}

fn add(batch: &mut Batch, parts: &Parts) {
    for (count, manner) in parts.shapes.iter().filter_map(spread) {
        let chain = spread_chain(count, manner);
        batch.add_chain(&Chain::regular(chain.clone()));
        for rule in spread_rules(count, manner) {
            batch.add_rule(&chain, &rule);
        }
        if let Some(seconds) = manner.affinity_seconds {
            let chain = remember_chain(count, manner);
            batch.add_chain(&Chain::regular(chain.clone()));
            batch.add_rule(&chain, &remember(Duration::from_secs(seconds.into())));
        }
    }
    batch.add_elements(
        ENDPOINTS,
        parts.backends.iter().map(|(front, number, backend)| {
            Element::data(front_key(front).mark(*number), backend_value(backend))
        }),
    );
    batch.add_elements(HAIRPIN, parts.endpoints.iter().map(|address| Element::key(pair(*address))));
    batch.add_elements(ADDRESSES, parts.addresses.iter().map(|address| Element::key(single(*address))));
    for map in FrontElements::of(&parts.fronts).each() {
        batch.add_elements(map.0, map.1);
    }
}

/// The elements that fronts have in sets and maps, by what their shapes want.
#[derive(Default)]
struct FrontElements {
    services: Vec<Element>,
    refused: Vec<Element>,
    hiding: Vec<Element>,
    sticky: Vec<Element>,
}

impl FrontElements {
    fn of(fronts: &[(Front, Shape)]) -> Self {
        let mut elements = Self::default();
        for (front, shape) in fronts {
            elements.add(front_key(front), *shape);
        }
        elements
    }

    fn add(&mut self, key: Concat, shape: Shape) {
        match shape {
            Shape::Reject => self.refused.push(Element::verdict(key, Verdict::goto(REFUSE))),
            Shape::Drop => self.refused.push(Element::verdict(key, Verdict::Drop)),
            Shape::Spread { count, manner } => {
                if !manner.keeps_source {
                    self.hiding.push(Element::key(key.clone()));
                }
                if manner.affinity_seconds.is_some() {
                    let chain = remember_chain(count, manner);
                    self.sticky.push(Element::verdict(key.clone(), Verdict::goto(chain)));
                }
                self.services.push(Element::verdict(key, Verdict::goto(spread_chain(count, manner))));
            }
        }
    }

    fn each(self) -> [(&'static str, Vec<Element>); 4] {
        [(SERVICES, self.services), (REFUSED, self.refused), (HIDING, self.hiding), (STICKY, self.sticky)]
    }
}

fn front_key(front: &Front) -> Concat {
    Concat::new().ipv4(front.address).protocol(front.protocol.number()).port(front.port)
}

/// The data of an endpoint.
fn backend_value(backend: &SocketAddrV4) -> Concat {
    Concat::new().ipv4(*backend.ip()).port(backend.port())
}

/// The key of a client at a front.
pub(in crate::proxy) fn client_key(client: Ipv4Addr, front: &Front) -> Concat {
    single(client).ipv4(front.address).protocol(front.protocol.number()).port(front.port)
}

fn single(address: Ipv4Addr) -> Concat {
    Concat::new().ipv4(address)
}

fn pair(address: Ipv4Addr) -> Concat {
    single(address).ipv4(address)
}

fn spread(shape: &Shape) -> Option<(u32, Manner)> {
    match shape {
        Shape::Spread { count, manner } => Some((*count, *manner)),
        Shape::Reject | Shape::Drop => None,
    }
}

fn spread_chain(count: u32, manner: Manner) -> String {
    let sticky = manner.affinity_seconds.map(|seconds| format!("-sticky-{seconds}")).unwrap_or_default();
    let open = if manner.keeps_source { "-keeping-source" } else { "" };
    format!("spread-{count}{sticky}{open}")
}

fn remember_chain(count: u32, manner: Manner) -> String {
    format!("remember-{}", spread_chain(count, manner))
}

/// How a chain chooses among `count` endpoints: the one that the client was at before, if clients are to stay; else a
/// random one. The last rule is for the moment of an update, when a packet that found the old chain looks for an
/// endpoint that is already gone: the client sends it again.
fn spread_rules(count: u32, manner: Manner) -> Vec<Rule> {
    let again = [Load::SourceAddress, FRONT[0], FRONT[1], FRONT[2]];
    let again = manner.affinity_seconds.map(|_| translate(&again, AFFINITY));
    let [address, protocol, port] = FRONT;
    let choose = translate(&[address, protocol, port, Load::Random { modulus: count }], ENDPOINTS);
    again.into_iter().chain([choose, Rule::new().verdict(Verdict::Drop)]).collect()
}

/// Translates the destination to what the map has for the key.
fn translate(key: &[Load], map: &'static str) -> Rule {
    let nat = Expression::DestinationNat { address: R0, port: Register(1) };
    Rule::new().load_key(key, R0).map(map, R0, R0).then(nat)
}

/// Remembers the endpoint of a client, or begins its time anew.
fn remember(timeout: Duration) -> Rule {
    const DATA: Register = Register(4);
    let client = [Load::OriginalSourceAddress, OPENED_TO[0], OPENED_TO[1], OPENED_TO[2]];
    let endpoint = [Load::ReplySourceAddress, Load::ReplySourcePort];
    let remember = Expression::Remember { map: AFFINITY, key: R0, data: DATA, timeout };
    Rule::new().load_key(&client, R0).load_key(&endpoint, DATA).then(remember)
}
