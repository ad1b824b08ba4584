//! Questions that are not the cluster's: asked of other resolvers, in order, over UDP and where need be TCP.
//!
//! Keeps no answers. A resolver that sends a question back here is found out by the question's number, which no
//! address translation in between changes.

use std::{
    collections::HashSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use hickory_proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    sync::Semaphore,
    time::timeout,
};

/// How long one resolver is waited for, each time it is asked.
const PATIENCE: Duration = Duration::from_secs(2);
/// Questions under way at a time; more are refused, so that a resolver that is down does not fill the memory.
const AT_ONCE: usize = 1000;
/// What a resolver may send in one datagram: below what is fragmented anywhere.
const MAX_PAYLOAD: u16 = 1232;
/// What is read of a datagram: more than it may be, for resolvers that do not look at what they may send.
const BUFFER: usize = 4096;

/// The resolvers of the machine.
#[derive(Debug)]
pub(crate) struct Forwarder {
    resolvers: Vec<SocketAddr>,
    permits: Semaphore,
    under_way: Mutex<HashSet<Asked>>,
}

/// A question as it was sent: its number and what it asks.
type Asked = (u16, Query);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// [`AT_ONCE`] is reached.
    #[error("too many questions are under way")]
    TooMany,
    /// There is nobody to ask.
    #[error("no resolver is configured")]
    Nobody,
    /// No resolver answered.
    #[error("no resolver answered: {0}")]
    Failed(#[from] io::Error),
}

impl Forwarder {
    pub(crate) fn new(resolvers: Vec<SocketAddr>) -> Self {
        Self { resolvers, permits: Semaphore::new(AT_ONCE), under_way: Mutex::default() }
    }

    /// Whether the question is one that a resolver is being asked right now.
    pub(crate) fn is_asking(&self, id: u16, question: &Query) -> bool {
        let under_way = self.under_way();
        !under_way.is_empty() && under_way.contains(&(id, question.clone()))
    }

    /// The first answer that settles the question. If none does: the last that a resolver gave, or why there is none.
    pub(crate) async fn ask(&self, question: &Query, dnssec: bool) -> Result<Message, Unanswered> {
        let _permit = self.permits.try_acquire().map_err(|_| Unanswered::TooMany)?;
        let mut outcome = Err(Unanswered::Nobody);
        for resolver in &self.resolvers {
            match self.ask_one(*resolver, question, dnssec).await {
                Ok(answer) if is_settled(&answer) => return Ok(answer),
                Ok(answer) => outcome = Ok(answer),
                Err(error) => {
                    tracing::debug!(%resolver, %error, %question, "resolver did not answer");
                    outcome = outcome.or(Err(error.into()));
                }
            }
        }
        outcome
    }

    async fn ask_one(&self, resolver: SocketAddr, question: &Query, dnssec: bool) -> io::Result<Message> {
        let request = request(question, dnssec);
        let _mark = Mark::new(self, (request.metadata.id, question.clone()));
        let bytes = request.to_vec().map_err(io::Error::other)?;
        let answer = timeout(PATIENCE, over_udp(resolver, &bytes, &request)).await??;
        match answer.metadata.truncation {
            false => Ok(answer),
            true => timeout(PATIENCE, over_tcp(resolver, &bytes, &request)).await?,
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashSet<Asked>> {
        self.under_way.lock().expect("no panic happens while the questions under way are locked")
    }
}

/// Marks a question as under way for as long as it lives.
struct Mark<'a> {
    forwarder: &'a Forwarder,
    asked: Asked,
}

impl<'a> Mark<'a> {
    fn new(forwarder: &'a Forwarder, asked: Asked) -> Self {
        forwarder.under_way().insert(asked.clone());
        Self { forwarder, asked }
    }
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        self.forwarder.under_way().remove(&self.asked);
    }
}

/// Whether another resolver need not be asked: this one could tell.
fn is_settled(answer: &Message) -> bool {
    use ResponseCode::{FormErr, NotImp, Refused, ServFail};
    !matches!(answer.metadata.response_code, FormErr | NotImp | Refused | ServFail)
}

fn request(question: &Query, dnssec: bool) -> Message {
    // A number that nobody can guess, as is the source port: forged answers are not accepted.
    let mut request = Message::query();
    request.metadata.recursion_desired = true;
    request.add_query(question.clone());
    let mut edns = Edns::new();
    edns.set_max_payload(MAX_PAYLOAD).set_version(0).set_dnssec_ok(dnssec);
    request.set_edns(edns);
    request
}

async fn over_udp(resolver: SocketAddr, bytes: &[u8], request: &Message) -> io::Result<Message> {
    let any: IpAddr = match resolver {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(resolver).await?;
    socket.send(bytes).await?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // What does not belong to the question is not for us to complain about.
        if let Some(answer) = parse(&buffer[..length], request) {
            return Ok(answer);
        }
    }
}

async fn over_tcp(resolver: SocketAddr, bytes: &[u8], request: &Message) -> io::Result<Message> {
    let mut connection = TcpStream::connect(resolver).await?;
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    connection.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
    let mut answer = vec![0; connection.read_u16().await?.into()];
    connection.read_exact(&mut answer).await?;
    parse(&answer, request).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The message, if it answers the request.
fn parse(bytes: &[u8], request: &Message) -> Option<Message> {
    let answer = Message::from_vec(bytes).ok()?;
    let same = answer.metadata.id == request.metadata.id && answer.queries == request.queries;
    (same && answer.metadata.message_type == MessageType::Response).then_some(answer)
}
