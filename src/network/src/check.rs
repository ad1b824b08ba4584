//! Finds out what the machine lacks, by trying everything in a network namespace of its own.

use std::net::Ipv4Addr;

use crate::{
    Error,
    links::Links,
    netns,
    nft::{
        Batch, Chain, Concat, DataType, Element, Expression, Hook, HookType, Load, Register, Reject, Rule,
        Set, SetValue, Socket, Verdict,
    },
    pods::add_pair,
};

const R0: Register = Register(0);
const TABLE: &str = "coxswain-check";

/// Names what pods and services need and the machine lacks: privileges and kernel features.
///
/// # Errors
/// [`Error::Missing`] with one name per missing feature.
pub fn check() -> Result<(), Error> {
    let missing = netns::in_private(|| Ok(missing_features())).map_err(|error| {
        Error::Missing(vec![format!("the privilege to make network namespaces, CAP_SYS_ADMIN ({error})")])
    })?;
    if missing.is_empty() { Ok(()) } else { Err(Error::Missing(missing)) }
}

/// One thing that is needed: what to tell the user, and a transaction that uses it.
type Feature = (&'static str, fn(&mut Batch));

const FEATURES: &[Feature] = &[
    ("nf_tables NAT chains (nft_chain_nat)", |batch| {
        batch.add_chain(&Chain::base("c", HookType::Nat, Hook::Postrouting, 100));
    }),
    ("nf_tables masquerade (nft_masq)", |batch| {
        batch.add_chain(&Chain::base("c", HookType::Nat, Hook::Postrouting, 100));
        batch.add_rule("c", &Rule::new().then(Expression::Masquerade));
    }),
    ("nf_tables connection tracking (nft_ct)", |batch| {
        batch.add_chain(&Chain::regular("c")).add_rule("c", &Rule::new().new_connection());
    }),
    ("nf_tables packets without connection tracking (nft_ct)", |batch| {
        batch.add_chain(&Chain::base("c", HookType::Filter, Hook::Output, -300));
        batch.add_rule("c", &Rule::new().then(Expression::Untracked));
    }),
    ("nf_tables random numbers (nft_numgen)", |batch| {
        let random = Load::Random { modulus: 2 };
        batch.add_chain(&Chain::regular("c")).add_rule("c", &Rule::new().load(random, R0));
    }),
    ("nf_tables reject before routing (nft_reject, Linux 5.9)", |batch| {
        batch.add_chain(&Chain::base("c", HookType::Filter, Hook::Prerouting, -110));
        batch.add_rule("c", &Rule::new().then(Expression::Reject(Reject::PortUnreachable)));
    }),
    ("nf_tables maps and sets (nft_set_hash)", |batch| {
        const KEY: &[DataType] = &[DataType::Ipv4Addr, DataType::InetProto, DataType::InetService];
        batch.add_chain(&Chain::regular("c"));
        batch.add_set(&Set { name: "m", key: KEY, value: SetValue::Verdict, dynamic: None });
        let key = Concat::new().ipv4(Ipv4Addr::LOCALHOST).protocol(6).port(80);
        batch.add_elements("m", [Element::verdict(key, Verdict::goto("c"))]);
    }),
    ("nf_tables destination NAT by a map (nft_nat)", |batch| {
        const BACKEND: SetValue = SetValue::Data(&[DataType::Ipv4Addr, DataType::InetService]);
        batch.add_set(&Set { name: "m", key: &[DataType::Ipv4Addr], value: BACKEND, dynamic: None });
        batch.add_chain(&Chain::base("c", HookType::Nat, Hook::Prerouting, -100));
        let look_up = Rule::new().load(Load::DestinationAddress, R0).map("m", R0, R0);
        batch.add_rule("c", &look_up.then(Expression::DestinationNat { address: R0, port: Register(1) }));
    }),
];

/// Runs inside the private namespace.
fn missing_features() -> Vec<String> {
    let mut missing: Vec<String> = match Socket::open() {
        Ok(mut socket) => FEATURES.iter().filter_map(|feature| try_out(feature, &mut socket)).collect(),
        Err(error) => vec![format!("nf_tables ({error})")],
    };
    if let Err(error) = netns::block_on(make_a_link()) {
        missing.push(format!("veth links ({error})"));
    }
    missing
}

fn try_out((name, fill): &Feature, socket: &mut Socket) -> Option<String> {
    let mut batch = Batch::new(TABLE);
    batch.replace_table();
    fill(&mut batch);
    batch.commit(socket).err().map(|error| format!("{name} ({error})"))
}

async fn make_a_link() -> Result<(), Error> {
    let netns = std::path::Path::new("/proc/thread-self/ns/net");
    add_pair(&Links::open()?, "cxcheck", Ipv4Addr::LOCALHOST, netns, 1500).await
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_machine_lacks_nothing() {
        super::check().unwrap();
    }
}
