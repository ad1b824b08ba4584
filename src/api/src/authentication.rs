//! The group `authentication.k8s.io`: reviews, which are answered and never stored.

mod self_subject_review;
mod token_request;
mod token_review;

use k8s_openapi::api::authentication::v1;

use crate::descriptor::Descriptor;

/// The kinds of the group; TokenRequest is the body of a subresource of ServiceAccount.
pub(crate) fn kinds() -> Vec<Descriptor> {
    vec![Descriptor::of::<v1::SelfSubjectReview>(), Descriptor::of::<v1::TokenReview>()]
}

/// Kinds that are only bodies of subresources.
pub(crate) fn bodies() -> Vec<Descriptor> {
    vec![Descriptor::of::<v1::TokenRequest>()]
}
