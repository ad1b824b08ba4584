//! SelfSubjectAccessReview: may I do this.

use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use machinery::field::ErrorList;

use super::attributes;
use crate::kind::{CREATE_ONLY, Kind};

impl Kind for SelfSubjectAccessReview {
    const SINGULAR: &'static str = "selfsubjectaccessreview";
    const NAMESPACED: bool = false;
    const VERBS: &'static [&'static str] = CREATE_ONLY;

    fn validate(&self) -> ErrorList {
        let resource = self.spec.resource_attributes.as_ref();
        let mut errors = attributes::validate(resource, self.spec.non_resource_attributes.as_ref());
        errors.extend(attributes::validate_selectors(resource));
        errors.extend(attributes::validate_meta(&self.metadata, &Default::default(), "must be empty"));
        errors
    }
}
