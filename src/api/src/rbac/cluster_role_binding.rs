//! ClusterRoleBinding (upstream: `pkg/registry/rbac/clusterrolebinding`).

use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use k8s_openapi::jiff::Timestamp;
use machinery::field::ErrorList;
use machinery::table::Column;
use serde_json::Value;

use super::subjects;
use crate::kind::Kind;
use crate::{checks, names};

impl Kind for ClusterRoleBinding {
    const SINGULAR: &'static str = "clusterrolebinding";
    const NAMESPACED: bool = false;
    const ALLOW_CREATE_ON_UPDATE: bool = true;

    /// A prefix is checked as if it were the name.
    fn validate_name(name: &str, _prefix: bool) -> Vec<String> {
        names::path_segment(name, false)
    }

    fn set_defaults(&mut self) {
        subjects::set_defaults(&mut self.role_ref, self.subjects.as_mut());
    }

    fn validate(&self) -> ErrorList {
        subjects::validate(&self.role_ref, self.subjects.as_deref(), &["ClusterRole"])
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
