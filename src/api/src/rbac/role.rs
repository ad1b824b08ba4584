//! Role (upstream: `pkg/registry/rbac/role`, `ValidateRole`).

use k8s_openapi::api::rbac::v1::Role;
use k8s_openapi::jiff::Timestamp;
use machinery::field::ErrorList;
use machinery::table::Column;
use serde_json::Value;

use super::rules;
use crate::kind::Kind;
use crate::{cells, checks, names};

impl Kind for Role {
    const SINGULAR: &'static str = "role";
    const NAMESPACED: bool = true;
    const ALLOW_CREATE_ON_UPDATE: bool = true;

    /// A prefix is checked as if it were the name.
    fn validate_name(name: &str, _prefix: bool) -> Vec<String> {
        names::path_segment(name, false)
    }

    fn validate(&self) -> ErrorList {
        rules::validate(self.rules.as_deref(), true)
    }

    fn validate_update(&self, old: &Self) -> ErrorList {
        let mut errors = checks::metadata(self);
        errors.extend(self.validate());
        errors.extend(checks::metadata_update(self, old));
        errors
    }

    fn columns() -> Vec<Column> {
        vec![cells::name(), cells::created_at()]
    }

    fn row(&self, _now: Timestamp) -> Vec<Value> {
        vec![cells::name_of(&self.metadata), cells::created_at_of(&self.metadata)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::errors_of;

    #[test]
    fn rules_are_complete() {
        let check = errors_of::<Role>;
        check(r#"{"rules":[{"verbs":["get"],"apiGroups":[""],"resources":["pods"]}]}"#, &[]);
        check(
            r#"{"rules":[{"verbs":[]}]}"#,
            &[
                "rules[0].verbs: Required value: verbs must contain at least one value",
                "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
                "rules[0].resources: Required value: resource rules must supply at least one resource",
            ],
        );
        check(
            r#"{"rules":[{"verbs":["get"],"nonResourceURLs":["/healthz"]}]}"#,
            &[
                "rules[0].nonResourceURLs: Invalid value: [\"/healthz\"]: namespaced rules cannot apply to non-resource URLs",
            ],
        );
    }
}
