//! The tunnel's own packets pass by the kernel's connection tracking: what they carry is tracked, they are nobody's
//! connection, and looking each of them up costs 2% of the work.
//!
//! A table of its own, of two rules that do not change with the nodes. It concerns packets of UDP to the tunnels' port
//! between this node's address and another; a firewall sees them as `untracked`, not as `established`.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::{
    Error,
    links::TUNNEL_PORT,
    names,
    nft::{Batch, Chain, Expression, Hook, HookType, Load, Register, Rule, Socket},
};

/// Before connection tracking looks at packets.
const RAW: i32 = -300;
const UDP: u8 = 17;

/// Leaves packets that arrive at or leave this node's end of tunnels untracked. Repeatable.
pub(super) fn prepare(instance: &str, node_ip: Ipv4Addr) -> Result<(), Error> {
    let mut batch = Batch::new(names::mesh_table(instance));
    batch.replace_table();
    let ends = [
        ("prerouting", Hook::Prerouting, Load::DestinationAddress),
        ("output", Hook::Output, Load::SourceAddress),
    ];
    for (name, hook, our_end) in ends {
        batch.add_chain(&Chain::base(name, HookType::Filter, hook, RAW));
        batch.add_rule(name, &to_tunnels(our_end, node_ip).then(Expression::Untracked));
    }
    batch.commit(&mut Socket::open()?)
}

/// Removes the rules, where they are.
pub(super) fn remove(instance: &str) -> Result<(), Error> {
    let mut batch = Batch::new(names::mesh_table(instance));
    batch.add_table().delete_table();
    batch.commit(&mut Socket::open()?)
}

fn to_tunnels(our_end: Load, node_ip: Ipv4Addr) -> Rule {
    const R0: Register = Register(0);
    let udp = Rule::new().load(Load::Protocol, R0).equal(R0, &[UDP]);
    let port = udp.load(Load::DestinationPort, R0).equal(R0, &TUNNEL_PORT.to_be_bytes());
    port.within(our_end, Ipv4Net::from(node_ip))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns;

    #[test]
    fn rules_concern_our_ends_of_tunnels_alone() {
        let listed = |prepare: fn()| {
            netns::in_private(|| {
                prepare();
                let output = std::process::Command::new("nft").args(["list", "ruleset"]).output().unwrap();
                Ok(String::from_utf8(output.stdout).unwrap())
            })
            .unwrap()
        };
        let rules = listed(|| prepare("01234567", [192, 0, 2, 1].into()).unwrap());
        assert!(rules.contains("type filter hook prerouting priority raw"), "{rules}");
        assert!(rules.contains("udp dport 8472 ip daddr 192.0.2.1 notrack"), "{rules}");
        assert!(rules.contains("udp dport 8472 ip saddr 192.0.2.1 notrack"), "{rules}");
        let after = listed(|| {
            prepare("01234567", [192, 0, 2, 1].into()).unwrap();
            remove("01234567").unwrap();
            remove("01234567").unwrap();
        });
        assert_eq!(after, "");
    }
}
