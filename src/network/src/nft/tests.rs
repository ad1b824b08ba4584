//! What we encode, as the kernel hands it back to Debian's `nft`.

use std::process::Command;

use super::*;
use crate::{Error, netns};

const R0: Register = Register(0);

/// Commits to table `t` of an empty network namespace and lists it.
fn list(fill: impl FnOnce(&mut Batch) + Send) -> Result<String, Error> {
    netns::in_private(|| {
        let mut batch = Batch::new("t");
        batch.add_table();
        fill(&mut batch);
        batch.commit(&mut Socket::open()?)?;
        let output = Command::new("nft").args(["list", "ruleset"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        Ok(String::from_utf8(output.stdout).unwrap())
    })
}

/// Compares line by line, without indentation.
fn check(fill: impl FnOnce(&mut Batch) + Send, expected: &str) {
    let lines = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
    };
    let listed = list(fill).unwrap();
    assert_eq!(lines(&listed), lines(expected), "{listed}");
}

fn rule(rule: Rule, expected: &str) {
    let expected = format!("table ip t {{\nchain c {{\n{expected}\n}}\n}}");
    check(
        |batch| {
            batch.add_chain(&Chain::regular("c")).add_rule("c", &rule);
        },
        &expected,
    );
}

#[test]
fn base_chains_hang_where_they_should() {
    check(
        |batch| {
            batch.add_chain(&Chain::base("a", HookType::Nat, Hook::Prerouting, -100));
            batch.add_chain(&Chain::base("b", HookType::Filter, Hook::Forward, 0));
            batch.add_chain(&Chain::base("c", HookType::Nat, Hook::Postrouting, 100));
        },
        "table ip t {
            chain a {
                type nat hook prerouting priority dstnat; policy accept;
            }
            chain b {
                type filter hook forward priority filter; policy accept;
            }
            chain c {
                type nat hook postrouting priority srcnat; policy accept;
            }
        }",
    );
}

#[test]
fn payload_and_networks_are_matched() {
    let network = "10.0.0.0/8".parse().unwrap();
    rule(Rule::new().within(Load::SourceAddress, network).verdict(Verdict::Drop), "ip saddr 10.0.0.0/8 drop");
    let outside = Rule::new().outside(Load::DestinationAddress, "10.1.2.0/23".parse().unwrap());
    rule(outside.verdict(Verdict::Accept), "ip daddr != 10.1.2.0/23 accept");
    let host = Rule::new().within(Load::DestinationAddress, "10.1.2.3/32".parse().unwrap());
    rule(host.verdict(Verdict::Return), "ip daddr 10.1.2.3 return");
}

#[test]
fn connections_interfaces_and_addresses_are_matched() {
    rule(Rule::new().new_connection().then(Expression::Counter), "ct state new counter packets 0 bytes 0");
    rule(Rule::new().destination_translated().verdict(Verdict::Accept), "ct status dnat accept");
    rule(Rule::new().not_leaving_by("lo").verdict(Verdict::Accept), "oifname != \"lo\" accept");
    let local = 2_u32.to_ne_bytes();
    let to_us = Rule::new().load(Load::DestinationAddressType, R0).equal(R0, &local);
    rule(to_us.verdict(Verdict::Drop), "fib daddr type local drop");
    let udp = Rule::new().load(Load::Protocol, R0).equal(R0, &[17]);
    let port = udp.load(Load::DestinationPort, R0).equal(R0, &53_u16.to_be_bytes());
    rule(port.verdict(Verdict::Accept), "udp dport 53 accept");
}

#[test]
fn limits_rejects_and_marks_are_written() {
    rule(
        Rule::new()
            .then(Expression::Limit { per_second: 5, burst: 10 })
            .then(Expression::Reject(Reject::PortUnreachable)),
        "limit rate 5/second burst 10 packets reject",
    );
    let tcp = Rule::new().load(Load::Protocol, R0).equal(R0, &[6]);
    rule(tcp.then(Expression::Reject(Reject::TcpReset)), "reject with tcp reset");
    let mark = Rule::new().load(Load::Number(7), R0).then(Expression::SetMark { from: R0 });
    rule(mark, "meta mark set 0x00000007");
    let hash = Load::Hash { from: R0, length: 4, modulus: 8 };
    let spread = Rule::new().load(Load::SourceAddress, R0).load(hash, Register(1));
    rule(spread.then(Expression::SetMark { from: Register(1) }), "meta mark set jhash ip saddr mod 8");
}

#[test]
fn translation_takes_address_and_port_from_a_map() {
    check(
        |batch| {
            batch.add_set(&Set {
                name: "m",
                key: &[DataType::Mark],
                value: SetValue::Data(&[DataType::Ipv4Addr, DataType::InetService]),
                dynamic: None,
            });
            let backend = Concat::new().ipv4("10.0.0.7".parse().unwrap()).port(80);
            batch.add_elements("m", [Element::data(Concat::new().mark(1), backend)]);
            batch.add_chain(&Chain::base("c", HookType::Nat, Hook::Output, -100));
            let choice = Rule::new().load(Load::Random { modulus: 2 }, R0).map("m", R0, R0);
            let nat = Expression::DestinationNat { address: R0, port: Register(1) };
            batch.add_rule("c", &choice.then(nat));
            batch.add_chain(&Chain::base("d", HookType::Nat, Hook::Postrouting, 100));
            batch.add_rule("d", &Rule::new().then(Expression::Masquerade));
        },
        "table ip t {
            map m {
                type mark : ipv4_addr . inet_service
                elements = { 0x00000001 : 10.0.0.7 . 80 }
            }
            chain c {
                type nat hook output priority -100; policy accept;
                dnat ip to numgen random mod 2 map @m
            }
            chain d {
                type nat hook postrouting priority srcnat; policy accept;
                masquerade fully-random
            }
        }",
    );
}

#[test]
fn verdict_maps_and_sets_are_listed_as_nft_would_write_them() {
    const FRONT: &[DataType] = &[DataType::Ipv4Addr, DataType::InetProto, DataType::InetService];
    check(
        |batch| {
            batch.add_chain(&Chain::regular("x"));
            batch.add_set(&Set { name: "v", key: FRONT, value: SetValue::Verdict, dynamic: None });
            let key = Concat::new().ipv4("10.0.0.1".parse().unwrap()).protocol(17).port(53);
            batch.add_elements("v", [Element::verdict(key.clone(), Verdict::goto("x"))]);
            batch.add_set(&Set { name: "s", key: FRONT, value: SetValue::None, dynamic: None });
            batch.add_elements("s", [Element::key(key)]);
            let fields = [Load::DestinationAddress, Load::Protocol, Load::DestinationPort];
            batch.add_rule("x", &Rule::new().load_key(&fields, R0).in_set("s", R0).verdict(Verdict::Drop));
            batch.add_chain(&Chain::regular("y"));
            batch.add_rule("y", &Rule::new().load_key(&fields, R0).verdict_map("v", R0));
        },
        "table ip t {
            map v {
                type ipv4_addr . inet_proto . inet_service : verdict
                elements = { 10.0.0.1 . udp . 53 : goto x }
            }
            set s {
                type ipv4_addr . inet_proto . inet_service
                elements = { 10.0.0.1 . udp . 53 }
            }
            chain x {
                ip daddr . meta l4proto . th dport @s drop
            }
            chain y {
                ip daddr . meta l4proto . th dport vmap @v
            }
        }",
    );
}

#[test]
fn many_elements_are_split_over_messages() {
    let listed = list(|batch| {
        let set = Set { name: "s", key: &[DataType::Ipv4Addr], value: SetValue::None, dynamic: None };
        batch.add_set(&set);
        let address = |number: u32| Concat::new().ipv4((0x0a00_0000 + number).into());
        batch.add_elements("s", (0..20_000).map(|number| Element::key(address(number))));
        batch.delete_elements("s", (10..20_000).map(|number| Element::key(address(number))));
    });
    assert_eq!(listed.unwrap().matches("10.0.0.").count(), 10);
}

#[test]
fn a_refused_operation_is_named_and_nothing_is_left() {
    netns::in_private(|| {
        let mut socket = Socket::open()?;
        let mut batch = Batch::new("t");
        batch.add_table().add_chain(&Chain::regular("a"));
        batch.add_rule("a", &Rule::new().verdict(Verdict::goto("nowhere")));
        let error = batch.commit(&mut socket).unwrap_err().to_string();
        assert_eq!(error, "nftables: add rule to a in table t: No such file or directory (os error 2)");
        let output = Command::new("nft").args(["list", "ruleset"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
        // The socket is still in order.
        let mut batch = Batch::new("t");
        batch.replace_table();
        batch.commit(&mut socket)
    })
    .unwrap();
}
