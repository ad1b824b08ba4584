//! The verbs, the same for every kind, and what they share: the thing a request is about.
//!
//! `dispatch` makes a [`Target`]; reading verbs hand on what the store has, writing verbs go through `write`.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod deletecollection;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod options;
pub(crate) mod patch;
mod scale;
pub(crate) mod selection;
pub(crate) mod update;
pub(crate) mod watch;

use std::borrow::Cow;
use std::sync::Arc;

use api::{Descriptor, Subresource};
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use machinery::Status;
use machinery::gvk::GroupResource;
use store::{Key, Range};

use crate::body::Body;
use crate::call::Call;
use crate::negotiate::{self, Accept, Shaper};
use crate::write::Written;

/// A request about a resource of a kind.
pub(crate) struct Target {
    pub(crate) call: Call,
    pub(crate) kind: Arc<Descriptor>,
    pub(crate) subresource: Option<Subresource>,
}

impl Target {
    /// Matches a request with its kind; 404 where the kind has nothing at such a path.
    pub(crate) fn new(call: Call, kind: Arc<Descriptor>) -> Result<Target, Status> {
        let info = &call.info;
        let subresource = match info.subresource.as_str() {
            "" => None,
            "status" => Some(Subresource::Status),
            "scale" => Some(Subresource::Scale),
            "approval" => Some(Subresource::Approval),
            "ephemeralcontainers" => Some(Subresource::EphemeralContainers),
            _ => return Err(Status::page_not_found()),
        };
        let is_namespace = kind.resource.group.is_empty() && kind.resource.resource == "namespaces";
        let in_scope = if kind.namespaced {
            // Across namespaces there are only lists and watches.
            !info.namespace.is_empty()
                || matches!(&*info.verb, "list" | "watch" | "create" | "deletecollection")
        } else {
            info.namespace.is_empty() || is_namespace
        };
        let known = subresource.is_none_or(|subresource| kind.subresources.contains(&subresource));
        if !in_scope || !known || !info.rest.is_empty() {
            return Err(Status::page_not_found());
        }
        Ok(Target { call, kind, subresource })
    }

    /// Whether the kind serves the request's verb here.
    pub(crate) fn is_served(&self) -> bool {
        let info = &self.call.info;
        let verb = &*info.verb;
        let across = self.kind.namespaced && info.namespace.is_empty();
        // An object is created in its collection (the name in a path would be authorized, and another one written), and
        // changed at its own path. Lists and watches may have a name from their field selector.
        let in_place = match verb {
            "create" => info.name.is_empty(),
            "update" | "patch" => !info.name.is_empty(),
            "watch" => matches!(*self.call.method(), Method::GET | Method::HEAD),
            _ => true,
        };
        if !in_place {
            return false;
        }
        match self.subresource {
            None if across && !matches!(verb, "list" | "watch") => false,
            None => self.kind.verbs.iter().any(|own| own == verb),
            Some(_) => matches!(verb, "get" | "update" | "patch"),
        }
    }

    /// The namespace that the request names; empty for a kind without namespaces.
    pub(crate) fn namespace(&self) -> &str {
        if self.kind.namespaced { &self.call.info.namespace } else { "" }
    }

    /// The name that the request's path has.
    pub(crate) fn name(&self) -> &str {
        &self.call.info.name
    }

    /// Where an object of this kind and namespace is stored.
    pub(crate) fn key(&self, name: &str) -> Key {
        key(&self.kind, self.namespace(), name)
    }

    /// What a list or watch covers.
    pub(crate) fn range(&self) -> Range {
        let (group, resource) = (&self.kind.storage.group, &self.kind.storage.resource);
        match self.namespace() {
            "" => Range::resource(group, resource),
            namespace => Range::namespace(group, resource, namespace),
        }
    }

    /// How messages name the resource.
    pub(crate) fn group_resource(&self) -> GroupResource {
        self.kind.resource.group_resource()
    }
}

/// Where an object of a kind is stored.
pub(crate) fn key(kind: &Descriptor, namespace: &str, name: &str) -> Key {
    let namespace = if kind.namespaced { namespace } else { "" };
    Key::new(&kind.storage.group, &kind.storage.resource, namespace, name)
}

/// Answers with an object that was written.
pub(crate) fn respond(
    target: &Target,
    accept: &Accept,
    code: StatusCode,
    written: &Written,
) -> Result<Response<Body>, Status> {
    respond_as(&target.kind, &target.call, accept, code, &written.bytes)
}

/// Answers with an object of a kind, of which these are the stored bytes.
fn respond_as(
    kind: &Arc<Descriptor>,
    call: &Call,
    accept: &Accept,
    code: StatusCode,
    stored: &Bytes,
) -> Result<Response<Body>, Status> {
    let shaper = Shaper::new(kind.clone(), accept, call.now);
    let bytes = match shaper.object(stored, true)? {
        Cow::Borrowed(_) => stored.clone(),
        Cow::Owned(shaped) => Bytes::from(shaped),
    };
    Ok(negotiate::shaped(call, accept, code, bytes))
}
