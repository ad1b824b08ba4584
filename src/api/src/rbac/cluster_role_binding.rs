//! ClusterRoleBinding (upstream: `pkg/registry/rbac/clusterrolebinding`).

use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use k8s_openapi::jiff::Timestamp;
use machinery::field::ErrorList;
use machinery::table::Column;
use serde_json::Value;

use super::subjects;
use crate::kind::Kind;
use crate::names;

impl Kind for ClusterRoleBinding {
    const SINGULAR: &'static str = "clusterrolebinding";
    const NAMESPACED: bool = false;
    const ALLOW_CREATE_ON_UPDATE: bool = true;

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::path_segment(name, prefix)
    }

    fn set_defaults(&mut self) {
        subjects::set_defaults(&mut self.role_ref, self.subjects.as_mut());
    }

    fn validate(&self) -> ErrorList {
        subjects::validate(&self.role_ref, self.subjects.as_deref(), &["ClusterRole"])
    }

    fn validate_update(&self, old: &Self) -> ErrorList {
        let mut errors = self.validate();
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
