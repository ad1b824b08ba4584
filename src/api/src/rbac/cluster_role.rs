//! ClusterRole (upstream: `pkg/registry/rbac/clusterrole`, `ValidateClusterRole`).

use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::jiff::Timestamp;
use machinery::field::{Error, ErrorList, Path};
use machinery::selector::label;
use machinery::table::Column;
use serde_json::Value;

use super::rules;
use crate::kind::Kind;
use crate::{cells, checks, names};

impl Kind for ClusterRole {
    const SINGULAR: &'static str = "clusterrole";
    const NAMESPACED: bool = false;
    const ALLOW_CREATE_ON_UPDATE: bool = true;

    /// A prefix is checked as if it were the name.
    fn validate_name(name: &str, _prefix: bool) -> Vec<String> {
        names::path_segment(name, false)
    }

    fn validate(&self) -> ErrorList {
        validate(self, false)
    }

    /// Label values that older servers took may stay.
    fn validate_update(&self, old: &Self) -> ErrorList {
        let takes_any_value = selectors(old).iter().any(|selector| !selector_errors(selector).is_empty());
        let mut errors = checks::metadata(self);
        errors.extend(validate(self, takes_any_value));
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

fn validate(role: &ClusterRole, takes_any_value: bool) -> ErrorList {
    let mut errors = rules::validate(role.rules.as_deref(), false);
    if role.aggregation_rule.is_none() {
        return errors;
    }
    let path = Path::new("aggregationRule.clusterRoleSelectors");
    if selectors(role).is_empty() {
        let detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        errors.push(Error::required(&path, detail));
    }
    for (index, selector) in selectors(role).iter().enumerate() {
        let path = path.index(index);
        let mut found = checks::label_selector(Some(selector), &path);
        if takes_any_value {
            found.retain(|error| !is_about_value(error, &path));
        }
        errors.extend(found);
        if label::Selector::from_label_selector(Some(selector)).is_err() {
            errors.push(Error::invalid(&path, (), "invalid label selector."));
        }
    }
    errors
}

/// Whether an error is about a value of an expression, not about its key, its operator or how many values there are.
fn is_about_value(error: &Error, selector: &Path) -> bool {
    let path = error.path.to_string();
    path.starts_with(&format!("{selector}.matchExpressions[")) && path.contains("].values[")
}

fn selectors(role: &ClusterRole) -> &[LabelSelector] {
    let aggregation = role.aggregation_rule.as_ref();
    aggregation.and_then(|rule| rule.cluster_role_selectors.as_deref()).unwrap_or_default()
}

fn selector_errors(selector: &LabelSelector) -> ErrorList {
    checks::label_selector(Some(selector), &Path::root())
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
