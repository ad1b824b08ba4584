//! One operation of a path: its id, what it takes and what it answers.
//!
//! Ids follow upstream (`apiserver/pkg/endpoints/openapi`), since generated clients are named by them.

use std::collections::BTreeSet;

use machinery::gvk::{GroupVersion, GroupVersionKind};
use machinery::schema;
use serde_json::{Map, Value, json};

use super::{parameters, paths};
use crate::discovery::Listed;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// What verbs are called where.
pub(super) struct Action {
    /// In discovery and authorization.
    pub(super) verb: &'static str,
    /// In HTTP.
    method: &'static str,
    /// In operation ids.
    id: &'static str,
    /// In `x-kubernetes-action`.
    name: &'static str,
    /// The answers beside 200 and 401.
    others: &'static [&'static str],
}

/// All of them.
pub(super) const ACTIONS: [Action; 7] = [
    Action { verb: "create", method: "post", id: "create", name: "post", others: &["201", "202"] },
    Action { verb: "delete", method: "delete", id: "delete", name: "delete", others: &["202"] },
    Action {
        verb: "deletecollection",
        method: "delete",
        id: "delete",
        name: "deletecollection",
        others: &[],
    },
    Action { verb: "get", method: "get", id: "read", name: "get", others: &[] },
    Action { verb: "list", method: "get", id: "list", name: "list", others: &[] },
    Action { verb: "patch", method: "patch", id: "patch", name: "patch", others: &["201"] },
    Action { verb: "update", method: "put", id: "replace", name: "put", others: &["201"] },
];

/// How objects are answered.
const OBJECTS: [&str; 3] = ["application/json", "application/vnd.kubernetes.protobuf", "application/yaml"];
/// How lists are, which may be watches.
const LISTS: [&str; 5] = [
    "application/json",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf",
    "application/vnd.kubernetes.protobuf;stream=watch",
    "application/yaml",
];

/// The patches that are served.
const PATCHES: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json"];

/// Where the objects are that an operation is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Cluster,
    Namespace,
    /// A list across namespaces.
    AllNamespaces,
}

/// What an operation is on.
pub(super) struct Operation<'a> {
    pub(super) version: &'a GroupVersion,
    pub(super) resource: &'a Listed,
    /// The kind by which the operation is named.
    pub(super) owner: &'a str,
    pub(super) scope: Scope,
}

/// An operation in OpenAPI v3's form.
pub(super) struct Described {
    pub(super) method: &'static str,
    /// Without its parameters.
    pub(super) json: Value,
    /// Parameters of the query, sorted by name.
    pub(super) parameters: Vec<Value>,
    /// Names of the types it uses.
    pub(super) types: BTreeSet<String>,
}

impl Operation<'_> {
    /// Describes what a verb does here.
    pub(super) fn describe(&self, action: &Action) -> Described {
        let (body, answer) = (self.body(action), self.answer(action));
        let types = [&body, &answer].into_iter().flatten().cloned().collect();
        let content = content(self.answered_as(action), answer.as_deref());
        let responses: Map<String, Value> = ["200"]
            .iter()
            .chain(if self.is_connect() { &[] } else { action.others })
            .map(|code| ((*code).to_owned(), json!({"description": reason(code), "content": content})))
            .chain([("401".to_owned(), json!({"description": reason("401")}))])
            .collect();
        let mut json = json!({
            "operationId": self.id(action),
            "description": format!("{} {}", action.verb, self.resource.name),
            "responses": responses,
            "tags": [tag(self.version)],
            "x-kubernetes-action": if self.is_connect() { "connect" } else { action.name },
            "x-kubernetes-group-version-kind": paths::kind_json(&self.resource.kind),
        });
        if let Some(body) = body {
            json["requestBody"] = request_body(action, &body);
        }
        Described { method: action.method, json, parameters: self.parameters(action), types }
    }

    /// Whether what is served is a connection: its kind is that of the options, which are the query.
    fn is_connect(&self) -> bool {
        self.resource.kind.kind.ends_with("Options")
    }

    /// Whether the document says that a delete answers with the object. Of namespaces upstream's does not say so.
    fn answers_with_deleted(&self) -> bool {
        self.resource.returns_deleted && self.resource.name != "namespaces"
    }

    fn is_log(&self) -> bool {
        self.resource.name == "pods/log"
    }

    /// `readCoreV1NamespacedPodStatus`, `connectCoreV1GetNamespacedPodExec`.
    fn id(&self, action: &Action) -> String {
        let verb = if self.is_connect() { "connect" } else { action.id };
        let part = match action.verb {
            "deletecollection" => "Collection".to_owned(),
            _ if self.is_connect() => title(action.method),
            _ => String::new(),
        };
        let (before, after) = match self.scope {
            Scope::Cluster => ("", ""),
            Scope::Namespace => ("Namespaced", ""),
            Scope::AllNamespaces => ("", "ForAllNamespaces"),
        };
        let subresource = self.resource.name.split_once('/').map(|(_, part)| title(part)).unwrap_or_default();
        let version = title(&self.version.version);
        format!("{verb}{}{version}{part}{before}{}{subresource}{after}", group(self.version), self.owner)
    }

    fn parameters(&self, action: &Action) -> Vec<Value> {
        if self.is_connect() {
            return parameters::of_options(&self.resource.kind.kind);
        }
        let mut all = parameters::of_verb(action.verb);
        if self.is_log() {
            all.extend(parameters::of_options("PodLogOptions"));
        }
        parameters::sort(&mut all);
        all
    }

    /// The type of what is sent.
    fn body(&self, action: &Action) -> Option<String> {
        match action.verb {
            _ if self.is_connect() => None,
            "create" | "update" => type_name(&self.resource.kind),
            "patch" => Some(format!("{META}.Patch")),
            "delete" | "deletecollection" => Some(format!("{META}.DeleteOptions")),
            _ => None,
        }
    }

    /// The type of what is answered; `None` for text.
    fn answer(&self, action: &Action) -> Option<String> {
        let kind = &self.resource.kind;
        match action.verb {
            _ if self.is_connect() || self.is_log() => None,
            "list" => {
                type_name(&GroupVersionKind::new(&*kind.group, &*kind.version, format!("{}List", kind.kind)))
            }
            "delete" if !self.answers_with_deleted() => Some(format!("{META}.Status")),
            "deletecollection" => Some(format!("{META}.Status")),
            _ => type_name(kind),
        }
    }

    fn answered_as(&self, action: &Action) -> &'static [&'static str] {
        match action.verb {
            _ if self.is_connect() => &["*/*"],
            _ if self.is_log() => &["text/plain"],
            "list" => &LISTS,
            _ => &OBJECTS,
        }
    }
}

impl Described {
    /// The list of a version's resources.
    pub(super) fn resources(version: &GroupVersion) -> Described {
        let answer = format!("{META}.APIResourceList");
        let json = json!({
            "operationId": format!("get{}{}APIResources", group(version), title(&version.version)),
            "description": "list resources",
            "responses": {
                "200": {
                    "description": reason("200"),
                    "content": content(&OBJECTS, Some(&answer)),
                },
                "401": {"description": reason("401")},
            },
            "tags": [tag(version)],
        });
        Described { method: "get", json, parameters: Vec::new(), types: BTreeSet::from([answer]) }
    }
}

fn type_name(kind: &GroupVersionKind) -> Option<String> {
    schema::of(kind).map(|found| found.name.to_owned())
}

/// Options of a deletion may be left out.
fn request_body(action: &Action, name: &str) -> Value {
    match action.verb {
        "patch" => json!({"content": content(&PATCHES, Some(name)), "required": true}),
        "delete" | "deletecollection" => json!({"content": content(&["*/*"], Some(name))}),
        _ => json!({"content": content(&["*/*"], Some(name)), "required": true}),
    }
}

fn content(media_types: &[&str], name: Option<&str>) -> Value {
    let schema = match name {
        Some(name) => json!({"$ref": format!("#/components/schemas/{name}")}),
        None => json!({"type": "string"}),
    };
    let contents = media_types.iter().map(|media| ((*media).to_owned(), json!({"schema": schema})));
    contents.collect::<Map<_, _>>().into()
}

fn reason(code: &str) -> &'static str {
    match code {
        "201" => "Created",
        "202" => "Accepted",
        "401" => "Unauthorized",
        _ => "OK",
    }
}

/// `Core`, `Apps`, `RbacAuthorization`.
fn group(version: &GroupVersion) -> String {
    match version.group.trim_end_matches(".k8s.io") {
        "" => "Core".to_owned(),
        group => group.split('.').map(title).collect(),
    }
}

/// `core_v1`, `rbacAuthorization_v1`.
fn tag(version: &GroupVersion) -> String {
    let group = group(version);
    let (first, rest) = group.split_at(1);
    format!("{}{rest}_{}", first.to_lowercase(), version.version)
}

fn title(word: &str) -> String {
    let first = word.chars().next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(word.chars().skip(1)).collect()
}
