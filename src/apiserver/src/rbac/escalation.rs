//! Nobody grants what they do not have: a role's new rules, and the role of a new binding, must be covered by the writer's
//! own rules, unless they may `escalate` or `bind` it (upstream `pkg/registry/rbac/*/policybased`).

use std::any::Any;

use api::Object;
use async_trait::async_trait;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef};
use machinery::Status;
use machinery::gvk::GroupResource;

use super::GROUP;
use crate::admission::{Attributes, Operation, Plugin};
use crate::chain::authorize::{self, Decision, Resource};
use crate::user::MASTERS;

/// The check, at admission's place.
pub(crate) struct Escalation;

#[async_trait]
impl Plugin for Escalation {
    fn handles(&self, attributes: &Attributes<'_>) -> bool {
        attributes.operation != Operation::Delete
            && attributes.kind.resource.group == GROUP
            && !attributes.call.user.is_in(MASTERS)
    }

    // Before the object is validated, as upstream, which asks here around the whole of its storage.
    async fn admit(
        &self,
        attributes: &Attributes<'_>,
        new: &mut Object,
        old: Option<&Object>,
        _held: &mut Vec<Box<dyn Any + Send + Sync>>,
    ) -> Result<(), Status> {
        match attributes.kind.resource.resource.as_str() {
            "roles" | "clusterroles" => role(attributes, new, old),
            _ => binding(attributes, new, old),
        }
    }
}

fn rules_of(object: &Object) -> Vec<PolicyRule> {
    let role = object.downcast_ref::<Role>().and_then(|role| role.rules.clone());
    role.or_else(|| object.downcast_ref::<ClusterRole>().and_then(|role| role.rules.clone()))
        .unwrap_or_default()
}

fn role(attributes: &Attributes<'_>, new: &Object, old: Option<&Object>) -> Result<(), Status> {
    let rules = rules_of(new);
    let aggregates = |object: &Object| {
        object.downcast_ref::<ClusterRole>().is_some_and(|role| role.aggregation_rule.is_some())
    };
    let begins_to_aggregate = aggregates(new) && !old.is_some_and(aggregates);
    let unchanged = old.is_some_and(|old| rules_of(old) == rules);
    if (unchanged && !begins_to_aggregate)
        || may(attributes, "escalate", attributes.name, own_resource(attributes))
    {
        return Ok(());
    }
    let resource = attributes.kind.resource.group_resource();
    if begins_to_aggregate {
        let everything = PolicyRule {
            api_groups: Some(vec!["*".to_owned()]),
            resources: Some(vec!["*".to_owned()]),
            verbs: vec!["*".to_owned()],
            ..PolicyRule::default()
        };
        let paths = PolicyRule {
            non_resource_urls: Some(vec!["*".to_owned()]),
            verbs: vec!["*".to_owned()],
            ..PolicyRule::default()
        };
        let why = "must have cluster-admin privileges to use an aggregationRule";
        return confirm(attributes, &[everything, paths], &resource).map_err(|_| attributes.forbidden(why));
    }
    confirm(attributes, &rules, &resource)
}

fn binding(attributes: &Attributes<'_>, new: &Object, old: Option<&Object>) -> Result<(), Status> {
    let parts = |object: &Object| {
        let local = object.downcast_ref::<RoleBinding>().map(|b| (b.role_ref.clone(), b.subjects.clone()));
        local.or_else(|| {
            object.downcast_ref::<ClusterRoleBinding>().map(|b| (b.role_ref.clone(), b.subjects.clone()))
        })
    };
    let Some((role, subjects)) = parts(new) else { return Ok(()) };
    if old
        .and_then(parts)
        .is_some_and(|(old_role, old_subjects)| old_role == role && old_subjects == subjects)
    {
        return Ok(());
    }
    if may(attributes, "bind", &role.name, bound_resource(&role)) {
        return Ok(());
    }
    if role.kind != "ClusterRole" && attributes.namespace.is_empty() {
        return Err(Status::bad_request("Namespace parameter required."));
    }
    let resource = attributes.kind.resource.group_resource();
    let rules = attributes.call.server.rbac.read(|all| all.of_role(attributes.namespace, &role));
    // Upstream takes the missing role for one of the bindings.
    let rules = rules.map_err(|_| Status::not_found(&resource, &role.name))?;
    confirm(attributes, &rules, &resource)
}

fn own_resource<'a>(attributes: &'a Attributes<'_>) -> &'a str {
    &attributes.kind.resource.resource
}

fn bound_resource(role: &RoleRef) -> &'static str {
    if role.kind == "ClusterRole" { "clusterroles" } else { "roles" }
}

/// Whether the writer has the verb that lifts the check.
fn may(attributes: &Attributes<'_>, verb: &str, name: &str, resource: &str) -> bool {
    let on =
        Resource { group: GROUP, resource, namespace: attributes.namespace, name, ..Resource::default() };
    let question = authorize::Attributes { user: &attributes.call.user, verb, target: on.into() };
    matches!(authorize::decide(&attributes.call.server, &question), Decision::Allow(_))
}

/// 403 with the rules that the writer lacks.
fn confirm(
    attributes: &Attributes<'_>,
    rules: &[PolicyRule],
    resource: &GroupResource,
) -> Result<(), Status> {
    let user = &attributes.call.user;
    let (own, errors) = attributes.call.server.rbac.read(|all| all.of_user(user, attributes.namespace));
    let missing: Vec<PolicyRule> =
        rules.iter().flat_map(atoms).filter(|atom| !own.iter().any(|rule| covers(rule, atom))).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let groups: Vec<String> = user.groups.iter().map(|group| format!("{group:?}")).collect();
    let mut lines: Vec<String> = compact(&missing).iter().map(shown).collect();
    lines.sort_unstable();
    let mut message = format!(
        "user {:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        groups.join(" "),
        lines.join("\n")
    );
    if !errors.is_empty() {
        message.push_str(&format!("; resolution errors: [{}]", errors.join(", ")));
    }
    Err(Status::forbidden(resource, attributes.name, message))
}

/// A rule in its smallest pieces: one verb, one group, one resource, one name; or one verb and one path.
pub(super) fn atoms(rule: &PolicyRule) -> Vec<PolicyRule> {
    let one = |text: &String| Some(vec![text.clone()]);
    let mut atoms = Vec::new();
    let names: Vec<Option<Vec<String>>> = match rule.resource_names.as_deref() {
        None | Some([]) => vec![None],
        Some(names) => names.iter().map(one).collect(),
    };
    for verb in &rule.verbs {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                atoms.extend(names.iter().map(|name| PolicyRule {
                    verbs: vec![verb.clone()],
                    api_groups: one(group),
                    resources: one(resource),
                    resource_names: name.clone(),
                    ..PolicyRule::default()
                }));
            }
        }
        atoms.extend(rule.non_resource_urls.iter().flatten().map(|path| PolicyRule {
            verbs: vec![verb.clone()],
            non_resource_urls: one(path),
            ..PolicyRule::default()
        }));
    }
    atoms
}

/// Whether `owner` allows everything that `atom` does.
pub(super) fn covers(owner: &PolicyRule, atom: &PolicyRule) -> bool {
    let has = |list: &[String], wanted: &str| list.iter().any(|own| own == "*" || own == wanted);
    if !atom.verbs.iter().all(|verb| has(&owner.verbs, verb)) {
        return false;
    }
    if let Some(paths) = &atom.non_resource_urls {
        let owned = owner.non_resource_urls.as_deref().unwrap_or_default();
        return paths.iter().all(|path| {
            owned.iter().any(|own| {
                own == path || own.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
            })
        });
    }
    let groups = owner.api_groups.as_deref().unwrap_or_default();
    let resources = owner.resources.as_deref().unwrap_or_default();
    let names = owner.resource_names.as_deref().unwrap_or_default();
    atom.api_groups.iter().flatten().all(|group| has(groups, group))
        && atom.resources.iter().flatten().all(|resource| has_resource(resources, resource))
        && (names.is_empty()
            || atom
                .resource_names
                .as_ref()
                .is_some_and(|wanted| wanted.iter().all(|name| names.contains(name))))
}

fn has_resource(owned: &[String], wanted: &str) -> bool {
    let any_of_subresource = wanted.split_once('/').map(|(_, subresource)| format!("*/{subresource}"));
    owned.iter().any(|own| own == "*" || own == wanted || Some(own) == any_of_subresource.as_ref())
}

/// Pieces that differ only in the verb are put together again.
pub(super) fn compact(atoms: &[PolicyRule]) -> Vec<PolicyRule> {
    let mut rules: Vec<PolicyRule> = Vec::new();
    for atom in atoms {
        let same = rules.iter_mut().find(|rule| {
            rule.api_groups == atom.api_groups
                && rule.resources == atom.resources
                && rule.resource_names == atom.resource_names
                && rule.non_resource_urls == atom.non_resource_urls
        });
        match same {
            Some(rule) => rule.verbs.extend(atom.verbs.iter().cloned()),
            None => rules.push(atom.clone()),
        }
    }
    rules
}

fn shown(rule: &PolicyRule) -> String {
    let list = |texts: &[String]| {
        let quoted: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
        format!("[{}]", quoted.join(" "))
    };
    let mut parts = Vec::new();
    for (name, value) in [
        ("APIGroups", &rule.api_groups),
        ("Resources", &rule.resources),
        ("ResourceNames", &rule.resource_names),
        ("NonResourceURLs", &rule.non_resource_urls),
    ] {
        parts.extend(value.as_ref().map(|value| format!("{name}:{}", list(value))));
    }
    parts.push(format!("Verbs:{}", list(&rule.verbs)));
    format!("{{{}}}", parts.join(", "))
}
