//! SubjectAccessReview: may somebody do this.

use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use machinery::field::ErrorList;

use super::attributes;
use crate::kind::{CREATE_ONLY, Kind};

impl Kind for SubjectAccessReview {
    const SINGULAR: &'static str = "subjectaccessreview";
    const NAMESPACED: bool = false;
    const VERBS: &'static [&'static str] = CREATE_ONLY;

    fn validate(&self) -> ErrorList {
        let mut errors = attributes::validate_spec(&self.spec);
        errors.extend(attributes::validate_meta(&self.metadata, &Default::default(), "must be empty"));
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::errors_of;

    #[test]
    fn a_review_names_a_subject_and_one_thing() {
        let check = errors_of::<SubjectAccessReview>;
        check(r#"{"spec":{"user":"u","resourceAttributes":{"verb":"get"}}}"#, &[]);
        check(
            r#"{"spec":{}}"#,
            &[
                "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified",
                "spec.user: Invalid value: \"\": at least one of user or group must be specified",
            ],
        );
        check(
            r#"{"metadata":{"name":"a"},"spec":{"groups":["g"],"nonResourceAttributes":{"path":"/"}}}"#,
            &["metadata: Invalid value: {\"name\":\"a\"}: must be empty"],
        );
    }
}
