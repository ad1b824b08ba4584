//! The group `authorization.k8s.io`: reviews, which are answered and never stored.

mod attributes;
mod local_subject_access_review;
mod self_subject_access_review;
mod self_subject_rules_review;
mod subject_access_review;

use k8s_openapi::api::authorization::v1;

use crate::descriptor::Descriptor;

/// The kinds of the group.
pub(crate) fn kinds() -> Vec<Descriptor> {
    vec![
        Descriptor::of::<v1::LocalSubjectAccessReview>(),
        Descriptor::of::<v1::SelfSubjectAccessReview>(),
        Descriptor::of::<v1::SelfSubjectRulesReview>(),
        Descriptor::of::<v1::SubjectAccessReview>(),
    ]
}
