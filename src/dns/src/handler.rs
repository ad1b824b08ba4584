//! One question: whether it is the cluster's or to be forwarded, and the message that answers it.

use std::{
    net::IpAddr,
    sync::{Arc, RwLock},
};

use hickory_proto::{
    op::{Edns, Metadata, OpCode, Query, ResponseCode},
    rr::{DNSClass, Record, RecordType},
};
use hickory_server::{
    net::runtime::Time,
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo},
    zone_handler::MessageResponseBuilder,
};
use ipnet::IpNet;

use crate::{
    forward::{Forwarder, Unanswered},
    index::{Index, Known},
    zone::{Answer, Zone},
};

/// The version of EDNS that is spoken.
const EDNS_VERSION: u8 = 0;
/// The largest datagram that is sent, whatever the client would take: below what is fragmented anywhere.
const MAX_PAYLOAD: u16 = 1232;
/// Aliases that lead to aliases are followed so far.
const MAX_ALIASES: usize = 8;

/// Answers questions.
#[derive(Debug)]
pub(crate) struct Handler {
    pub(crate) zone: Zone,
    pub(crate) known: Known,
    pub(crate) forwarder: Arc<Forwarder>,
    /// Who is answered.
    pub(crate) clients: Arc<[IpNet]>,
}

/// The parts of an answer that differ from question to question.
#[derive(Debug, Default)]
struct Reply {
    code: ResponseCode,
    authoritative: bool,
    authentic: bool,
    answers: Vec<Record>,
    authorities: Vec<Record>,
    additionals: Vec<Record>,
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut to: R,
    ) -> ResponseInfo {
        let edns = request.edns.as_ref().map(our_edns);
        let mut reply = self.reply(request).await;
        rotate_addresses(&mut reply.answers, request.metadata.id);
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.authoritative = reply.authoritative;
        metadata.authentic_data = reply.authentic;
        metadata.recursion_available = true;
        metadata.response_code = reply.code;
        let builder = MessageResponseBuilder::new(&request.queries, edns.as_ref());
        let no_records: [&Record; 0] = [];
        let response =
            builder.build(metadata, &reply.answers, &reply.authorities, no_records, &reply.additionals);
        match to.send_response(response).await {
            Ok(info) => info,
            Err(error) => {
                tracing::debug!(client = %request.src(), %error, "an answer could not be sent");
                metadata.response_code = ResponseCode::ServFail;
                hickory_proto::op::Header { metadata, counts: Default::default() }.into()
            }
        }
    }
}

/// What we say about ourselves to a client that speaks EDNS.
fn our_edns(theirs: &Edns) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(theirs.max_payload().clamp(512, MAX_PAYLOAD)).set_version(EDNS_VERSION);
    edns.set_dnssec_ok(theirs.flags().dnssec_ok);
    edns
}

/// Begins the addresses with another one for every question: most clients take the first.
fn rotate_addresses(answers: &mut [Record], by: u16) {
    let is_address = |record: &Record| matches!(record.record_type(), RecordType::A | RecordType::AAAA);
    let aliases = answers.iter().take_while(|record| !is_address(record)).count();
    let addresses = &mut answers[aliases..];
    if !addresses.is_empty() && addresses.iter().all(is_address) {
        addresses.rotate_left(usize::from(by) % addresses.len());
    }
}

impl Handler {
    async fn reply(&self, request: &Request) -> Reply {
        if !self.is_client(request.src().ip()) {
            return Reply::error(ResponseCode::Refused);
        }
        if request.edns.as_ref().is_some_and(|edns| edns.version() > EDNS_VERSION) {
            return Reply::error(ResponseCode::BADVERS);
        }
        if request.metadata.op_code != OpCode::Query {
            return Reply::error(ResponseCode::NotImp);
        }
        let [question] = request.queries.queries() else { return Reply::error(ResponseCode::FormErr) };
        let question = question.original();
        let is_transfer = matches!(question.query_type, RecordType::AXFR | RecordType::IXFR);
        if question.query_class != DNSClass::IN || is_transfer {
            return Reply::error(ResponseCode::Refused);
        }
        // A resolver that leads back here would be asked without end.
        if self.forwarder.is_asking(request.metadata.id, question) {
            tracing::warn!(%question, "a resolver forwards to this server what this server forwarded to it");
            return Reply::error(ResponseCode::ServFail);
        }
        let dnssec = request.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok);
        self.answer(question, dnssec).await
    }

    fn is_client(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.clients.iter().any(|range| range.contains(&address))
    }

    async fn answer(&self, question: &Query, dnssec: bool) -> Reply {
        let Some(index) = self.known.get() else { return Reply::error(ResponseCode::ServFail) };
        let mut question = question.clone();
        let mut aliases = Vec::new();
        while aliases.len() < MAX_ALIASES {
            let Some((answer, authority)) = self.ask_cluster(&question, index) else {
                let forwarded = self.forwarded(&question, dnssec).await;
                return forwarded.after(aliases);
            };
            match answer {
                Answer::Alias(record, target) => {
                    aliases.push(*record);
                    question.name = target;
                }
                answer => return Reply::authoritative(answer, authority).after(aliases),
            }
        }
        Reply::error(ResponseCode::ServFail)
    }

    /// What the zone says and its authority record; `None` if the question is not the cluster's.
    fn ask_cluster(&self, question: &Query, index: &RwLock<Index>) -> Option<(Answer, Record)> {
        let (name, wanted) = (&question.name, question.query_type);
        let index = index.read().expect("no panic happens while the index is locked");
        let answer = match self.zone.contains(name) {
            true => self.zone.answer(name, wanted, &index),
            false => self.zone.reverse(name, wanted, &index)?,
        };
        Some((answer, self.zone.authority(&index)))
    }

    async fn forwarded(&self, question: &Query, dnssec: bool) -> Reply {
        match self.forwarder.ask(question, dnssec).await {
            Ok(message) => Reply {
                code: message.metadata.response_code,
                authoritative: false,
                authentic: message.metadata.authentic_data,
                answers: message.answers,
                authorities: message.authorities,
                additionals: message.additionals,
            },
            Err(Unanswered::TooMany) => Reply::error(ResponseCode::Refused),
            Err(error) => {
                tracing::debug!(%question, %error, "question could not be forwarded");
                Reply::error(ResponseCode::ServFail)
            }
        }
    }
}

impl Reply {
    fn error(code: ResponseCode) -> Self {
        Self { code, ..Self::default() }
    }

    fn authoritative(answer: Answer, authority: Record) -> Self {
        let reply = Self { authoritative: true, ..Self::default() };
        match answer {
            Answer::Records { answers, additionals } => Self { answers, additionals, ..reply },
            Answer::NoData => Self { authorities: vec![authority], ..reply },
            Answer::NoSuchName => {
                Self { code: ResponseCode::NXDomain, authorities: vec![authority], ..reply }
            }
            Answer::Alias(record, _) => Self { answers: vec![*record], ..reply },
        }
    }

    /// With the aliases that led here in front. The code stays that of the last name (RFC 6604); the authority is that
    /// of the first.
    fn after(mut self, aliases: Vec<Record>) -> Self {
        self.authoritative |= !aliases.is_empty();
        self.answers.splice(0..0, aliases);
        self
    }
}
