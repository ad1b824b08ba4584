//! From the resources of a group and version to their paths, in OpenAPI v3's form.
//!
//! Input is what discovery lists. Here it is decided which operations there are; what they look like is [`Operation`]'s.

use std::collections::{BTreeMap, BTreeSet};

use machinery::gvk::{GroupVersion, GroupVersionKind};
use serde_json::{Map, Value, json};

use super::operations::{ACTIONS, Described, Operation, Scope};
use super::parameters;
use crate::discovery::Listed;

/// The paths of one group and version, with the names of the types that they use.
pub(super) struct Paths {
    pub(super) paths: BTreeMap<String, Value>,
    pub(super) types: BTreeSet<String>,
}

impl Paths {
    pub(super) fn of(version: &GroupVersion, resources: &[Listed]) -> Paths {
        let mut paths = Paths { paths: BTreeMap::new(), types: BTreeSet::new() };
        paths.insert(format!("{}/", root(version)), vec![Described::resources(version)]);
        for resource in resources {
            paths.add(version, resource, owner(resource, resources));
        }
        paths
    }

    /// A resource has a collection and items, a subresource is a part of an item.
    fn add(&mut self, version: &GroupVersion, resource: &Listed, owner: &str) {
        let root = root(version);
        let (namespace, scope) = match resource.namespaced {
            true => ("/namespaces/{namespace}", Scope::Namespace),
            false => ("", Scope::Cluster),
        };
        let mut add = |path: String, scope: Scope, verbs: &[&str]| {
            self.serve(path, &Operation { version, resource, owner, scope }, verbs);
        };
        if let Some((parent, part)) = resource.name.split_once('/') {
            let path = format!("{root}{namespace}/{parent}/{{name}}/{part}");
            return add(path, scope, &["create", "get", "patch", "update"]);
        }
        let collection = format!("{root}{namespace}/{}", resource.name);
        add(format!("{collection}/{{name}}"), scope, &["delete", "get", "patch", "update"]);
        add(collection, scope, &["create", "deletecollection", "list"]);
        if resource.namespaced {
            add(format!("{root}/{}", resource.name), Scope::AllNamespaces, &["list"]);
        }
    }

    /// The operations of a path: of these verbs those that are served.
    fn serve(&mut self, path: String, operation: &Operation<'_>, verbs: &[&str]) {
        let is_served = |verb: &str| operation.resource.verbs.iter().any(|own| own == verb);
        let actions = ACTIONS.iter().filter(|action| verbs.contains(&action.verb) && is_served(action.verb));
        let operations: Vec<Described> = actions.map(|action| operation.describe(action)).collect();
        if !operations.is_empty() {
            self.insert(path, operations);
        }
    }

    /// Parameters that all operations of a path have stand at the path, others at their operation.
    fn insert(&mut self, path: String, mut operations: Vec<Described>) {
        let mut shared = operations.first().map(|first| first.parameters.clone()).unwrap_or_default();
        shared.retain(|one| operations.iter().all(|operation| operation.parameters.contains(one)));
        let mut item = Map::new();
        for operation in &mut operations {
            operation.parameters.retain(|one| !shared.contains(one));
            if !operation.parameters.is_empty() {
                operation.json["parameters"] = std::mem::take(&mut operation.parameters).into();
            }
            self.types.append(&mut operation.types);
            item.insert(operation.method.to_owned(), operation.json.take());
        }
        shared.extend(parameters::of_path(&path));
        if !shared.is_empty() {
            parameters::sort(&mut shared);
            item.insert("parameters".to_owned(), shared.into());
        }
        self.paths.insert(path, item.into());
    }
}

/// The kind by which operations are named: a subresource's is that of what it is a part of.
fn owner<'a>(resource: &'a Listed, resources: &'a [Listed]) -> &'a str {
    let parent = resource.name.split_once('/').map_or(&*resource.name, |(parent, _)| parent);
    let owner = resources.iter().find(|other| other.name == parent).unwrap_or(resource);
    &owner.kind.kind
}

/// `/api/v1`, `/apis/apps/v1`.
pub(super) fn root(version: &GroupVersion) -> String {
    if version.group.is_empty() {
        format!("/api/{}", version.version)
    } else {
        format!("/apis/{}/{}", version.group, version.version)
    }
}

pub(super) fn kind_json(kind: &GroupVersionKind) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}
