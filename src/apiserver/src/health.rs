//! `/healthz`, `/livez` and `/readyz`, each with its checks: all of them, one (`/readyz/ping`), verbose, with exclusions.

use std::sync::atomic::{AtomicBool, Ordering};

use http::{Response, StatusCode};
use machinery::Status;

use crate::body::Body;
use crate::call::Call;
use crate::negotiate;
use crate::server::Server;

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
    let checks = CHECKS.into_iter().filter(|(name, _)| *name != KMS || has_plugins).chain(shutdown);
    let wanted = path[1..].join("/");
    if wanted.is_empty() {
        return Ok(all(call, endpoint, checks));
    }
    let Some((_, check)) = checks.into_iter().find(|(name, _)| *name == wanted) else {
        return Ok(negotiate::page_not_found());
    };
    Ok(match check(&call.server) {
        Ok(()) => negotiate::text(StatusCode::OK, "ok"),
        Err(why) => {
            negotiate::text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {why}\n"))
        }
    })
}

fn all(call: &Call, endpoint: &str, checks: impl Iterator<Item = Check>) -> Response<Body> {
    let mut excluded: Vec<&str> = call.query.all("exclude").collect();
    let mut report = String::new();
    let mut failed = Vec::new();
    for (name, check) in checks {
        if let Some(at) = excluded.iter().position(|own| *own == name) {
            excluded.remove(at);
            report.push_str(&format!("[+]{name} excluded: ok\n"));
            continue;
        }
        match check(&call.server) {
            Ok(()) => report.push_str(&format!("[+]{name} ok\n")),
            Err(why) => {
                tracing::info!(check = name, why, "{endpoint} check failed");
                report.push_str(&format!("[-]{name} failed: reason withheld\n"));
                failed.push(name);
            }
        }
    }
    if !excluded.is_empty() {
        let names: Vec<String> = excluded.iter().map(|name| format!("{name:?}")).collect();
        report.push_str(&format!(
            "warn: some health checks cannot be excluded: no matches for {}\n",
            names.join(", ")
        ));
    }
    if !failed.is_empty() {
        report.push_str(&format!("{endpoint} check failed\n"));
        return negotiate::text(StatusCode::INTERNAL_SERVER_ERROR, report);
    }
    if call.query.get("verbose").is_none() {
        return negotiate::text(StatusCode::OK, "ok");
    }
    report.push_str(&format!("{endpoint} check passed\n"));
    negotiate::text(StatusCode::OK, report)
}
