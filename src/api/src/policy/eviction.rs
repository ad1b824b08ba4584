//! Eviction: the body of `pods/…/eviction`. Upstream looks at nothing in it but the name and the delete options, which the
//! API server does.

use k8s_openapi::api::policy::v1::Eviction;

use crate::kind::{CREATE_ONLY, Kind};

impl Kind for Eviction {
    const SINGULAR: &'static str = "eviction";
    const NAMESPACED: bool = true;
    const VERBS: &'static [&'static str] = CREATE_ONLY;
}
