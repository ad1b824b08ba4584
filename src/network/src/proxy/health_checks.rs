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

impl HealthChecks {
    /// To be answered on the node's address.
    pub(super) fn new(address: Ipv4Addr) -> Self {
        Self { address, healthy: Arc::default(), served: HashMap::new() }
    }

    /// Takes what is to be answered about some services; `None` is no longer asked about.
    pub(super) async fn update(&mut self, changes: Vec<(Key, Option<Check>)>) {
        for (service, check) in changes {
            let old = self.served.remove(&service);
            let Some(check) = check else { continue };
            let served = match old.filter(|served| served.port == check.port) {
                Some(served) => {
                    served.endpoints.store(check.endpoints, Ordering::Relaxed);
                    Some(served)
                }
                None => self.serve(&service, check).await,
            };
            self.served.extend(served.map(|served| (service, served)));
        }
    }

    /// Says whether the kernel has what the API says.
    pub(super) fn set_healthy(&self, healthy: bool) {
        self.healthy.store(healthy, Ordering::Relaxed);
    }

    async fn serve(&self, service: &Key, check: Check) -> Option<Served> {
        let listener = match TcpListener::bind((self.address, check.port)).await {
            Ok(listener) => listener,
            Err(error) => {
                tracing::warn!(%service, port = check.port, %error, "the service's health cannot be told");
                return None;
            }
        };
        let endpoints = Arc::new(AtomicUsize::new(check.endpoints));
        let asked =
            Asked { service: service.clone(), endpoints: endpoints.clone(), healthy: self.healthy.clone() };
        let task = tokio::spawn(answer_all(listener, Arc::new(asked)));
        Some(Served { port: check.port, endpoints, task })
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
