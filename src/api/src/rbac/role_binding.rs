//! RoleBinding (upstream: `pkg/registry/rbac/rolebinding`).

use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::jiff::Timestamp;
use machinery::field::ErrorList;
use machinery::table::Column;
use serde_json::Value;

use super::subjects;
use crate::kind::Kind;
use crate::{checks, names};

impl Kind for RoleBinding {
    const SINGULAR: &'static str = "rolebinding";
    const NAMESPACED: bool = true;
    const ALLOW_CREATE_ON_UPDATE: bool = true;

    /// A prefix is checked as if it were the name.
    fn validate_name(name: &str, _prefix: bool) -> Vec<String> {
        names::path_segment(name, false)
    }

    fn set_defaults(&mut self) {
        subjects::set_defaults(&mut self.role_ref, self.subjects.as_mut());
    }

    fn validate(&self) -> ErrorList {
        subjects::validate(&self.role_ref, self.subjects.as_deref(), &["Role", "ClusterRole"])
    }

    fn validate_update(&self, old: &Self) -> ErrorList {
        let mut errors = checks::metadata(self);
        errors.extend(self.validate());
        errors.extend(checks::metadata_update(self, old));
        errors.extend(subjects::validate_role_unchanged(&self.role_ref, &old.role_ref));
        errors
    }

    fn columns() -> Vec<Column> {
        subjects::columns()
    }

    fn row(&self, now: Timestamp) -> Vec<Value> {
        subjects::row(&self.metadata, &self.role_ref, self.subjects.as_deref(), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{defaulted, errors_of, errors_of_update};

    #[test]
    fn groups_are_filled_in() {
        defaulted::<RoleBinding>(
            r#"{"roleRef":{"kind":"Role","name":"r"},"subjects":[{"kind":"User","name":"u"},{"kind":"ServiceAccount","name":"s"}]}"#,
            r#"{"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"r"},
            "subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"u"},{"kind":"ServiceAccount","name":"s"}]}"#,
        );
    }

    #[test]
    fn role_and_subjects_are_checked() {
        errors_of::<RoleBinding>(
            r#"{"roleRef":{"kind":"Thing","name":""},"subjects":[{"kind":"Robot","name":"u"},{"kind":"User","name":""}]}"#,
            &[
                "roleRef.kind: Unsupported value: \"Thing\": supported values: \"Role\", \"ClusterRole\"",
                "roleRef.name: Required value",
                "subjects[0].kind: Unsupported value: \"Robot\": supported values: \"ServiceAccount\", \"User\", \"Group\"",
                "subjects[1].name: Required value",
            ],
        );
    }

    #[test]
    fn the_role_cannot_change() {
        errors_of_update::<RoleBinding>(
            r#"{"roleRef":{"kind":"Role","name":"a"}}"#,
            r#"{"roleRef":{"kind":"Role","name":"b"}}"#,
            &[
                "roleRef: Invalid value: {\"APIGroup\":\"rbac.authorization.k8s.io\",\"Kind\":\"Role\",\"Name\":\"b\"}: cannot change roleRef",
            ],
        );
    }
}
