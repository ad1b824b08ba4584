//! The group `certificates.k8s.io`.

mod certificate_signing_request;

use k8s_openapi::api::certificates::v1;

use crate::descriptor::Descriptor;

/// The kinds of the group.
pub(crate) fn kinds() -> Vec<Descriptor> {
    vec![Descriptor::of::<v1::CertificateSigningRequest>()]
}
