//! The cluster's zone: from a question to its answer, out of the index. Pure.
//!
//! Names below the zone are `<service>.<namespace>.svc`, before them `_<port>._<protocol>` or the host name of an
//! endpoint; `<a-b-c-d>.<namespace>.pod`; and `dns-version`. A name that exists without records of the wanted type is
//! told apart from one that does not.

mod name;
mod records;

use std::net::IpAddr;

use hickory_proto::rr::{
    Name, RData, Record, RecordType,
    rdata::{NS, PTR, SOA, TXT},
};

use crate::{Error, index::Index};
use name::Place;

/// Seconds that answers may be kept: what CoreDNS's `kubernetes` plugin says unless told otherwise. (Upstream's
/// `cluster/addons/dns/coredns` tells it 30 and caches for as long; here a change is answered as soon as it is known.)
pub(crate) const TTL: u32 = 5;
/// The service through which the zone is reached, as it is called in every cluster.
const NAME_SERVER: [&str; 3] = ["kube-dns", "kube-system", "svc"];
/// The version of the specification that the zone follows.
const SCHEMA_VERSION: &str = "1.1.0";

/// What the zone says to a question.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// These records.
    Records {
        /// What was asked for.
        answers: Vec<Record>,
        /// What will be asked next.
        additionals: Vec<Record>,
    },
    /// Another name, which is to be asked too.
    Alias(Box<Record>, Name),
    /// The name exists, but has no such records.
    NoData,
    /// The name does not exist.
    NoSuchName,
}

/// The zone of one cluster.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    /// The cluster's domain, absolute.
    origin: Name,
}

impl Zone {
    /// The zone of the domain.
    pub(crate) fn new(domain: &str) -> Result<Self, Error> {
        let invalid = |reason: String| Error::Domain { domain: domain.to_owned(), reason };
        let mut origin = Name::from_ascii(domain).map_err(|error| invalid(error.to_string()))?.to_lowercase();
        if origin.is_root() {
            return Err(invalid("it is empty".to_owned()));
        }
        origin.set_fqdn(true);
        Ok(Self { origin })
    }

    /// Whether the name is in the zone.
    pub(crate) fn contains(&self, name: &Name) -> bool {
        self.origin.zone_of(name)
    }

    /// Answers a question about a name in the zone. Records carry the name as it was asked, upper case and all.
    pub(crate) fn answer(&self, asked: &Name, wanted: RecordType, index: &Index) -> Answer {
        let place = name::place(asked, self.origin.num_labels());
        match place {
            Place::Origin => self.about_itself(asked, wanted, index),
            Place::Version => {
                only(RecordType::TXT, wanted, asked, || RData::TXT(TXT::new(vec![SCHEMA_VERSION.to_owned()])))
            }
            Place::Between => Answer::NoData,
            Place::Namespace(namespace) => exists(index.has_namespace(&namespace)),
            Place::Pod { namespace, address } if index.has_namespace(&namespace) => {
                records::pod(asked, address, wanted)
            }
            Place::Service(name) => records::service(self, asked, &name, wanted, index),
            Place::Protocol(name, protocol) => records::protocol(&name, &protocol, index),
            Place::Port(name, port) => records::port(self, asked, &name, &port, wanted, index),
            Place::Endpoint(name, host) => records::endpoint(asked, &name, &host, wanted, index),
            Place::Pod { .. } | Place::Nowhere => Answer::NoSuchName,
        }
    }

    /// The names of an address; `None` where it is none of the cluster's.
    pub(crate) fn reverse(&self, asked: &Name, wanted: RecordType, index: &Index) -> Option<Answer> {
        let network = asked.parse_arpa_name().ok()?;
        let address = Some(network.addr()).filter(|_| network.prefix_len() == network.max_prefix_len())?;
        let names = records::names_of(self, address, index);
        if names.is_empty() {
            return None;
        }
        if !matches!(wanted, RecordType::PTR | RecordType::ANY) {
            return Some(Answer::NoData);
        }
        let record = |name| Record::from_rdata(asked.clone(), TTL, RData::PTR(PTR(name)));
        Some(Answer::Records { answers: names.into_iter().map(record).collect(), additionals: vec![] })
    }

    /// The record that goes with every negative answer.
    pub(crate) fn authority(&self, index: &Index) -> Record {
        Record::from_rdata(self.origin.clone(), TTL, RData::SOA(self.start_of_authority(index)))
    }

    /// The absolute name of labels below the zone; `None` if they do not make a name.
    fn below(&self, labels: &[&str]) -> Option<Name> {
        Name::from_labels(labels.iter().map(|label| label.as_bytes())).ok()?.append_domain(&self.origin).ok()
    }

    fn about_itself(&self, asked: &Name, wanted: RecordType, index: &Index) -> Answer {
        match wanted {
            RecordType::SOA => one(asked, RData::SOA(self.start_of_authority(index))),
            RecordType::NS => one(asked, RData::NS(NS(self.name_server()))),
            _ => Answer::NoData,
        }
    }

    fn start_of_authority(&self, index: &Index) -> SOA {
        let contact = self.below(&["hostmaster"]).unwrap_or_else(|| self.origin.clone());
        SOA::new(self.name_server(), contact, index.serial(), 7200, 1800, 86400, TTL)
    }

    fn name_server(&self) -> Name {
        self.below(&NAME_SERVER).unwrap_or_else(|| self.origin.clone())
    }
}

fn one(asked: &Name, data: RData) -> Answer {
    Answer::Records { answers: vec![Record::from_rdata(asked.clone(), TTL, data)], additionals: vec![] }
}

fn only(kind: RecordType, wanted: RecordType, asked: &Name, data: impl FnOnce() -> RData) -> Answer {
    if wanted == kind || wanted == RecordType::ANY { one(asked, data()) } else { Answer::NoData }
}

fn exists(it_does: bool) -> Answer {
    if it_does { Answer::NoData } else { Answer::NoSuchName }
}

/// The address records of the wanted type.
fn address_records(asked: &Name, wanted: RecordType, addresses: impl Iterator<Item = IpAddr>) -> Vec<Record> {
    let is_wanted = |address: &IpAddr| match address {
        IpAddr::V4(_) => matches!(wanted, RecordType::A | RecordType::ANY),
        IpAddr::V6(_) => matches!(wanted, RecordType::AAAA | RecordType::ANY),
    };
    let record = |address: IpAddr| Record::from_rdata(asked.clone(), TTL, address.into());
    addresses.filter(is_wanted).map(record).collect()
}

#[cfg(test)]
mod tests;
