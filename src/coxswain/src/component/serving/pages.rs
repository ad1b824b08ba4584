//! What there is to see: `/healthz`, `/livez`, `/readyz` with their checks, `/metrics`, `/configz`. Whoever comes here may
//! see it.

use apiserver::health::{Outcome, report, report_one};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode, Uri};
use http_body_util::Full;
use machinery::Status;
use prometheus::{Encoder, TextEncoder};
use serde_json::{Value, json};

/// One check of a health page: its name, upstream's, and how to make it.
pub(crate) type Check = (&'static str, Box<dyn Fn() -> Result<(), String> + Send + Sync>);

/// The check `name`: it holds where `is_well` says so; else `why` is what is wrong.
pub(crate) fn check(
    name: &'static str,
    why: impl Into<String>,
    is_well: impl Fn() -> bool + Send + Sync + 'static,
) -> Check {
    let why = why.into();
    (name, Box::new(move || if is_well() { Ok(()) } else { Err(why.clone()) }))
}

/// What a component shows.
pub(crate) struct Pages {
    /// Whether it should be killed: of `/healthz`.
    pub(crate) health: Vec<Check>,
    /// Whether it can work: of `/readyz`.
    pub(crate) ready: Vec<Check>,
    /// The name of its configuration in `/configz`, and that.
    pub(crate) config: (&'static str, Value),
}

impl Pages {
    /// Answers whoever may see it.
    pub(super) fn show(&self, uri: &Uri) -> Response<Full<Bytes>> {
        let path = uri.path().trim_start_matches('/');
        let (page, check) = path.split_once('/').unwrap_or((path, ""));
        let checks = match page {
            "healthz" => &self.health[..],
            "readyz" => &self.ready[..],
            "livez" => &[],
            "metrics" if check.is_empty() => return metrics(),
            "configz" if check.is_empty() => return self.config(),
            _ => return not_found(),
        };
        match check {
            "" => all(page, checks, uri.query().unwrap_or_default()),
            name => one(checks, name),
        }
    }

    fn config(&self) -> Response<Full<Bytes>> {
        let (name, config) = &self.config;
        with_type("application/json", text(StatusCode::OK, json!({*name: config}).to_string()))
    }
}

fn outcomes(checks: &[Check]) -> Vec<Outcome> {
    // Without a check of its own a page says that somebody answers.
    match checks {
        [] => vec![("ping", Ok(()))],
        checks => checks.iter().map(|(name, check)| (*name, check())).collect(),
    }
}

fn all(page: &str, checks: &[Check], query: &str) -> Response<Full<Bytes>> {
    // The names of checks are plain words: there is nothing to decode.
    let words = || query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let excluded = words().filter(|(key, _)| *key == "exclude").map(|(_, name)| name).collect();
    let verbose = words().any(|(key, _)| key == "verbose");
    let (code, words) = report(page, outcomes(checks), excluded, verbose);
    text(code, words)
}

fn one(checks: &[Check], name: &str) -> Response<Full<Bytes>> {
    let Some((_, outcome)) = outcomes(checks).into_iter().find(|(own, _)| *own == name) else {
        return not_found();
    };
    let (code, words) = report_one(outcome);
    text(code, words)
}

fn metrics() -> Response<Full<Bytes>> {
    let mut body = Vec::new();
    match TextEncoder::new().encode(&prometheus::gather(), &mut body) {
        Ok(()) => with_type("text/plain; version=0.0.4; charset=utf-8", text(StatusCode::OK, body)),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn not_found() -> Response<Full<Bytes>> {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// An answer in words.
pub(super) fn text(code: StatusCode, words: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(words.into()));
    *response.status_mut() = code;
    response.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    with_type("text/plain; charset=utf-8", response)
}

/// Why somebody may not see it.
pub(super) fn refusal(status: &Status) -> Response<Full<Bytes>> {
    let code = StatusCode::from_u16(status.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    with_type("application/json", text(code, status.to_json()))
}

fn with_type(kind: &'static str, mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn expect(path: &str, code: u16, expected: &str) {
        let broken = check("leaderElection", "the lease is old", || false);
        let fine = check("sched-handler-sync", "not synced", || true);
        let pages = Pages {
            health: vec![broken],
            ready: vec![fine],
            config: ("componentconfig", json!({"kind": "K"})),
        };
        let answer = pages.show(&path.parse().unwrap());
        let status = answer.status().as_u16();
        let body =
            String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
        assert_eq!((status, body.as_str()), (code, expected), "{path}");
    }

    #[tokio::test]
    async fn health_pages_answer_as_upstreams_do() {
        expect("/healthz", 500, "[-]leaderElection failed: reason withheld\nhealthz check failed\n").await;
        expect("/healthz?exclude=leaderElection", 200, "ok").await;
        expect("/healthz/leaderElection", 500, "internal server error: the lease is old\n").await;
        expect("/livez?verbose", 200, "[+]ping ok\nlivez check passed\n").await;
        expect("/readyz?verbose", 200, "[+]sched-handler-sync ok\nreadyz check passed\n").await;
        expect("/readyz/ping", 404, "404 page not found\n").await;
        expect("/configz", 200, r#"{"componentconfig":{"kind":"K"}}"#).await;
        expect("/debug", 404, "404 page not found\n").await;
    }
}
