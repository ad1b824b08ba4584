//! SelfSubjectRulesReview: what may I do in a namespace.

use k8s_openapi::api::authorization::v1::SelfSubjectRulesReview;

use crate::kind::{CREATE_ONLY, Kind};

impl Kind for SelfSubjectRulesReview {
    const SINGULAR: &'static str = "selfsubjectrulesreview";
    const NAMESPACED: bool = false;
    const VERBS: &'static [&'static str] = CREATE_ONLY;
}
