//! A certificate by request: a key is made here, the cluster's signer is asked to sign, and the answer waited for.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, bail};
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use objects::certificate_request as request;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use super::certificate::Certificate;
use super::user;
use crate::node::GROUP;

/// How long an answer is waited for before somebody is told where it could be given.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    node: String,
    signer: &'static str,
    usage: &'static str,
    names: Vec<String>,
}

impl Wanted {
    /// The certificate by which a node is known to the API server.
    pub(super) fn client(node: &str) -> Self {
        Self { node: node.to_owned(), signer: request::KUBELET_CLIENT, usage: "client auth", names: vec![] }
    }

    /// The certificate with which its kubelet serves.
    pub(super) fn serving(node: &str, address: Ipv4Addr) -> Self {
        let names = vec![node.to_owned(), address.to_string()];
        Self { node: node.to_owned(), signer: request::KUBELET_SERVING, usage: "server auth", names }
    }

    /// The hosts and addresses that the certificate is to name.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }
}

/// Asks, and waits for as long as it takes.
///
/// # Errors
/// The request is refused, denied or failed, or the server goes away meanwhile.
pub(super) async fn request(client: &Client, wanted: &Wanted) -> anyhow::Result<Certificate> {
    let key = KeyPair::generate()?;
    let api = Api::<CertificateSigningRequest>::all(client.clone());
    let made = api.create(&PostParams::default(), &object(wanted, &key)?).await;
    let name = made.context("the request is refused")?.metadata.name.unwrap_or_default();
    let answered =
        await_condition(api, &name, |csr: Option<&CertificateSigningRequest>| csr.is_none_or(is_answered));
    tokio::pin!(answered);
    let answer = match tokio::time::timeout(PATIENCE, &mut answered).await {
        Ok(answer) => answer,
        Err(_) => {
            tracing::warn!("the request {name} waits for approval: `kubectl certificate approve {name}`");
            answered.await
        }
    };
    let csr = answer?.with_context(|| format!("the request {name} was deleted"))?;
    match request::certificate(&csr) {
        Some(chain) => Certificate::new(std::str::from_utf8(chain)?, &key.serialize_pem()),
        None => bail!("the request {name} was {}", refusal(&csr)),
    }
}

fn is_answered(csr: &CertificateSigningRequest) -> bool {
    request::certificate(csr).is_some() || request::has(csr, "Denied") || request::has(csr, "Failed")
}

fn refusal(csr: &CertificateSigningRequest) -> String {
    let mut conditions = request::conditions(csr).iter();
    let refused = conditions.find(|condition| matches!(condition.type_.as_str(), "Denied" | "Failed"));
    let (type_, message) = refused.map_or(("refused", ""), |condition| {
        (&condition.type_, condition.message.as_deref().unwrap_or_default())
    });
    format!("{}: {message}", type_.to_lowercase())
}

fn object(wanted: &Wanted, key: &KeyPair) -> anyhow::Result<CertificateSigningRequest> {
    let mut params = CertificateParams::new(wanted.names.clone())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, GROUP);
    params.distinguished_name.push(DnType::CommonName, user(&wanted.node));
    let pem = params.serialize_request(key)?.pem()?;
    Ok(CertificateSigningRequest {
        metadata: ObjectMeta { generate_name: Some("csr-".to_owned()), ..ObjectMeta::default() },
        spec: CertificateSigningRequestSpec {
            request: ByteString(pem.into_bytes()),
            signer_name: wanted.signer.to_owned(),
            usages: Some(vec!["digital signature".to_owned(), wanted.usage.to_owned()]),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requested(wanted: &Wanted) -> (request::Requested, Vec<String>) {
        let csr = object(wanted, &KeyPair::generate().unwrap()).unwrap();
        (request::parse(&csr.spec.request.0).unwrap(), csr.spec.usages.unwrap())
    }

    #[test]
    fn requests_are_such_as_the_signer_grants() {
        let (client, usages) = requested(&Wanted::client("a"));
        assert_eq!(client.check_kubelet_client(&usages), Ok(()));
        let (serving, usages) = requested(&Wanted::serving("a", Ipv4Addr::new(192, 0, 2, 1)));
        assert_eq!(serving.check_kubelet_serving(&usages), Ok(()));
        assert_eq!(serving.node_name(), Some("a"));
    }

    #[test]
    fn a_refusal_says_why() {
        let csr: CertificateSigningRequest = serde_json::from_value(serde_json::json!({
            "spec": {"request": "", "signerName": "a.b/c"},
            "status": {"conditions": [{"type": "Denied", "status": "True", "message": "not you"}]},
        }))
        .unwrap();
        assert!(is_answered(&csr));
        assert_eq!(refusal(&csr), "denied: not you");
    }
}
