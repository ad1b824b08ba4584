//! Signs approved requests with the cluster's key (upstream `pkg/controller/certificates/signer`), for the four signers
//! that Kubernetes itself has. What a signer may not sign is marked as failed.

use std::time::Duration;

use client::{Change, Key, Queue, Requeue};
use jiff::Timestamp;
use k8s_openapi::{
    ByteString,
    api::certificates::v1::{
        CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestStatus,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{Api, api::PostParams};
use objects::certificate_request::{self as request, Requested};

use super::{ACCOUNT, usages};
use crate::{Context, Error, feed::feed, ignore_absent};
use issue::Authority;

mod issue;
mod purposes;

/// The key by which certificate signing requests are fulfilled.
#[derive(Clone)]
pub struct Signer {
    /// The authority's certificate, PEM.
    pub certificate: String,
    /// Its key, PKCS#8 PEM.
    pub key: String,
    /// How long a certificate is valid, unless the request asks for less (upstream's `--cluster-signing-duration`).
    pub duration: Duration,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("duration", &self.duration).finish_non_exhaustive()
    }
}

/// Runs the controller until the context is cancelled; without a key it only waits for that.
pub(crate) async fn controller(cx: Context) -> Result<(), Error> {
    let Some(signer) = cx.signer.clone() else {
        cx.cancel.cancelled().await;
        return Ok(());
    };
    let authority = Authority::read(&signer).map_err(Error::Unusable)?;
    let requests = cx.informers.of::<CertificateSigningRequest>();
    let api = Api::<CertificateSigningRequest>::all(cx.client(ACCOUNT));
    requests.synced().await;

    let queue = Queue::<String>::named("certificate_signing");
    feed(&requests, &queue, |change| match change {
        Change::Applied { new, .. } if is_ready(new) => new.metadata.name.clone(),
        _ => None,
    });
    let sync = |name: String| {
        let request = requests.get_key(&Key::new("", &name)).filter(|csr| is_ready(csr));
        let status = request.and_then(|csr| Some((plan(&csr, &authority, Timestamp::now())?, csr)));
        let api = api.clone();
        async move {
            if let Some((status, csr)) = status {
                let csr = CertificateSigningRequest { status: Some(status), ..(*csr).clone() };
                ignore_absent(api.replace_status(&name, &PostParams::default(), &csr).await)?;
            }
            Ok::<_, Error>(Requeue::No)
        }
    };
    client::work(queue, 1, sync, cx.cancel.clone()).await;
    Ok(())
}

/// Whether the request waits for a signature.
fn is_ready(csr: &CertificateSigningRequest) -> bool {
    request::is_approved(csr) && !request::has(csr, "Failed") && request::certificate(csr).is_none()
}

/// The status that the request is to get; `None` where it is for another signer.
fn plan(
    csr: &CertificateSigningRequest,
    authority: &Authority,
    now: Timestamp,
) -> Option<CertificateSigningRequestStatus> {
    let check = check_of(&csr.spec.signer_name)?;
    let mut status = csr.status.clone().unwrap_or_default();
    let signed = request::parse(&csr.spec.request.0).and_then(|requested| {
        check(&requested, usages(csr))?;
        authority.sign(&requested, usages(csr), csr.spec.expiration_seconds, now)
    });
    match signed {
        Ok(pem) => status.certificate = Some(ByteString(pem.into_bytes())),
        Err(why) => status.conditions.get_or_insert_default().push(failed(why, now)),
    }
    Some(status)
}

type Check = fn(&Requested, &[String]) -> Result<(), String>;

fn check_of(signer: &str) -> Option<Check> {
    match signer {
        request::KUBELET_CLIENT => Some(Requested::check_kubelet_client),
        request::KUBELET_SERVING => Some(Requested::check_kubelet_serving),
        request::CLIENT => Some(|_, usages| check_client(usages)),
        request::LEGACY_UNKNOWN => Some(|_, _| Ok(())),
        _ => None,
    }
}

fn check_client(usages: &[String]) -> Result<(), String> {
    let known = ["digital signature", "key encipherment", "client auth"];
    if let Some(other) = usages.iter().find(|usage| !known.contains(&usage.as_str())) {
        return Err(format!("invalid usage for client certificate: {other}"));
    }
    if !usages.iter().any(|usage| usage == "client auth") {
        return Err("missing required usage for client certificate: client auth".to_owned());
    }
    Ok(())
}

fn failed(why: String, now: Timestamp) -> CertificateSigningRequestCondition {
    CertificateSigningRequestCondition {
        type_: "Failed".into(),
        status: "True".into(),
        reason: Some("SignerValidationFailure".into()),
        message: Some(why),
        last_update_time: Some(Time(now)),
        ..CertificateSigningRequestCondition::default()
    }
}

#[cfg(test)]
mod tests {
    use x509_parser::pem::parse_x509_pem;

    use super::{super::testing::of_node, *};

    fn authority() -> Authority {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let certificate = params.self_signed(&key).unwrap().pem();
        let duration = Duration::from_secs(365 * 24 * 60 * 60);
        Authority::read(&Signer { certificate, key: key.serialize_pem(), duration }).unwrap()
    }

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_good_request_gets_what_it_asks_for() {
        let csr = of_node("a", request::KUBELET_SERVING, "server auth", &["a", "192.0.2.1"]);
        let status = plan(&csr, &authority(), now()).unwrap();
        let (_, block) = parse_x509_pem(&status.certificate.unwrap().0).unwrap();
        let certificate = block.parse_x509().unwrap();
        assert_eq!(certificate.subject().to_string(), "CN=system:node:a, O=system:nodes");
        let usage = certificate.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.server_auth && !usage.client_auth);
        assert!(!certificate.is_ca());
        let names = certificate.subject_alternative_name().unwrap().unwrap().value;
        assert_eq!(names.general_names.len(), 2);
        let validity = certificate.validity();
        assert_eq!(validity.not_before.timestamp(), now().as_second() - 300);
        assert_eq!(validity.not_after.timestamp(), now().as_second() + 365 * 24 * 60 * 60 - 300);
    }

    #[test]
    fn what_the_signer_may_not_sign_is_marked_as_failed() {
        let csr = of_node("a", request::KUBELET_CLIENT, "server auth", &[]);
        let status = plan(&csr, &authority(), now()).unwrap();
        let condition = &status.conditions.unwrap()[0];
        assert_eq!((condition.type_.as_str(), status.certificate), ("Failed", None));
        assert_eq!(condition.reason.as_deref(), Some("SignerValidationFailure"));
    }

    #[test]
    fn other_signers_requests_are_theirs() {
        let csr = of_node("a", "example.com/mine", "server auth", &[]);
        assert_eq!(plan(&csr, &authority(), now()), None);
    }

    #[test]
    fn a_users_certificate_is_for_a_client_and_nothing_else() {
        let usages = |list: &[&str]| list.iter().map(|usage| (*usage).to_owned()).collect::<Vec<_>>();
        assert_eq!(check_client(&usages(&["client auth", "digital signature"])), Ok(()));
        assert_eq!(
            check_client(&usages(&["client auth", "server auth"])),
            Err("invalid usage for client certificate: server auth".to_owned())
        );
        check_client(&usages(&["digital signature"])).unwrap_err();
    }
}
