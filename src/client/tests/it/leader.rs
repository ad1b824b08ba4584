//! Candidates for one lease take turns, as client-go's do.

use std::{
    convert::Infallible,
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use coxswain_client::{Election, Recorder, Standing, Terms};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

/// The API of one lease, with its optimistic concurrency; clones share it.
#[derive(Clone, Default)]
struct Leases(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    lease: Option<Value>,
    revision: u64,
    /// Who cannot reach the API.
    cut_off: Option<&'static str>,
    events: Vec<String>,
}

impl Leases {
    fn client(&self, of: &'static str) -> Client {
        let leases = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let leases = leases.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                if leases.0.lock().unwrap().cut_off == Some(of) {
                    std::future::pending::<()>().await;
                }
                let (code, answer) = leases.answer(&parts.method, parts.uri.path(), &body);
                let answer = Full::new(bytes::Bytes::from(answer.to_string()));
                Ok::<_, Infallible>(Response::builder().status(code).body(answer).unwrap())
            }
        });
        Client::new(service, "default")
    }

    fn answer(&self, method: &Method, path: &str, body: &[u8]) -> (StatusCode, Value) {
        let mut state = self.0.lock().unwrap();
        let mut sent: Value = serde_json::from_slice(body).unwrap_or_default();
        if path.ends_with("/events") {
            state.events.push(sent["message"].as_str().unwrap().to_owned());
            return (StatusCode::CREATED, sent);
        }
        let version =
            |lease: &Option<Value>| lease.as_ref().map(|lease| lease["metadata"]["resourceVersion"].clone());
        match (method, version(&state.lease)) {
            (&Method::GET, Some(_)) => return (StatusCode::OK, state.lease.clone().unwrap()),
            (&Method::GET, None) => return failure(StatusCode::NOT_FOUND, "NotFound"),
            (&Method::POST, None) => {}
            (&Method::PUT, Some(present)) if present == sent["metadata"]["resourceVersion"] => {}
            _ => return failure(StatusCode::CONFLICT, "Conflict"),
        }
        state.revision += 1;
        sent["metadata"]["resourceVersion"] = json!(state.revision.to_string());
        state.lease = Some(sent.clone());
        (StatusCode::OK, sent)
    }

    fn spec(&self, field: &str) -> Value {
        self.0.lock().unwrap().lease.as_ref().map_or(Value::Null, |lease| lease["spec"][field].clone())
    }

    fn cut_off(&self, who: Option<&'static str>) {
        self.0.lock().unwrap().cut_off = who;
    }

    /// Somebody stands for election; the log says when they lead, and that they have ended.
    fn stand(&self, who: &'static str, log: &Log, cancel: &CancellationToken) -> JoinHandle<bool> {
        let client = self.client(who);
        let election = Election {
            recorder: Recorder::new(client.clone(), "test", "host"),
            standing: Standing::default(),
            client,
            namespace: "kube-system".into(),
            name: "kube-scheduler".into(),
            identity: who.into(),
            terms: Terms::default(),
        };
        let (log, cancel) = (log.clone(), cancel.clone());
        tokio::spawn(async move {
            let work = |term: CancellationToken| async move {
                log.lock().unwrap().push((who, "begins", Instant::now()));
                term.cancelled().await;
                log.lock().unwrap().push((who, "ends", Instant::now()));
            };
            election.lead(cancel, work).await.is_ok()
        })
    }
}

type Log = Arc<Mutex<Vec<(&'static str, &'static str, Instant)>>>;

fn failure(code: StatusCode, reason: &str) -> (StatusCode, Value) {
    let status = json!({"kind": "Status", "status": "Failure", "reason": reason, "message": reason,
        "code": code.as_u16()});
    (code, status)
}

fn told(log: &Log) -> Vec<String> {
    log.lock().unwrap().iter().map(|(who, what, _)| format!("{who} {what}")).collect()
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let looking: std::pin::Pin<Box<dyn Future<Output = ()> + '_>> = Box::pin(async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    tokio::time::timeout(Duration::from_secs(300), looking).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test(start_paused = true)]
async fn one_leads_at_once_and_the_next_as_soon_as_it_stops() {
    let (leases, log) = (Leases::default(), Log::default());
    let (first, second) = (CancellationToken::new(), CancellationToken::new());
    let start = Instant::now();
    let a = leases.stand("a", &log, &first);
    until("a leads", || told(&log) == ["a begins"]).await;
    assert!(log.lock().unwrap()[0].2 - start < Duration::from_secs(1), "nobody was waited for");
    assert_eq!((leases.spec("holderIdentity"), leases.spec("leaseTransitions")), (json!("a"), json!(0)));
    assert_eq!(leases.spec("leaseDurationSeconds"), json!(15));

    let b = leases.stand("b", &log, &second);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(told(&log), ["a begins"], "a renews");
    first.cancel();
    assert!(a.await.unwrap());
    until("b leads", || told(&log) == ["a begins", "a ends", "b begins"]).await;
    assert_eq!((leases.spec("holderIdentity"), leases.spec("leaseTransitions")), (json!("b"), json!(1)));
    second.cancel();
    assert!(b.await.unwrap());
    assert_eq!(leases.spec("holderIdentity"), json!(""), "released");
    until("all events are written", || leases.0.lock().unwrap().events.len() == 4).await;
    let mut events = leases.0.lock().unwrap().events.clone();
    events.sort();
    assert_eq!(events, ["a became leader", "a stopped leading", "b became leader", "b stopped leading"]);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_stops_before_another_begins() {
    let (leases, log, cancel) = (Leases::default(), Log::default(), CancellationToken::new());
    let a = leases.stand("a", &log, &cancel);
    until("a leads", || told(&log) == ["a begins"]).await;
    leases.stand("b", &log, &cancel);
    tokio::time::sleep(Duration::from_secs(30)).await;
    leases.cut_off(Some("a"));
    assert!(!a.await.unwrap(), "the lease was lost");
    until("b leads", || told(&log) == ["a begins", "a ends", "b begins"]).await;
    assert_eq!(leases.spec("leaseTransitions"), json!(1));
    cancel.cancel();
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_under_the_same_name_leads_at_once() {
    let (leases, log, cancel) = (Leases::default(), Log::default(), CancellationToken::new());
    let a = leases.stand("a", &log, &cancel);
    until("a leads", || told(&log) == ["a begins"]).await;
    // As a process that was killed: nothing is released.
    a.abort();
    a.await.unwrap_err();
    let again = Instant::now();
    leases.stand("a", &log, &cancel);
    until("a leads again", || told(&log) == ["a begins", "a begins"]).await;
    assert!(log.lock().unwrap()[1].2 - again < Duration::from_secs(1));
    assert_eq!(leases.spec("leaseTransitions"), json!(0));
    cancel.cancel();
}
