//! Certificate signing requests on their way: approved (`approving`, `serving`), signed (`signing`), forgotten
//! (`cleaner`). Upstream `pkg/controller/certificates`; all act as the service account `certificate-controller`, but the
//! approver of serving certificates, which upstream does not have.

pub(crate) mod approving;
pub(crate) mod cleaner;
pub(crate) mod serving;
pub(crate) mod signing;

use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};
use kube::{Api, api::PostParams};
use objects::certificate_request as request;

use crate::{Error, ignore_absent};

const ACCOUNT: &str = "certificate-controller";

/// Whether nobody has approved, denied or fulfilled the request.
fn is_open(csr: &CertificateSigningRequest) -> bool {
    request::certificate(csr).is_none() && !request::has(csr, "Approved") && !request::has(csr, "Denied")
}

/// Approves a request.
async fn approve(
    client: &kube::Client,
    mut csr: CertificateSigningRequest,
    message: &str,
) -> Result<(), Error> {
    let name = csr.metadata.name.clone().unwrap_or_default();
    let condition = CertificateSigningRequestCondition {
        type_: "Approved".into(),
        status: "True".into(),
        reason: Some("AutoApproved".into()),
        message: Some(message.into()),
        ..CertificateSigningRequestCondition::default()
    };
    csr.status.get_or_insert_default().conditions.get_or_insert_default().push(condition);
    let api = Api::<CertificateSigningRequest>::all(client.clone());
    ignore_absent(api.replace_subresource("approval", &name, &PostParams::default(), &csr).await)
}

fn usages(csr: &CertificateSigningRequest) -> &[String] {
    csr.spec.usages.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod testing {
    use k8s_openapi::{ByteString, api::certificates::v1::CertificateSigningRequest};
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    /// A node's request to `signer`, by the node itself.
    pub(super) fn of_node(
        node: &str,
        signer: &str,
        usage: &str,
        names: &[&str],
    ) -> CertificateSigningRequest {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("system:node:{node}"));
        params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
        let pem = params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
        let mut csr = CertificateSigningRequest::default();
        csr.spec.request = ByteString(pem.into_bytes());
        csr.spec.signer_name = signer.into();
        csr.spec.usages = Some(vec!["digital signature".into(), usage.into()]);
        csr.spec.username = Some(format!("system:node:{node}"));
        csr.spec.groups = Some(vec!["system:nodes".into()]);
        csr
    }
}
