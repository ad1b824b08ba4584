//! Deletes certificate signing requests that nobody needs any more (upstream `pkg/controller/certificates/cleaner`):
//! each is looked at again when its time is up.

use std::time::Duration;

use client::{Change, Key, Queue, Requeue};
use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::{Api, api::DeleteParams};
use objects::certificate_request as request;
use x509_parser::pem::parse_x509_pem;

use super::ACCOUNT;
use crate::{Context, Error, feed::feed, ignore_absent};

const SETTLED: Duration = Duration::from_secs(60 * 60);
const PENDING: Duration = Duration::from_secs(24 * 60 * 60);

/// Runs the controller until the context is cancelled.
pub(crate) async fn controller(cx: Context) -> Result<(), Error> {
    let requests = cx.informers.of::<CertificateSigningRequest>();
    let api = Api::<CertificateSigningRequest>::all(cx.client(ACCOUNT));
    requests.synced().await;

    let queue = Queue::<String>::named("certificate_cleaner");
    feed(&requests, &queue, |change| match change {
        Change::Applied { new, .. } => new.metadata.name.clone(),
        Change::Deleted(_) => None,
    });
    let sync = |name: String| {
        let due = requests.get_key(&Key::new("", &name)).and_then(|csr| plan(&csr));
        let api = api.clone();
        async move {
            let left = match due {
                Some(due) => Duration::try_from(due - Timestamp::now()).unwrap_or_default(),
                None => return Ok(Requeue::No),
            };
            if !left.is_zero() {
                return Ok(Requeue::After(left));
            }
            ignore_absent(api.delete(&name, &DeleteParams::default()).await)?;
            Ok::<_, Error>(Requeue::No)
        }
    };
    client::work(queue, 1, sync, cx.cancel.clone()).await;
    Ok(())
}

/// When the request has outlived its use; `None` where it never has.
fn plan(csr: &CertificateSigningRequest) -> Option<Timestamp> {
    let conditions = request::conditions(csr);
    if conditions.is_empty() {
        let created = csr.metadata.creation_timestamp.as_ref()?;
        return after(created.0, PENDING);
    }
    let issued = request::certificate(csr);
    let ends = conditions.iter().filter_map(|condition| {
        let kept = match condition.type_.as_str() {
            "Approved" if issued.is_none() => PENDING,
            "Approved" | "Denied" | "Failed" => SETTLED,
            _ => return None,
        };
        after(condition.last_update_time.as_ref()?.0, kept)
    });
    let expires = issued.filter(|_| request::has(csr, "Approved")).and_then(expiry);
    ends.chain(expires).min()
}

fn after(time: Timestamp, kept: Duration) -> Option<Timestamp> {
    time.checked_add(kept).ok()
}

fn expiry(pem: &[u8]) -> Option<Timestamp> {
    let (_, block) = parse_x509_pem(pem).ok()?;
    let certificate = block.parse_x509().ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: &str, expected: Option<&str>) {
        let mut csr = CertificateSigningRequest::default();
        csr.metadata.creation_timestamp = serde_json::from_str("\"2026-01-01T00:00:00Z\"").unwrap();
        csr.status = serde_json::from_str(status).unwrap();
        assert_eq!(plan(&csr).map(|due| due.to_string()).as_deref(), expected, "{status}");
    }

    #[test]
    fn a_request_is_kept_for_as_long_as_upstream_keeps_it() {
        let condition = |type_: &str, more: &str| {
            format!(
                r#"{{"conditions":[{{"type":"{type_}","status":"True","lastUpdateTime":"2026-01-01T01:00:00Z"}}]{more}}}"#
            )
        };
        check("{}", Some("2026-01-02T00:00:00Z"));
        check(&condition("Denied", ""), Some("2026-01-01T02:00:00Z"));
        check(&condition("Failed", ""), Some("2026-01-01T02:00:00Z"));
        check(&condition("Approved", ""), Some("2026-01-02T01:00:00Z"));
        check(&condition("Approved", r#","certificate":"YQ==""#), Some("2026-01-01T02:00:00Z"));
        check(&condition("Mine", ""), None);
    }

    #[test]
    fn an_expired_certificate_is_not_worth_keeping() {
        let mut params = rcgen::CertificateParams::default();
        params.not_after = rcgen::date_time_ymd(2026, 1, 1);
        let pem = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem();
        assert_eq!(expiry(pem.as_bytes()).unwrap().to_string(), "2026-01-01T00:00:00Z");
    }
}
