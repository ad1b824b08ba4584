//! CertificateApproval: whoever approves or denies a request must be allowed to `approve` for its signer.

use api::Object;
use async_trait::async_trait;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use machinery::Status;

use super::{Attributes, Operation, Plugin};
use crate::chain::authorize::{self, Decision, Resource};

const GROUP: &str = "certificates.k8s.io";

pub(super) struct CertificateApproval;

#[async_trait]
impl Plugin for CertificateApproval {
    fn handles(&self, attributes: &Attributes<'_>) -> bool {
        is_update_of(attributes, "approval")
    }

    /// The signer is the stored request's: the one that is sent may be another.
    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        _new: Option<&Object>,
        old: Option<&Object>,
    ) -> Result<(), Status> {
        let Some(old) = old.and_then(Object::downcast_ref::<CertificateSigningRequest>) else {
            return Ok(());
        };
        let signer = &old.spec.signer_name;
        if may(attributes, "approve", signer) {
            return Ok(());
        }
        Err(attributes
            .forbidden(format!("user not permitted to approve requests with signerName {signer:?}")))
    }
}

/// Whether the request changes this subresource of a certificate signing request.
pub(super) fn is_update_of(attributes: &Attributes<'_>, subresource: &str) -> bool {
    attributes.operation == Operation::Update
        && attributes.subresource == subresource
        && attributes.is_about(GROUP, "certificatesigningrequests")
}

/// Whether the user may do `verb` for a signer, or for all signers of its domain (upstream `pkg/certauthorization`).
pub(super) fn may(attributes: &Attributes<'_>, verb: &str, signer: &str) -> bool {
    let domain = signer.split('/').next().unwrap_or_default();
    let of_domain = format!("{domain}/*");
    [signer, &of_domain].into_iter().any(|name| {
        let on = Resource { group: GROUP, resource: "signers", name, ..Resource::default() };
        let question = authorize::Attributes { user: &attributes.call.user, verb, target: on.into() };
        matches!(authorize::decide(&attributes.call.server, &question), Decision::Allow(_))
    })
}
