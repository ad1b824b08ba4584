//! CertificateSigningRequest (upstream: `pkg/registry/certificates/certificates`). Who asks is written by the server; a
//! request never changes but by its approval (conditions) and its status (certificate, failure).

mod validate;

use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use machinery::field::ErrorList;
use machinery::table::{self, Column};
use objects::certificate_request as request;
use serde_json::Value;

use crate::cells;
use crate::kind::{Context, Kind, Selectable, Subresource};
use validate::{Part, validate, validate_update};

impl Kind for CertificateSigningRequest {
    const SINGULAR: &'static str = "certificatesigningrequest";
    const SHORT_NAMES: &'static [&'static str] = &["csr"];
    const NAMESPACED: bool = false;
    const SUBRESOURCES: &'static [Subresource] = &[Subresource::Approval, Subresource::Status];
    const FIELDS: &'static [Selectable] = &[Selectable::new("spec.signerName", &[&["spec", "signerName"]])];

    /// Upstream does not care how a request is called.
    fn validate_name(_name: &str, _prefix: bool) -> Vec<String> {
        Vec::new()
    }

    fn prepare_for_create(&mut self, cx: &Context) {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        self.spec.username = some(&cx.user);
        self.spec.uid = some(&cx.uid);
        self.spec.groups = (!cx.groups.is_empty()).then(|| cx.groups.clone());
        self.spec.extra = (!cx.extra.is_empty()).then(|| cx.extra.clone());
        self.status = Some(CertificateSigningRequestStatus::default());
    }

    fn validate(&self) -> ErrorList {
        validate(self, None)
    }

    fn prepare_for_update(&mut self, old: &Self, _cx: &Context) {
        self.spec = old.spec.clone();
        self.status = old.status.clone();
    }

    fn validate_update(&self, old: &Self) -> ErrorList {
        validate_update(self, old, Part::Neither)
    }

    fn prepare_for_status_update(&mut self, old: &Self, cx: &Context) {
        self.spec = old.spec.clone();
        let conditions = conditions_mut(self);
        for type_ in ["Approved", "Denied"] {
            keep(conditions, request::conditions(old), type_);
        }
        date(conditions, request::conditions(old), cx.now);
    }

    fn validate_status_update(&self, old: &Self) -> ErrorList {
        validate_update(self, old, Part::Certificate)
    }

    fn prepare_for_approval_update(&mut self, old: &Self, cx: &Context) {
        self.spec = old.spec.clone();
        date(conditions_mut(self), request::conditions(old), cx.now);
        let conditions = self.status.take().and_then(|status| status.conditions);
        let certificate = old.status.as_ref().and_then(|status| status.certificate.clone());
        self.status = Some(CertificateSigningRequestStatus { certificate, conditions });
    }

    fn validate_approval_update(&self, old: &Self) -> ErrorList {
        validate_update(self, old, Part::Approval)
    }

    fn columns() -> Vec<Column> {
        vec![
            cells::name(),
            cells::age(),
            cells::column("SignerName", "string", "Who is asked to sign."),
            cells::column("Requestor", "string", "The user that made the request."),
            cells::column("RequestedDuration", "string", "How long the certificate is to be valid."),
            cells::column(
                "Condition",
                "string",
                "Whether the request is approved, denied, failed, fulfilled.",
            ),
        ]
    }

    fn row(&self, now: Timestamp) -> Vec<Value> {
        let duration = self.spec.expiration_seconds.map(|seconds| table::human(seconds.into()));
        vec![
            cells::name_of(&self.metadata),
            cells::age_of(&self.metadata, now),
            cells::text_or_none(Some(&self.spec.signer_name)),
            cells::text(self.spec.username.as_deref()),
            cells::text_or_none(duration.as_deref()),
            Value::from(state(self)),
        ]
    }
}

fn conditions_mut(request: &mut CertificateSigningRequest) -> &mut [CertificateSigningRequestCondition] {
    request.status.get_or_insert_default().conditions.get_or_insert_default()
}

/// Puts back the conditions of a type, unless their number changed: that is for validation to refuse.
fn keep(
    new: &mut [CertificateSigningRequestCondition],
    old: &[CertificateSigningRequestCondition],
    type_: &str,
) {
    let before: Vec<_> = old.iter().filter(|condition| condition.type_ == type_).collect();
    let now: Vec<_> = new.iter_mut().filter(|condition| condition.type_ == type_).collect();
    if before.len() == now.len() {
        now.into_iter().zip(before).for_each(|(now, before)| now.clone_from(before));
    }
}

/// Dates conditions that say nothing of when they came and changed.
fn date(
    new: &mut [CertificateSigningRequestCondition],
    old: &[CertificateSigningRequestCondition],
    now: Timestamp,
) {
    let now = Time(machinery::meta::whole_seconds(now).0);
    for condition in new {
        condition.last_update_time.get_or_insert_with(|| now.clone());
        let same = |other: &&CertificateSigningRequestCondition| {
            other.type_ == condition.type_ && other.status == condition.status
        };
        let before = old.iter().find(same).and_then(|other| other.last_transition_time.clone());
        condition.last_transition_time.get_or_insert_with(|| before.unwrap_or_else(|| now.clone()));
    }
}

/// What `kubectl get` shows.
fn state(request: &CertificateSigningRequest) -> String {
    let judged = match (request::has(request, "Denied"), request::has(request, "Approved")) {
        (true, _) => "Denied",
        (_, true) => "Approved",
        _ => "Pending",
    };
    let failed = request::has(request, "Failed").then_some("Failed");
    let issued = request::certificate(request).map(|_| "Issued");
    [Some(judged), failed, issued].into_iter().flatten().collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, object};

    #[test]
    fn who_asks_is_what_the_server_knows_and_nothing_is_approved_beforehand() {
        let mut csr: CertificateSigningRequest = object(
            r#"{"spec":{"signerName":"a.b/c","request":"","username":"forged","groups":["system:masters"]},
            "status":{"conditions":[{"type":"Approved","status":"True"}]}}"#,
        );
        let asked = Context {
            user: "me".into(),
            uid: "u".into(),
            groups: vec!["g".into()],
            extra: [("k".to_owned(), vec!["v".to_owned()])].into(),
            ..context()
        };
        csr.prepare_for_create(&asked);
        let expected = r#"{"spec":{"signerName":"a.b/c","request":"","username":"me","uid":"u","groups":["g"],
            "extra":{"k":["v"]}},"status":{}}"#;
        assert_eq!(csr, object(expected));
    }

    #[test]
    fn an_approval_is_dated_and_changes_nothing_else() {
        let old: CertificateSigningRequest =
            object(r#"{"spec":{"signerName":"a.b/c","request":""},"status":{"certificate":"YQ=="}}"#);
        let mut new: CertificateSigningRequest = object(
            r#"{"spec":{"signerName":"x.y/z","request":""},
            "status":{"certificate":"Yg==","conditions":[{"type":"Approved","status":"True"}]}}"#,
        );
        new.prepare_for_approval_update(&old, &context());
        let expected = r#"{"spec":{"signerName":"a.b/c","request":""},"status":{"certificate":"YQ==",
            "conditions":[{"type":"Approved","status":"True","lastUpdateTime":"1970-01-01T00:00:00Z",
            "lastTransitionTime":"1970-01-01T00:00:00Z"}]}}"#;
        assert_eq!(new, object(expected));
    }

    #[test]
    fn the_state_is_shown_as_upstream_shows_it() {
        let check = |status: &str, expected: &str| {
            let csr = object(&format!(
                r#"{{"spec":{{"signerName":"a.b/c","request":"","expirationSeconds":3600}},"status":{status}}}"#
            ));
            let row = CertificateSigningRequest::row(&csr, Timestamp::UNIX_EPOCH);
            assert_eq!(row[4..], [Value::from("60m"), Value::from(expected)]);
        };
        check("{}", "Pending");
        check(
            r#"{"certificate":"YQ==","conditions":[{"type":"Approved","status":"True"}]}"#,
            "Approved,Issued",
        );
        check(
            r#"{"conditions":[{"type":"Denied","status":"True"},{"type":"Failed","status":"True"}]}"#,
            "Denied,Failed",
        );
    }
}
