//! Upstream's default roles and bindings, read from the table of facts beside this file.
//!
//! `reconcile` stores them at start. The table is committed text, so a line that cannot be read is a bug: it panics in the
//! test below, not in the field.

use std::collections::BTreeMap;

use k8s_openapi::api::rbac::v1::{
    AggregationRule, ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::GROUP;

const TABLE: &str = include_str!("bootstrap_policy.txt");

/// One default object.
pub(crate) enum Default {
    ClusterRole(ClusterRole),
    Role(Role),
    ClusterRoleBinding(ClusterRoleBinding),
    RoleBinding(RoleBinding),
}

/// Every default object.
pub(crate) fn read() -> Vec<Default> {
    let mut defaults: Vec<Default> = Vec::new();
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix("  ") {
            Some(rule) => add_rule(defaults.last_mut().expect("a rule follows its role"), &words(rule)),
            None => defaults.push(head(&words(line))),
        }
    }
    defaults
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn head(words: &[&str]) -> Default {
    match words {
        ["clusterrole", name, labels @ ..] => {
            let mut metadata = metadata("", name);
            let own = labels
                .iter()
                .filter(|word| **word != "label")
                .map(|key| ((*key).to_owned(), "true".to_owned()));
            metadata.labels.get_or_insert_default().extend(own);
            Default::ClusterRole(ClusterRole { metadata, ..ClusterRole::default() })
        }
        ["role", namespace, name] => {
            Default::Role(Role { metadata: metadata(namespace, name), ..Role::default() })
        }
        ["clusterbinding", name, role, subjects @ ..] => Default::ClusterRoleBinding(ClusterRoleBinding {
            metadata: metadata("", name),
            role_ref: role_ref("ClusterRole", role),
            subjects: some(subjects.iter().map(|word| subject(word)).collect()),
        }),
        ["binding", namespace, name, role, subjects @ ..] => {
            let (kind, role) = role.split_once('/').expect("KIND/ROLE");
            Default::RoleBinding(RoleBinding {
                metadata: metadata(namespace, name),
                role_ref: role_ref(kind, role),
                subjects: some(subjects.iter().map(|word| subject(word)).collect()),
            })
        }
        other => panic!("the default policy has a line that nobody reads: {other:?}"),
    }
}

fn add_rule(default: &mut Default, words: &[&str]) {
    match (default, words) {
        (Default::ClusterRole(role), ["aggregate", label]) => {
            let selector = LabelSelector {
                match_labels: Some(BTreeMap::from([((*label).to_owned(), "true".to_owned())])),
                ..LabelSelector::default()
            };
            let rule = role.aggregation_rule.get_or_insert_with(AggregationRule::default);
            rule.cluster_role_selectors.get_or_insert_default().push(selector);
        }
        (Default::ClusterRole(role), words) => role.rules.get_or_insert_default().push(rule(words)),
        (Default::Role(role), words) => role.rules.get_or_insert_default().push(rule(words)),
        _ => panic!("only roles have rules"),
    }
}

fn rule(words: &[&str]) -> PolicyRule {
    match words {
        [verbs, "url", paths] => {
            PolicyRule { verbs: list(verbs), non_resource_urls: Some(list(paths)), ..PolicyRule::default() }
        }
        [verbs, groups, resources, names @ ..] => PolicyRule {
            verbs: list(verbs),
            api_groups: Some(
                list(groups)
                    .into_iter()
                    .map(|group| if group == "-" { String::new() } else { group })
                    .collect(),
            ),
            resources: Some(list(resources)),
            resource_names: names.first().map(|names| list(names)),
            ..PolicyRule::default()
        },
        other => panic!("the default policy has a rule that nobody reads: {other:?}"),
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn role_ref(kind: &str, name: &str) -> RoleRef {
    RoleRef { api_group: Some(GROUP.to_owned()), kind: kind.to_owned(), name: name.to_owned() }
}

fn subject(word: &str) -> Subject {
    let (kind, name) = word.split_once(':').expect("KIND:NAME");
    let of_group = |kind: &str| Subject {
        api_group: Some(GROUP.to_owned()),
        kind: kind.to_owned(),
        name: name.to_owned(),
        namespace: None,
    };
    match kind {
        "user" => of_group("User"),
        "group" => of_group("Group"),
        _ => {
            let (namespace, name) = name.split_once(':').expect("sa:NAMESPACE:NAME");
            Subject {
                api_group: None,
                kind: "ServiceAccount".to_owned(),
                name: name.to_owned(),
                namespace: Some(namespace.to_owned()),
            }
        }
    }
}

fn metadata(namespace: &str, name: &str) -> ObjectMeta {
    let pair = |key: &str, value: &str| Some(BTreeMap::from([(key.to_owned(), value.to_owned())]));
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
        labels: pair("kubernetes.io/bootstrapping", "rbac-defaults"),
        annotations: pair("rbac.authorization.kubernetes.io/autoupdate", "true"),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_readable_and_has_the_roles_that_everybody_needs() {
        let defaults = read();
        let names: Vec<&str> = defaults
            .iter()
            .filter_map(|default| match default {
                Default::ClusterRole(role) => role.metadata.name.as_deref(),
                _ => None,
            })
            .collect();
        for wanted in ["cluster-admin", "admin", "edit", "view", "system:discovery", "system:node"] {
            assert!(names.contains(&wanted), "{wanted}");
        }
        assert!(names.contains(&"system:controller:replicaset-controller"));
    }
}
