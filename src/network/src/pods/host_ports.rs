//! Host ports: ports of the node that lead to a pod.
//!
//! Two maps of the pods' table, one for ports at every address of the node and one for ports at one address, give the
//! pod's address and port. Which sandbox has which ports stands in one small file each, written before the kernel is
//! told, so that the table can be made again. Input comes with the pod that is attached. Knows no services: their node
//! ports are the proxy's.

use std::{
    collections::{BTreeMap, HashMap},
    fmt, fs, io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::{
    Error, conntrack, names,
    nft::{
        Batch, Chain, Concat,
        DataType::{self, InetProto, InetService, Ipv4Addr as Ipv4},
        Element, Expression, Hook, HookType, Load, Register, Rule, Set, SetValue, Socket, Verdict,
    },
};

/// The folder of the records: file name sandbox, content [`Led`].
const FOLDER: &str = "host-ports";

/// Protocol and port at any address of the node → pod.
const ANYWHERE: &str = "host-ports";
/// Address, protocol and port → pod.
const AT_ADDRESS: &str = "host-ports-at";
/// The address of every pod with host ports, twice: it talks to itself.
const ITSELF: &str = "host-ports-itself";
const POD: SetValue = SetValue::Data(&[Ipv4, InetService]);
const KEY: &[DataType] = &[InetProto, InetService];

const DESTINATION_NAT: i32 = -100;
/// Before connections are known, so before anything is translated.
const RAW: i32 = -300;
/// `RTN_LOCAL`: an address of this node.
const LOCAL: u32 = 2;
const LOOPBACK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
const R0: Register = Register(0);
const UDP: u8 = libc::IPPROTO_UDP as u8;

/// A port of the node that leads to a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPort {
    /// Number of the transport protocol.
    pub protocol: u8,
    /// The node's address; unspecified for every address of the node.
    pub address: Ipv4Addr,
    /// The node's port.
    pub port: u16,
    /// The pod's port.
    pub pod_port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{} (protocol {})", self.address, self.port, self.protocol)
    }
}

impl HostPort {
    /// What no two pods may have both.
    fn front(&self) -> (Ipv4Addr, u8, u16) {
        (self.address, self.protocol, self.port)
    }

    /// The map it is in, and its key there.
    fn entry(&self) -> (&'static str, Concat) {
        match self.address.is_unspecified() {
            true => (ANYWHERE, Concat::new().protocol(self.protocol).port(self.port)),
            false => (AT_ADDRESS, Concat::new().ipv4(self.address).protocol(self.protocol).port(self.port)),
        }
    }
}

/// The ports that lead to one sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Led {
    pod: Ipv4Addr,
    ports: Vec<HostPort>,
}

impl Led {
    fn add_to(&self, batch: &mut Batch) {
        for port in &self.ports {
            let (map, key) = port.entry();
            batch.add_elements(map, [Element::data(key, Concat::new().ipv4(self.pod).port(port.pod_port))]);
        }
        batch.add_elements(ITSELF, [self.itself()]);
    }

    fn delete_from(&self, batch: &mut Batch) {
        for port in &self.ports {
            let (map, key) = port.entry();
            batch.delete_elements(map, [Element::key(key)]);
        }
        batch.delete_elements(ITSELF, [self.itself()]);
    }

    fn itself(&self) -> Element {
        Element::key(Concat::new().ipv4(self.pod).ipv4(self.pod))
    }
}

/// The host ports of one node.
#[derive(Debug)]
pub(super) struct HostPorts {
    table: String,
    folder: PathBuf,
    by_sandbox: HashMap<String, Led>,
}

impl HostPorts {
    /// Reads the records, making the folder where there is none.
    pub(super) fn open(instance: &str, state: &Path) -> Result<Self, Error> {
        let folder = state.join(FOLDER);
        let failed = |what: &str| Error::io(format!("{what} {}", folder.display()));
        fs::create_dir_all(&folder).map_err(failed("making"))?;
        let mut by_sandbox = HashMap::new();
        for entry in fs::read_dir(&folder).map_err(failed("reading"))? {
            let path = entry.map_err(failed("reading"))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            // A record that was being written when the process ended: the kernel was not told of it.
            if name.ends_with(".new") {
                fs::remove_file(&path).map_err(Error::io(format!("removing {}", path.display())))?;
            } else if let Some(led) = read(&path)? {
                by_sandbox.insert(name.to_owned(), led);
            }
        }
        Ok(Self { table: names::pods_table(instance), folder, by_sandbox })
    }

    /// Adds maps, chains and every known port to a new table; `postrouting` is its chain that translates sources.
    pub(super) fn fill(&self, batch: &mut Batch, postrouting: &str) {
        batch.add_set(&Set { name: ANYWHERE, key: KEY, value: POD, dynamic: None });
        let key = &[Ipv4, InetProto, InetService];
        batch.add_set(&Set { name: AT_ADDRESS, key, value: POD, dynamic: None });
        batch.add_set(&Set { name: ITSELF, key: &[Ipv4, Ipv4], value: SetValue::None, dynamic: None });
        for (name, hook) in [("prerouting", Hook::Prerouting), ("output", Hook::Output)] {
            batch.add_chain(&Chain::base(name, HookType::Nat, hook, DESTINATION_NAT));
            lead_chain(batch, name);
        }
        source_rules(batch, postrouting);
        guard_loopback(batch);
        self.by_sandbox.values().for_each(|led| led.add_to(batch));
    }

    /// Leads ports to a sandbox's pod, in place of those that led to it before.
    pub(super) fn lead(&mut self, sandbox: &str, pod: Ipv4Addr, ports: &[HostPort]) -> Result<(), Error> {
        // The same port may be named twice; the last word counts.
        let ports: BTreeMap<_, HostPort> = ports.iter().map(|port| (port.front(), *port)).collect();
        let others = self.by_sandbox.iter().filter(|(name, _)| name.as_str() != sandbox);
        let mut taken = others.flat_map(|(_, led)| &led.ports);
        if let Some(port) = taken.find(|port| ports.contains_key(&port.front())) {
            return Err(Error::HostPortTaken(*port));
        }
        self.release(sandbox)?;
        let led = Led { pod, ports: ports.into_values().collect() };
        write(&self.folder.join(sandbox), &led)?;
        let mut batch = Batch::new(&self.table);
        led.add_to(&mut batch);
        batch.commit(&mut Socket::open()?)?;
        forget_flows(&led)?;
        self.by_sandbox.insert(sandbox.to_owned(), led);
        Ok(())
    }

    /// Lets go of the ports that lead to a sandbox, if there are any.
    pub(super) fn release(&mut self, sandbox: &str) -> Result<(), Error> {
        if let Some(led) = self.by_sandbox.get(sandbox) {
            let mut batch = Batch::new(&self.table);
            led.delete_from(&mut batch);
            batch.commit(&mut Socket::open()?)?;
            forget_flows(led)?;
            self.by_sandbox.remove(sandbox);
        }
        let record = self.folder.join(sandbox);
        match fs::remove_file(&record) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(format!("removing {}", record.display()))(error))
            }
            _ => Ok(()),
        }
    }
}

/// Translates what is sent to a host port: at one address first, then at any of the node's.
fn lead_chain(batch: &mut Batch, chain: &str) {
    let to_pod = Expression::DestinationNat { address: R0, port: Register(1) };
    let at_address = [Load::DestinationAddress, Load::Protocol, Load::DestinationPort];
    batch
        .add_rule(chain, &Rule::new().load_key(&at_address, R0).map(AT_ADDRESS, R0, R0).then(to_pod.clone()));
    let local = Rule::new().load(Load::DestinationAddressType, R0).equal(R0, &LOCAL.to_ne_bytes());
    let anywhere = local.load_key(&[Load::Protocol, Load::DestinationPort], R0).map(ANYWHERE, R0, R0);
    batch.add_rule(chain, &anywhere.then(to_pod));
}

/// Make answers come back through the node where they would not by themselves: to a pod that reached itself, and to the
/// node's loopback.
fn source_rules(batch: &mut Batch, chain: &str) {
    let itself =
        Rule::new().destination_translated().load_key(&[Load::SourceAddress, Load::DestinationAddress], R0);
    batch.add_rule(chain, &itself.in_set(ITSELF, R0).then(Expression::Masquerade));
    let loopback = Rule::new().destination_translated().within(Load::SourceAddress, LOOPBACK);
    batch.add_rule(chain, &loopback.not_leaving_by("lo").then(Expression::Masquerade));
}

/// A link that may carry the node's loopback outwards must not let anybody in to it.
fn guard_loopback(batch: &mut Batch) {
    batch.add_chain(&Chain::base("guard", HookType::Filter, Hook::Prerouting, RAW));
    let stranger = Rule::new().within(Load::DestinationAddress, LOOPBACK).not_arriving_by("lo");
    batch.add_rule("guard", &stranger.verdict(Verdict::Drop));
}

/// UDP flows remember where they were led for as long as packets come.
fn forget_flows(led: &Led) -> Result<(), Error> {
    let ports: Vec<u16> =
        led.ports.iter().filter(|port| port.protocol == UDP).map(|port| port.port).collect();
    if ports.is_empty() {
        return Ok(());
    }
    conntrack::forget(|flow| flow.protocol == UDP && ports.contains(&flow.opened_to.port()))
        .map(drop)
        .map_err(Error::io("forgetting flows to host ports"))
}

/// The record in a file; `None` where it is empty, as a machine that lost power leaves it.
fn read(path: &Path) -> Result<Option<Led>, Error> {
    let text = fs::read(path).map_err(Error::io(format!("reading {}", path.display())))?;
    if text.is_empty() {
        return Ok(None);
    }
    let damaged =
        |error: serde_json::Error| Error::Record { path: path.to_owned(), reason: error.to_string() };
    serde_json::from_slice(&text).map(Some).map_err(damaged)
}

fn write(path: &Path, led: &Led) -> Result<(), Error> {
    let new = path.with_added_extension("new");
    let text = serde_json::to_vec(led).expect("addresses and numbers can be written");
    fs::write(&new, text)
        .and_then(|()| fs::rename(&new, path))
        .map_err(Error::io(format!("writing {}", path.display())))
}
