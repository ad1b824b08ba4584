//! ClusterRole (upstream: `pkg/registry/rbac/clusterrole`, `ValidateClusterRole`).

use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::jiff::Timestamp;
use machinery::field::{Error, ErrorList, Path};
use machinery::table::Column;
use serde_json::Value;

use super::rules;
use crate::kind::Kind;
use crate::{cells, checks, names};

impl Kind for ClusterRole {
    const SINGULAR: &'static str = "clusterrole";
    const NAMESPACED: bool = false;
    const ALLOW_CREATE_ON_UPDATE: bool = true;

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::path_segment(name, prefix)
    }

    fn validate(&self) -> ErrorList {
        let mut errors = rules::validate(self.rules.as_deref(), false);
        let Some(aggregation) = &self.aggregation_rule else { return errors };
        let path = Path::new("aggregationRule.clusterRoleSelectors");
        let selectors = aggregation.cluster_role_selectors.as_deref().unwrap_or_default();
        if selectors.is_empty() {
            let detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
            errors.push(Error::required(&path, detail));
        }
        for (index, selector) in selectors.iter().enumerate() {
            errors.extend(checks::label_selector(Some(selector), &path.index(index)));
        }
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
    fn an_aggregation_selects_something() {
        let check = errors_of::<ClusterRole>;
        check(r#"{"rules":[{"verbs":["get"],"nonResourceURLs":["/healthz"]}]}"#, &[]);
        check(r#"{"aggregationRule":{"clusterRoleSelectors":[{"matchLabels":{"a":"b"}}]}}"#, &[]);
        check(
            r#"{"aggregationRule":{}}"#,
            &[
                "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil",
            ],
        );
    }
}
