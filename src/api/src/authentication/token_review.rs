//! TokenReview: who is the bearer of this token.

use k8s_openapi::api::authentication::v1::TokenReview;

use crate::kind::{CREATE_ONLY, Kind};

impl Kind for TokenReview {
    const SINGULAR: &'static str = "tokenreview";
    const NAMESPACED: bool = false;
    const VERBS: &'static [&'static str] = CREATE_ONLY;
}
