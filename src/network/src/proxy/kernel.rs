//! Carries plans out: one nf_tables transaction each, then what the kernel remembers of flows that were led elsewhere.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddrV4},
};

use ipnet::Ipv4Net;

use super::{
    model::{Front, Protocol},
    plan::{Desired, Programmed, plan},
    table,
};
use crate::{
    Error, conntrack,
    nft::{Batch, Element, Socket, elements},
};

/// Which table, and the networks that its rules speak of.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) cluster_cidr: Ipv4Net,
    pub(super) service_cidr: Ipv4Net,
}

/// The proxy's table in the kernel and what is known to be in it.
#[derive(Debug)]
pub(super) struct Kernel {
    socket: Socket,
    table: Table,
    programmed: Programmed,
}

impl Kernel {
    /// The table of that name, whatever is in it.
    pub(super) fn open(table: Table) -> Result<Self, Error> {
        Ok(Self { socket: Socket::open()?, table, programmed: Programmed::default() })
    }

    /// Replaces the whole table by what is desired.
    pub(super) fn replace(&mut self, desired: Desired) -> Result<(), Error> {
        let mut batch = Batch::new(self.table.name.clone());
        table::begin(&mut batch, self.table.cluster_cidr, self.table.service_cidr);
        self.programmed = Programmed::default();
        self.carry_out(batch, desired)
    }

    /// Changes what differs from the desired.
    pub(super) fn update(&mut self, desired: Desired) -> Result<(), Error> {
        self.carry_out(Batch::new(self.table.name.clone()), desired)
    }

    fn carry_out(&mut self, mut batch: Batch, desired: Desired) -> Result<(), Error> {
        let plan = plan(desired, &self.programmed);
        table::change(&mut batch, &plan);
        batch.commit(&mut self.socket)?;
        let changed = plan.changed();
        let sticky = self.programmed.any_sticky(&changed);
        self.programmed.note(plan);
        // New connections are right already; what follows is about clients that were here before.
        let forgotten = self.forget_flows(&changed);
        let forgotten = forgotten.and_then(|()| if sticky { self.forget_clients(&changed) } else { Ok(()) });
        if let Err(error) = forgotten {
            tracing::warn!(%error, "clients may go on to endpoints that were removed");
        }
        Ok(())
    }

    /// UDP flows to changed fronts that no longer lead to an endpoint.
    fn forget_flows(&self, changed: &BTreeSet<Front>) -> Result<(), Error> {
        if !changed.iter().any(|front| front.protocol == Protocol::Udp) {
            return Ok(());
        }
        let is_stale = |flow: &conntrack::Flow| {
            let (address, port) = (*flow.opened_to.ip(), flow.opened_to.port());
            let front = Front { address, protocol: Protocol::Udp, port };
            flow.protocol == Protocol::Udp.number()
                && changed.contains(&front)
                && !self.programmed.leads(&front, &flow.answered_by)
        };
        conntrack::forget(is_stale).map(drop).map_err(Error::io("forgetting UDP flows"))
    }

    /// Clients of changed fronts that were to stay with an endpoint that is gone. The map is filled by rules, so it is
    /// read; no rule can add such a client any more.
    fn forget_clients(&mut self, changed: &BTreeSet<Front>) -> Result<(), Error> {
        const ATTEMPTS: usize = 3;
        for attempt in 1.. {
            let stale = self.stale_clients(changed)?;
            if stale.is_empty() {
                break;
            }
            let mut batch = Batch::new(self.table.name.clone());
            batch.delete_elements(table::AFFINITY, stale);
            // One of them may have expired meanwhile.
            match batch.commit(&mut self.socket) {
                Err(error) if attempt == ATTEMPTS => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn stale_clients(&self, changed: &BTreeSet<Front>) -> Result<Vec<Element>, Error> {
        let remembered =
            elements(&self.table.name, table::AFFINITY).map_err(Error::io("reading client affinity"))?;
        let is_stale = |front: &Front, backend: &SocketAddrV4| {
            changed.contains(front) && !self.programmed.leads(front, backend)
        };
        let parsed = remembered.iter().filter_map(|(key, data)| affinity(key, data));
        let stale = parsed.filter(|(_, front, backend)| is_stale(front, backend));
        Ok(stale.map(|(client, front, _)| Element::key(table::client_key(client, &front))).collect())
    }
}

/// Client, front and backend of an element of the affinity map.
fn affinity(key: &[u8], data: &[u8]) -> Option<(Ipv4Addr, Front, SocketAddrV4)> {
    let address = |bytes: &[u8], at: usize| Some(Ipv4Addr::from(*bytes.get(at..)?.first_chunk::<4>()?));
    let port = |bytes: &[u8], at: usize| Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    let protocol = Protocol::from_number(*key.get(8)?)?;
    let front = Front { address: address(key, 4)?, protocol, port: port(key, 12)? };
    Some((address(key, 0)?, front, SocketAddrV4::new(address(data, 0)?, port(data, 4)?)))
}
