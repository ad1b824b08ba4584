//! What a component measures of its requests to the API server: client-go's `rest_client_…` metrics
//! (`component-base/metrics/prometheus/restclient`).

use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::Instant;

use client::{counters, histograms};
use futures::future::BoxFuture;
use http::{Request, Response};
use prometheus::{HistogramVec, IntCounterVec};
use tower::{Layer, Service};

static REQUESTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Number of HTTP requests, partitioned by status code, method, and host.";
    counters("rest_client_requests_total", help, &["code", "method", "host"])
});
static DURATIONS: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "Request latency in seconds. Broken down by verb, and host.";
    let buckets = vec![0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0];
    histograms("rest_client_request_duration_seconds", help, &["verb", "host"], buckets)
});

/// Measures every request of the client that it is built into.
#[derive(Clone, Copy)]
pub(super) struct Measured;

impl<S> Layer<S> for Measured {
    type Service = Requests<S>;

    fn layer(&self, inner: S) -> Requests<S> {
        Requests(inner)
    }
}

/// See [`Measured`].
#[derive(Clone)]
pub(super) struct Requests<S>(S);

impl<S, Sent, Answered> Service<Request<Sent>> for Requests<S>
where
    S: Service<Request<Sent>, Response = Response<Answered>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Sent>) -> Self::Future {
        let (method, started) = (request.method().clone(), Instant::now());
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let answer = self.0.call(request);
        Box::pin(async move {
            let answer = answer.await;
            let code =
                answer.as_ref().map_or("<error>".to_owned(), |answer| answer.status().as_u16().to_string());
            REQUESTS.with_label_values(&[&code, method.as_str(), &host]).inc();
            DURATIONS.with_label_values(&[method.as_str(), &host]).observe(started.elapsed().as_secs_f64());
            answer
        })
    }
}
