//! CertificateSubjectRestriction: nobody gets a client certificate of `system:masters` by asking for one.

use api::Object;
use async_trait::async_trait;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use machinery::Status;
use objects::certificate_request as request;

use super::{Attributes, Operation, Plugin};
use crate::user::MASTERS;

pub(super) struct CertificateSubjectRestriction;

#[async_trait]
impl Plugin for CertificateSubjectRestriction {
    fn handles(&self, attributes: &Attributes<'_>) -> bool {
        attributes.operation == Operation::Create
            && attributes.is("certificates.k8s.io", "certificatesigningrequests")
    }

    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        new: Option<&Object>,
        _old: Option<&Object>,
    ) -> Result<(), Status> {
        let Some(new) = new.and_then(Object::downcast_ref::<CertificateSigningRequest>) else {
            return Ok(());
        };
        if new.spec.signer_name != request::CLIENT {
            return Ok(());
        }
        let requested = request::parse(&new.spec.request.0);
        let requested =
            requested.map_err(|error| attributes.forbidden(format!("failed to parse CSR: {error}")))?;
        if !requested.organizations.iter().any(|organization| organization == MASTERS) {
            return Ok(());
        }
        let why = format!("use of {} signer with {MASTERS} group is not allowed", request::CLIENT);
        Err(attributes.forbidden(why))
    }
}
