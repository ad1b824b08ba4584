//! Whether one rule allows one request (upstream `pkg/apis/rbac/v1/evaluation_helpers.go`).

use k8s_openapi::api::rbac::v1::PolicyRule;

use crate::chain::authorize::{Attributes, Target};

/// Whether `rule` allows what `attributes` asks.
pub(crate) fn rule_allows(attributes: &Attributes<'_>, rule: &PolicyRule) -> bool {
    if !has(&rule.verbs, attributes.verb) {
        return false;
    }
    match attributes.target {
        Target::Path(path) => {
            rule.non_resource_urls.iter().flatten().any(|pattern| url_matches(pattern, path))
        }
        Target::Resource(target) => {
            rule.api_groups.as_ref().is_some_and(|groups| has(groups, target.group))
                && rule
                    .resources
                    .iter()
                    .flatten()
                    .any(|resource| resource_matches(resource, target.resource, target.subresource))
                && names_match(rule.resource_names.as_deref().unwrap_or_default(), target.name)
        }
    }
}

/// Whether a list names `wanted` or everything.
fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|entry| entry == "*" || entry == wanted)
}

fn names_match(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|own| own == name)
}

/// `*` is everything, `*/status` is that subresource of everything.
fn resource_matches(pattern: &str, resource: &str, subresource: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    match (pattern.split_once('/'), subresource) {
        (None, "") => pattern == resource,
        (None, _) => false,
        (Some((_, _)), "") => false,
        (Some((owner, own)), subresource) => own == subresource && (owner == "*" || owner == resource),
    }
}

/// A trailing `*` matches whatever follows.
fn url_matches(pattern: &str, path: &str) -> bool {
    pattern == path || pattern.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_match_as_upstream_matches_them() {
        for (pattern, resource, subresource, expected) in [
            ("*", "pods", "", true),
            ("*", "pods", "log", true),
            ("pods", "pods", "", true),
            ("pods", "pods", "log", false),
            ("pods/log", "pods", "log", true),
            ("pods/log", "pods", "", false),
            ("*/scale", "deployments", "scale", true),
            ("*/scale", "deployments", "status", false),
        ] {
            assert_eq!(resource_matches(pattern, resource, subresource), expected, "{pattern}");
        }
    }

    #[test]
    fn paths_match_with_a_trailing_star() {
        assert!(url_matches("/healthz/*", "/healthz/ping"));
        assert!(url_matches("/healthz*", "/healthz"));
        assert!(!url_matches("/healthz", "/healthz/ping"));
        assert!(url_matches("*", "/x"));
    }
}
