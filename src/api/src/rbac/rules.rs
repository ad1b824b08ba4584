//! Policy rules, as roles of both scopes hold them (upstream: `ValidatePolicyRule`).

use k8s_openapi::api::rbac::v1::PolicyRule;
use machinery::field::{Error, ErrorList, Path};

/// Errors of a role's rules.
pub(super) fn validate(rules: Option<&[PolicyRule]>, namespaced: bool) -> ErrorList {
    let path = Path::new("rules");
    let rules = rules.unwrap_or_default().iter().enumerate();
    rules.flat_map(|(index, rule)| validate_rule(rule, namespaced, &path.index(index))).collect()
}

fn validate_rule(rule: &PolicyRule, namespaced: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if rule.verbs.is_empty() {
        errors.push(Error::required(&path.child("verbs"), "verbs must contain at least one value"));
    }
    let is_empty = |list: &Option<Vec<String>>| list.as_ref().is_none_or(Vec::is_empty);
    if !is_empty(&rule.non_resource_urls) {
        let mut refuse = |detail: &str| {
            errors.push(Error::invalid(&path.child("nonResourceURLs"), &rule.non_resource_urls, detail));
        };
        if namespaced {
            refuse("namespaced rules cannot apply to non-resource URLs");
        }
        if ![&rule.api_groups, &rule.resources, &rule.resource_names].into_iter().all(is_empty) {
            refuse("rules cannot apply to both regular resources and non-resource URLs");
        }
        return errors;
    }
    if is_empty(&rule.api_groups) {
        let detail = "resource rules must supply at least one api group";
        errors.push(Error::required(&path.child("apiGroups"), detail));
    }
    if is_empty(&rule.resources) {
        let detail = "resource rules must supply at least one resource";
        errors.push(Error::required(&path.child("resources"), detail));
    }
    errors
}
