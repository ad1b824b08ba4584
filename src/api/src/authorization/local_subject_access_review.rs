//! LocalSubjectAccessReview: may somebody do this in this namespace.

use k8s_openapi::api::authorization::v1::LocalSubjectAccessReview;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::field::{Error, ErrorList, Path};

use super::attributes;
use crate::checks;
use crate::kind::{CREATE_ONLY, Kind};

impl Kind for LocalSubjectAccessReview {
    const SINGULAR: &'static str = "localsubjectaccessreview";
    const NAMESPACED: bool = true;
    const VERBS: &'static [&'static str] = CREATE_ONLY;

    fn validate(&self) -> ErrorList {
        let mut errors = attributes::validate_spec(&self.spec);
        let allowed = ObjectMeta { namespace: self.metadata.namespace.clone(), ..Default::default() };
        let detail = "must be empty except for namespace";
        errors.extend(attributes::validate_meta(&self.metadata, &allowed, detail));
        if let Some(resource) = &self.spec.resource_attributes {
            let namespace = checks::text(&resource.namespace);
            if namespace != checks::text(&self.metadata.namespace) {
                let path = Path::new("spec.resourceAttributes.namespace");
                errors.push(Error::invalid(&path, namespace, "must match metadata.namespace"));
            }
        }
        if let Some(attributes) = &self.spec.non_resource_attributes {
            let path = Path::new("spec.nonResourceAttributes");
            errors.push(Error::invalid(
                &path,
                attributes::shown(attributes),
                "disallowed on this kind of request",
            ));
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::errors_of;

    #[test]
    fn a_local_review_stays_in_its_namespace() {
        let check = errors_of::<LocalSubjectAccessReview>;
        check(
            r#"{"metadata":{"namespace":"a"},"spec":{"user":"u","resourceAttributes":{"namespace":"a"}}}"#,
            &[],
        );
        check(
            r#"{"metadata":{"namespace":"a"},"spec":{"user":"u","resourceAttributes":{"namespace":"b"}}}"#,
            &["spec.resourceAttributes.namespace: Invalid value: \"b\": must match metadata.namespace"],
        );
    }
}
