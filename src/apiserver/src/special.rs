//! What is not plain create, read, update or delete: one table, and nowhere else.
//!
//! `dispatch` asks it before it turns to the verbs, discovery lists its subresources. Each entry names its handler; what a
//! few kinds need in the plain paths (a namespace's own finalizers) is asked for at the end of this file.

mod binding;
mod command;
mod conditions;
pub(crate) mod device_access;
mod eviction;
mod exec;
mod finalize;
mod log;
pub(crate) mod openid;
mod proxy;
mod raw;
mod reviews;
mod rules_review;
pub(crate) mod service_addresses;
mod token;

use api::{Descriptor, Object, Subresource};
use futures::future::BoxFuture;
use http::Response;
use k8s_openapi::api::core::v1::{Namespace, Service};
use machinery::Status;
use machinery::field::ErrorList;
use machinery::gvk::GroupVersionKind;

use crate::body::Body;
use crate::call::Call;
use crate::chain::request_info::RequestInfo;
use crate::discovery::Listed;
use crate::dispatch::method_not_allowed;

/// Serves a request of its own kind.
pub(crate) type Handler = fn(Call, Body) -> BoxFuture<'static, Result<Response<Body>, Status>>;

/// One special endpoint.
struct Special {
    group: &'static str,
    resource: &'static str,
    subresource: &'static str,
    /// Whether its path names a namespace; one that does not would be authorized for less than it gives.
    scope: Scope,
    /// Verbs as authorization knows them.
    verbs: &'static [&'static str],
    /// Group, version and kind of the body.
    kind: (&'static str, &'static str, &'static str),
    handler: Handler,
}

/// Where an endpoint is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Cluster,
    Namespace,
    /// Below one namespace, which the path names as an object.
    Itself,
}

const CREATE: &[&str] = &["create"];
const CONNECT: &[&str] = &["create", "get"];
const PROXY: &[&str] = &["create", "delete", "get", "patch", "update"];
const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";

/// A line of the table.
macro_rules! special {
    ($scope:ident $group:expr, $resource:literal / $subresource:literal, $verbs:expr, $kind:expr, $handler:path) => {
        Special {
            group: $group,
            resource: $resource,
            subresource: $subresource,
            scope: Scope::$scope,
            verbs: $verbs,
            kind: $kind,
            handler: |call, body| Box::pin($handler(call, body)),
        }
    };
}

const TABLE: &[Special] = &[
    special!(Namespace "", "bindings" / "", CREATE, ("", "v1", "Binding"), binding::create),
    special!(Itself "", "namespaces" / "finalize", &["update"], ("", "v1", "Namespace"), finalize::update),
    special!(Cluster "", "nodes" / "proxy", PROXY, ("", "v1", "NodeProxyOptions"), proxy::node),
    special!(Namespace "", "pods" / "attach", CONNECT, ("", "v1", "PodAttachOptions"), exec::attach),
    special!(Namespace "", "pods" / "binding", CREATE, ("", "v1", "Binding"), binding::create),
    special!(Namespace "", "pods" / "eviction", CREATE, ("policy", "v1", "Eviction"), eviction::create),
    special!(Namespace "", "pods" / "exec", CONNECT, ("", "v1", "PodExecOptions"), exec::exec),
    special!(Namespace "", "pods" / "log", &["get"], ("", "v1", "Pod"), log::get),
    special!(Namespace "", "pods" / "proxy", PROXY, ("", "v1", "PodProxyOptions"), proxy::pod),
    special!(Namespace "", "services" / "proxy", PROXY, ("", "v1", "ServiceProxyOptions"), proxy::service),
    special!(Namespace "", "serviceaccounts" / "token", CREATE, (AUTHENTICATION, "v1", "TokenRequest"), token::create),
    special!(
        Cluster AUTHENTICATION,
        "selfsubjectreviews" / "",
        CREATE,
        (AUTHENTICATION, "v1", "SelfSubjectReview"),
        reviews::self_subject
    ),
    special!(
        Cluster AUTHENTICATION,
        "tokenreviews" / "",
        CREATE,
        (AUTHENTICATION, "v1", "TokenReview"),
        reviews::token
    ),
    special!(
        Namespace AUTHORIZATION,
        "localsubjectaccessreviews" / "",
        CREATE,
        (AUTHORIZATION, "v1", "LocalSubjectAccessReview"),
        reviews::local_subject_access
    ),
    special!(
        Cluster AUTHORIZATION,
        "selfsubjectaccessreviews" / "",
        CREATE,
        (AUTHORIZATION, "v1", "SelfSubjectAccessReview"),
        reviews::self_subject_access
    ),
    special!(
        Cluster AUTHORIZATION,
        "selfsubjectrulesreviews" / "",
        CREATE,
        (AUTHORIZATION, "v1", "SelfSubjectRulesReview"),
        rules_review::create
    ),
    special!(
        Cluster AUTHORIZATION,
        "subjectaccessreviews" / "",
        CREATE,
        (AUTHORIZATION, "v1", "SubjectAccessReview"),
        reviews::subject_access
    ),
];

/// The handler of a request that is special; 405 where the endpoint is special but the verb is not its own.
pub(crate) fn find(info: &RequestInfo) -> Result<Option<Handler>, Status> {
    let found = TABLE.iter().find(|special| {
        special.group == info.group
            && special.resource == info.resource
            && special.subresource == info.subresource
            && info.version == "v1"
    });
    let Some(special) = found else { return Ok(None) };
    if !is_in_place(special, info) {
        return Err(Status::page_not_found());
    }
    // Methods that are no verb, such as OPTIONS, mean something at the target only.
    if special.verbs.contains(&&*info.verb) || (is_proxy(special) && info.verb.is_empty()) {
        return Ok(Some(special.handler));
    }
    Err(method_not_allowed())
}

/// What follows the path of a proxy is the target's.
fn is_proxy(special: &Special) -> bool {
    special.subresource == "proxy"
}

/// Whether the path has exactly what the endpoint needs. Authorization has judged the path as it is: a cluster-wide
/// question under a namespace would be answered to somebody who may ask in that namespace only.
fn is_in_place(special: &Special, info: &RequestInfo) -> bool {
    let in_scope = match special.scope {
        Scope::Cluster => info.namespace.is_empty(),
        Scope::Namespace => !info.namespace.is_empty(),
        Scope::Itself => true,
    };
    let ends = info.rest.is_empty() || is_proxy(special);
    in_scope && ends && info.name.is_empty() == special.subresource.is_empty()
}

/// The subresources of a kind, for discovery; with the namespaces come the bindings, which are no kind that is stored.
pub(crate) fn subresources(kind: &Descriptor) -> Vec<Listed> {
    let plain = kind.subresources.iter().map(|subresource| match subresource {
        Subresource::Status => listed(kind, "status", kind.gvk.clone(), &["get", "patch", "update"]),
        Subresource::Approval => listed(kind, "approval", kind.gvk.clone(), &["get", "patch", "update"]),
        Subresource::EphemeralContainers => {
            listed(kind, "ephemeralcontainers", kind.gvk.clone(), &["get", "patch", "update"])
        }
        Subresource::Scale => {
            let scale = GroupVersionKind::new("autoscaling", "v1", "Scale");
            listed(kind, "scale", scale, &["get", "patch", "update"])
        }
    });
    let special = TABLE
        .iter()
        .filter(|special| !special.subresource.is_empty())
        .filter(|special| kind.resource.group == special.group && kind.resource.resource == special.resource)
        .map(|special| listed(kind, special.subresource, gvk(special), special.verbs));
    let mut all: Vec<Listed> = plain.chain(special).collect();
    if kind.resource.group.is_empty() && kind.resource.resource == "pods" {
        all.extend(TABLE.iter().find(|special| special.resource == "bindings").map(|special| Listed {
            name: special.resource.to_owned(),
            singular: "binding".to_owned(),
            namespaced: true,
            kind: gvk(special),
            storage: gvk(special),
            verbs: special.verbs.iter().map(|verb| (*verb).to_owned()).collect(),
            short_names: Vec::new(),
            categories: Vec::new(),
            returns_deleted: false,
        }));
    }
    all
}

fn gvk(special: &Special) -> GroupVersionKind {
    let (group, version, kind) = special.kind;
    GroupVersionKind::new(group, version, kind)
}

fn listed(of: &Descriptor, subresource: &str, kind: GroupVersionKind, verbs: &[&str]) -> Listed {
    Listed {
        name: format!("{}/{subresource}", of.resource.resource),
        singular: String::new(),
        namespaced: of.namespaced,
        storage: kind.clone(),
        kind,
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        short_names: Vec::new(),
        categories: Vec::new(),
        returns_deleted: false,
    }
}

/// Puts back what `namespaces/finalize` may not touch: the status.
pub(crate) fn prepare_to_finalize(new: &mut Object, old: &Object) {
    if let (Some(new), Some(old)) = (new.downcast_mut::<Namespace>(), old.downcast_ref::<Namespace>()) {
        new.status.clone_from(&old.status);
    }
}

/// Errors of what `namespaces/finalize` would leave.
pub(crate) fn validate_finalized(kind: &Descriptor, new: &Object, old: &Object) -> ErrorList {
    let mut errors = kind.validate_meta_update(new, old);
    if let (Some(new), Some(old)) = (new.downcast_ref::<Namespace>(), old.downcast_ref::<Namespace>()) {
        errors.extend(api::validate_finalize(new, old));
    }
    errors
}

/// Whether a deletion begins as an update of its own, which tells preconditions that do not hold as updates do: upstream's
/// namespaces are marked so.
pub(crate) fn is_marked_by_update(object: &Object) -> bool {
    object.downcast_ref::<Namespace>().is_some_and(|own| own.metadata.deletion_timestamp.is_none())
}

/// Whether nothing but the metadata's finalizers keeps an object that is being deleted: a namespace has finalizers in its
/// spec too.
pub(crate) fn is_finalized(object: &Object) -> bool {
    let Some(namespace) = object.downcast_ref::<Namespace>() else { return true };
    let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_ref());
    finalizers.is_none_or(Vec::is_empty)
}

/// Takes away what upstream stores and does not show: a service that is only a name has a default that means nothing.
pub(crate) fn as_shown(object: &mut Object) {
    if let Some(spec) = object.downcast_mut::<Service>().and_then(|service| service.spec.as_mut())
        && spec.type_.as_deref() == Some("ExternalName")
    {
        spec.internal_traffic_policy = None;
    }
}

/// What a kind shows when its deletion begins: a namespace is terminating, without a grace period.
pub(crate) fn terminating(object: &mut Object) {
    if let Some(namespace) = object.downcast_mut::<Namespace>() {
        namespace.status.get_or_insert_default().phase = Some("Terminating".to_owned());
        namespace.metadata.deletion_grace_period_seconds = None;
    }
}
