//! Answers load balancers in front of the cluster on a service's `healthCheckNodePort`: whether this node has an endpoint of
//! it that is ready (upstream: `pkg/proxy/healthcheck/service_health.go`).
//!
//! What to answer comes from [`super::cluster`]. Forwards nothing, and says nothing about other nodes.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use client::Key;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};

/// Whoever connects has this long to ask.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is asked about one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) port: u16,
    /// Endpoints on this node that are ready.
    pub(super) endpoints: usize,
}

/// The services that are asked about.
pub(super) struct HealthChecks {
    address: Ipv4Addr,
    /// Whether the kernel has what the API says.
    healthy: Arc<AtomicBool>,
    served: HashMap<Key, Served>,
    unserved: HashMap<Key, Unserved>,
}

/// What is to be served and is not yet.
struct Unserved {
    check: Check,
    /// Whether the log says why.
    is_told: bool,
}

struct Served {
    port: u16,
    endpoints: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Served {
    /// Gives the port back before it returns.
    async fn end(mut self) {
        self.task.abort();
        if let Err(error) = (&mut self.task).await
            && error.is_panic()
        {
            tracing::error!(%error, "answering health checks had ended already");
        }
    }
}

impl HealthChecks {
    /// To be answered on the node's address.
    pub(super) fn new(address: Ipv4Addr) -> Self {
        Self { address, healthy: Arc::default(), served: HashMap::new(), unserved: HashMap::new() }
    }

    /// Takes what is to be answered about some services; `None` is no longer asked about. What could not be served before
    /// is tried again.
    pub(super) async fn update(&mut self, changes: Vec<(Key, Option<Check>)>) {
        // One service may take the port of another: all that go are gone before any comes.
        for (service, check) in changes {
            self.take(service, check).await;
        }
        for (service, unserved) in std::mem::take(&mut self.unserved) {
            self.serve(service, unserved).await;
        }
    }

    async fn take(&mut self, service: Key, check: Option<Check>) {
        self.unserved.remove(&service);
        let old = self.served.remove(&service);
        match (old, check) {
            (Some(old), Some(check)) if old.port == check.port => {
                old.endpoints.store(check.endpoints, Ordering::Relaxed);
                self.served.insert(service, old);
            }
            (old, check) => {
                if let Some(old) = old {
                    old.end().await;
                }
                self.unserved.extend(check.map(|check| (service, Unserved { check, is_told: false })));
            }
        }
    }

    /// Says whether the kernel has what the API says.
    pub(super) fn set_healthy(&self, healthy: bool) {
        self.healthy.store(healthy, Ordering::Relaxed);
    }

    async fn serve(&mut self, service: Key, unserved: Unserved) {
        let Unserved { check, is_told } = unserved;
        let listener = match TcpListener::bind((self.address, check.port)).await {
            Ok(listener) => listener,
            Err(error) => {
                if !is_told {
                    tracing::warn!(%service, port = check.port, %error, "the service's health cannot be told");
                }
                self.unserved.insert(service, Unserved { check, is_told: true });
                return;
            }
        };
        let endpoints = Arc::new(AtomicUsize::new(check.endpoints));
        let asked =
            Asked { service: service.clone(), endpoints: endpoints.clone(), healthy: self.healthy.clone() };
        let task = tokio::spawn(answer_all(listener, Arc::new(asked)));
        self.served.insert(service, Served { port: check.port, endpoints, task });
    }
}

/// What an answer is made of.
struct Asked {
    service: Key,
    endpoints: Arc<AtomicUsize>,
    healthy: Arc<AtomicBool>,
}

async fn answer_all(listener: TcpListener, asked: Arc<Asked>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: they come back.
                tracing::warn!(%error, "a health check was not accepted");
                tokio::time::sleep(PATIENCE).await;
                continue;
            }
        };
        let asked = asked.clone();
        tokio::spawn(async move {
            let service = service_fn(|_: Request<_>| {
                let answer = asked.answer();
                async { Ok::<_, Infallible>(answer) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a health check ended early");
            }
        });
    }
}

impl Asked {
    fn answer(&self) -> Response<Full<Bytes>> {
        let (endpoints, healthy) =
            (self.endpoints.load(Ordering::Relaxed), self.healthy.load(Ordering::Relaxed));
        let status = if endpoints > 0 && healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let body = json!({
            "service": {"namespace": self.service.namespace, "name": self.service.name},
            "localEndpoints": endpoints,
            "serviceProxyHealthy": healthy,
        });
        Response::builder()
            .status(status)
            .header("content-type", "application/json")
            .header("x-content-type-options", "nosniff")
            .header("x-load-balancing-endpoint-weight", endpoints)
            .body(Full::new(Bytes::from(body.to_string())))
            .expect("all headers are literals or a number")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    const ADDRESS: Ipv4Addr = Ipv4Addr::LOCALHOST;

    fn service(name: &str) -> Key {
        Key { namespace: "n".into(), name: name.into() }
    }

    async fn ask(port: u16) -> String {
        let mut stream = TcpStream::connect((ADDRESS, port)).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: node\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_port_that_was_taken_is_served_once_it_is_free() {
        let taken = TcpListener::bind((ADDRESS, 0)).await.unwrap();
        let port = taken.local_addr().unwrap().port();
        let mut checks = HealthChecks::new(ADDRESS);
        checks.update(vec![(service("a"), Some(Check { port, endpoints: 1 }))]).await;
        assert!(checks.served.is_empty());
        drop(taken);
        checks.update(Vec::new()).await;
        assert!(ask(port).await.contains(r#""name":"a""#));
    }

    #[tokio::test]
    async fn a_port_goes_from_one_service_to_another_in_one_update() {
        let free = TcpListener::bind((ADDRESS, 0)).await.unwrap().local_addr().unwrap().port();
        let check = Check { port: free, endpoints: 1 };
        let mut checks = HealthChecks::new(ADDRESS);
        checks.update(vec![(service("old"), Some(check))]).await;
        assert!(ask(free).await.contains(r#""name":"old""#));
        checks.update(vec![(service("new"), Some(check)), (service("old"), None)]).await;
        assert!(ask(free).await.contains(r#""name":"new""#));
    }
}
