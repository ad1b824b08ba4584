//! Aggregated cluster roles: their rules are those of the roles that their selectors mean, stored as upstream's
//! controller stores them.

use std::sync::Arc;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use machinery::Status;
use machinery::selector::label;
use store::{Item, Range, WatchError};

use super::GROUP;
use crate::bootstrap::change;
use crate::server::Server;
use crate::write::View;

/// Follows the cluster roles for as long as the server lives.
pub(crate) async fn follow(server: Arc<Server>) {
    let range = Range::resource(GROUP, "clusterroles");
    while !server.draining.is_cancelled() {
        let Ok(mut watch) = server.store.watch(range.clone(), server.store.revision()) else { return };
        loop {
            if let Err(status) = update(&server).await {
                tracing::error!(%status, "cannot aggregate cluster roles");
            }
            match changed(&server, &mut watch).await {
                Ok(true) => {}
                Ok(false) | Err(WatchError::Closed) => return,
                Err(error) => {
                    tracing::info!(%error, "the watch of cluster roles was cut off");
                    break;
                }
            }
        }
    }
}

/// Waits for a change; `false` when the server drains.
async fn changed(server: &Server, watch: &mut store::Watch) -> Result<bool, WatchError> {
    loop {
        let next = tokio::select! {
            () = server.draining.cancelled() => return Ok(false),
            next = watch.next() => next?,
        };
        if matches!(next, Item::Events(_)) {
            return Ok(true);
        }
    }
}

/// Stores the rules of every aggregating role that are not what they should be.
pub(crate) async fn update(server: &Arc<Server>) -> Result<(), Status> {
    let stored = roles(server);
    let settled = settle(stored.clone());
    for (role, wanted) in stored.iter().zip(&settled) {
        if rules(role) == rules(wanted) {
            continue;
        }
        let name = role.metadata.name.as_deref().unwrap_or_default();
        change::<ClusterRole>(server, View::Main, "", name, |role| role.rules = Some(rules(wanted).to_vec()))
            .await?;
    }
    Ok(())
}

/// The cluster roles in the order of their names.
fn roles(server: &Server) -> Vec<ClusterRole> {
    let snapshot = server.store.snapshot(&Range::resource(GROUP, "clusterroles"));
    let decode = |entry: &Arc<store::Entry>| match serde_json::from_slice(&entry.bytes) {
        Ok(role) => Some(role),
        Err(error) => {
            tracing::error!(key = %entry.key, %error, "a stored cluster role cannot be read: it is not aggregated");
            None
        }
    };
    snapshot.iter().filter_map(decode).collect()
}

fn rules(role: &ClusterRole) -> &[PolicyRule] {
    role.rules.as_deref().unwrap_or_default()
}

/// Gives the aggregating roles the rules they should have, which follow from the other roles alone: what an aggregating
/// role had before does not count, so that roles that aggregate each other can neither swap their rules for ever nor keep
/// rules alive that no other role has.
fn settle(mut roles: Vec<ClusterRole>) -> Vec<ClusterRole> {
    let aggregating: Vec<usize> =
        (0..roles.len()).filter(|&index| roles[index].aggregation_rule.is_some()).collect();
    for &index in &aggregating {
        roles[index].rules = None;
    }
    // Each pass takes rules one role further, so a rule has come everywhere after as many passes as there are roles. In a
    // circle the order of rules may go on changing: the bound ends that, always at the same order.
    for _ in &aggregating {
        let mut any = false;
        for &index in &aggregating {
            let wanted = aggregate(&roles[index], &roles);
            any |= rules(&roles[index]) != wanted;
            roles[index].rules = Some(wanted);
        }
        if !any {
            break;
        }
    }
    roles
}

/// The rules of all that the role's selectors mean, in the order of their names, each once.
fn aggregate(role: &ClusterRole, all: &[ClusterRole]) -> Vec<PolicyRule> {
    let selectors =
        role.aggregation_rule.iter().flat_map(|rule| rule.cluster_role_selectors.iter().flatten());
    let mut rules: Vec<PolicyRule> = Vec::new();
    for selector in selectors {
        let Ok(selector) = label::Selector::from_label_selector(Some(selector)) else { continue };
        for other in all.iter().filter(|other| other.metadata.name != role.metadata.name) {
            let labels = other.metadata.labels.as_ref();
            if !selector.matches(|key| labels.and_then(|labels| labels.get(key)).map(String::as_str)) {
                continue;
            }
            for rule in other.rules.iter().flatten() {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A role that is labelled with its own name, has a rule for each of the verbs and aggregates the roles of the names.
    fn role(name: &str, verbs: &[&str], aggregates: &[&str]) -> ClusterRole {
        let rules: Vec<Value> = verbs
            .iter()
            .map(|verb| json!({"apiGroups": [""], "resources": ["pods"], "verbs": [verb]}))
            .collect();
        let selectors: Vec<Value> =
            aggregates.iter().map(|name| json!({"matchLabels": {"is": name}})).collect();
        let mut role = json!({"metadata": {"name": name, "labels": {"is": name}}, "rules": rules});
        if !selectors.is_empty() {
            role["aggregationRule"] = json!({"clusterRoleSelectors": selectors});
        }
        serde_json::from_value(role).unwrap()
    }

    /// `expected` are the verbs of each role's rules.
    fn check(roles: Vec<ClusterRole>, expected: &[&[&str]]) {
        let settled = settle(roles);
        let verbs = |role| rules(role).iter().flat_map(|rule| rule.verbs.clone()).collect::<Vec<_>>();
        assert_eq!(settled.iter().map(verbs).collect::<Vec<_>>(), expected);
        assert_eq!(settle(settled.clone()), settled, "what is settled stays as it is");
    }

    #[test]
    fn a_role_aggregates_roles_that_aggregate_each_rule_once() {
        let leaves = [role("x", &["get", "list"], &[]), role("y", &["list", "watch"], &[])];
        let above = [role("a", &["old"], &["b", "y"]), role("b", &[], &["c"]), role("c", &[], &["x"])];
        let all = ["get", "list", "watch"];
        check(
            above.into_iter().chain(leaves).collect(),
            &[&all, &["get", "list"], &["get", "list"], &["get", "list"], &["list", "watch"]],
        );
    }

    #[test]
    fn roles_that_aggregate_each_other_come_to_rest() {
        check(vec![role("a", &["get"], &["b"]), role("b", &["list"], &["a"])], &[&[], &[]]);
        check(
            vec![role("a", &["old"], &["b", "x"]), role("b", &[], &["a"]), role("x", &["get"], &[])],
            &[&["get"], &["get"], &["get"]],
        );
    }

    #[test]
    fn a_circle_of_roles_comes_to_rest() {
        let circle =
            [role("a", &["1"], &["b"]), role("b", &["2"], &["c"]), role("c", &["3"], &["a", "x", "y"])];
        let leaves = [role("x", &["get"], &[]), role("y", &["list"], &[])];
        let both = ["get", "list"];
        check(circle.into_iter().chain(leaves).collect(), &[&both, &both, &both, &["get"], &["list"]]);
    }
}
