//! SelfSubjectReview: who am I.

use k8s_openapi::api::authentication::v1::SelfSubjectReview;

use crate::kind::{CREATE_ONLY, Kind};

impl Kind for SelfSubjectReview {
    const SINGULAR: &'static str = "selfsubjectreview";
    const NAMESPACED: bool = false;
    const VERBS: &'static [&'static str] = CREATE_ONLY;
}
