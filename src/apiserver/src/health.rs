//! `/healthz`, `/livez` and `/readyz`, each with its checks: all of them, one (`/readyz/ping`), verbose, with exclusions.

use std::sync::atomic::{AtomicBool, Ordering};

use http::Response;
use machinery::Status;

use crate::body::Body;
use crate::call::Call;
use crate::negotiate;
use crate::server::Server;

mod report;

pub use report::{Outcome, report, report_one};

/// What start-up has reached.
#[derive(Debug, Default)]
pub(crate) struct Health {
    pub(crate) namespaces: AtomicBool,
    pub(crate) roles: AtomicBool,
    pub(crate) service: AtomicBool,
}

type Check = (&'static str, fn(&Server) -> Result<(), String>);

/// The check of KMS plugins, which only exists where there are some.
const KMS: &str = "kms-providers";

/// In the order in which they are shown, under upstream's names; a check of upstream's that would check nothing here
/// (`log`, informers) is absent. `etcd` is what monitoring asks about the storage, whatever that is.
const CHECKS: [Check; 6] =
    [
        ("ping", |_| Ok(())),
        ("etcd", |server| {
            if server.store.is_writable() { Ok(()) } else { Err("the store takes no writes".to_owned()) }
        }),
        (KMS, |server| server.encryption.check()),
        ("poststarthook/start-system-namespaces-controller", |server| reached(&server.health.namespaces)),
        ("poststarthook/bootstrap-controller", |server| reached(&server.health.service)),
        ("poststarthook/rbac/bootstrap-roles", |server| reached(&server.health.roles)),
    ];

/// Only readiness ends with the drain.
const SHUTDOWN: Check = ("shutdown", |server| {
    if server.draining.is_cancelled() { Err("process is shutting down".to_owned()) } else { Ok(()) }
});

fn reached(flag: &AtomicBool) -> Result<(), String> {
    if flag.load(Ordering::Acquire) { Ok(()) } else { Err("not finished".to_owned()) }
}

/// Answers a health request.
pub(crate) fn answer(call: &Call, path: &[&str]) -> Result<Response<Body>, Status> {
    let endpoint = path.first().copied().unwrap_or_default();
    let shutdown = (endpoint == "readyz").then_some(SHUTDOWN);
    let has_plugins = call.server.encryption.has_health();
    let mut checks = CHECKS.into_iter().filter(|(name, _)| *name != KMS || has_plugins).chain(shutdown);
    let wanted = path[1..].join("/");
    if wanted.is_empty() {
        let outcomes = checks.map(|(name, check)| (name, check(&call.server)));
        let (excluded, verbose) = (call.query.all("exclude").collect(), call.query.get("verbose").is_some());
        let (code, text) = report(endpoint, outcomes, excluded, verbose);
        return Ok(negotiate::text(code, text));
    }
    let Some((_, check)) = checks.find(|(name, _)| *name == wanted) else {
        return Ok(negotiate::page_not_found());
    };
    let (code, text) = report_one(check(&call.server));
    Ok(negotiate::text(code, text))
}
