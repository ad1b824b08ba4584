//! What a built-in kind says about itself.
//!
//! A kind implements [`Kind`] for its `k8s-openapi` type and names only what differs from the defaults here; hook
//! names and their order are upstream's (`rest.RESTCreateStrategy`, `rest.RESTUpdateStrategy`). The hooks are called
//! through [`crate::Descriptor`], by the API server's write path. Nothing here does I/O.

use std::collections::BTreeMap;

use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use machinery::field::ErrorList;
use machinery::gvk::GroupVersionKind;
use machinery::json::{self, Tree};
use machinery::meta;
use machinery::table::{Column, RowCondition};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{cells, checks};

/// What most stored kinds can do.
pub const ALL_VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// What a review can do: it is answered, never stored.
pub const CREATE_ONLY: &[&str] = &["create"];

/// Subresources that every kind serves in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subresource {
    /// `…/status`: the object, of which only the status may change.
    Status,
    /// `…/scale`: the object seen as an `autoscaling/v1` Scale.
    Scale,
    /// `…/approval`: the object, of which only the conditions that approve or deny it may change.
    Approval,
    /// `…/ephemeralcontainers`: the object, to which only containers for debugging may be added.
    EphemeralContainers,
}

/// What happens to dependents when a delete names no propagation policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// The garbage collector deletes them once the owner is gone.
    Background,
    /// They stay and lose their owner reference.
    Orphan,
    /// The kind owns nothing; propagation policies are ignored.
    Unsupported,
}

/// Who asks, about what, and when: the part of a request that preparation may look at.
#[derive(Clone, Debug)]
pub struct Context {
    /// Name of the authenticated user.
    pub user: String,
    /// The authenticated user's unique id; empty where the authenticator knows none.
    pub uid: String,
    /// Groups of the authenticated user.
    pub groups: Vec<String>,
    /// What else the authenticator knows about the user.
    pub extra: BTreeMap<String, Vec<String>>,
    /// Namespace of the request; empty for cluster scope.
    pub namespace: String,
    /// Time of the request.
    pub now: Timestamp,
    /// Whether nothing will be stored.
    pub dry_run: bool,
}

/// A field that field selectors may name, beside `metadata.name` and `metadata.namespace`.
#[derive(Clone, Copy, Debug)]
pub struct Selectable {
    /// Name in selectors, e.g. `spec.nodeName`.
    pub name: &'static str,
    /// Where the value stands in the stored object; the first of these that is not empty counts.
    pub paths: &'static [&'static [&'static str]],
    /// The value where none of the paths has one.
    pub absent: &'static str,
}

impl Selectable {
    /// A field whose value is empty where it is absent.
    pub const fn new(name: &'static str, paths: &'static [&'static [&'static str]]) -> Selectable {
        Selectable { name, paths, absent: "" }
    }
}

/// Everything particular to one built-in kind.
pub trait Kind:
    k8s_openapi::Resource
    + k8s_openapi::Metadata<Ty = ObjectMeta>
    + Serialize
    + DeserializeOwned
    + Clone
    + Default
    + PartialEq
    + Send
    + Sync
    + 'static
{
    /// Singular resource name, as discovery shows it.
    const SINGULAR: &'static str;
    /// Abbreviations that kubectl accepts.
    const SHORT_NAMES: &'static [&'static str] = &[];
    /// Groups of resources that kubectl accepts, such as `all`.
    const CATEGORIES: &'static [&'static str] = &[];
    /// Whether objects live in namespaces.
    const NAMESPACED: bool;
    /// Plural resource name.
    const RESOURCE: &'static str = Self::URL_PATH_SEGMENT;
    /// What clients are warned of with every request, where the kind should no longer be used.
    const DEPRECATION: Option<&'static str> = None;
    /// Verbs served.
    const VERBS: &'static [&'static str] = ALL_VERBS;
    /// (group, resource) under which objects are stored, where that is not the kind's own.
    const STORED_AS: Option<(&'static str, &'static str)> = None;
    /// Subresources that need nothing special.
    const SUBRESOURCES: &'static [Subresource] = &[];
    /// Whether PUT to a name that does not exist creates the object.
    const ALLOW_CREATE_ON_UPDATE: bool = false;
    /// Whether an update may leave out `resourceVersion`.
    const ALLOW_UNCONDITIONAL_UPDATE: bool = true;
    /// Whether a delete after which the object is gone answers with it (upstream's `ReturnDeletedObject`), not with a `Status`.
    const RETURNS_DELETED: bool = false;
    /// What a delete without a policy does to dependents.
    const DEFAULT_PROPAGATION: Propagation = Propagation::Background;
    /// Whether finalizers without a domain must be Kubernetes' own; upstream does not ask that of every kind.
    const CHECKS_FINALIZERS: bool = true;
    /// Fields that selectors may name, in the stored form.
    const FIELDS: &'static [Selectable] = &[];
    /// Other names of selectable fields: (name in a request, name in [`Kind::FIELDS`]).
    const FIELD_ALIASES: &'static [(&'static str, &'static str)] = &[];

    /// Whether requests of this kind may select by one of [`Kind::FIELDS`] under its own name.
    fn is_selectable(label: &str) -> bool {
        Self::FIELDS.iter().any(|field| field.name == label)
    }

    /// Why requests may not select by a field, where the kind has some that they may select by.
    fn unselectable(label: &str) -> String {
        format!("field label not supported: {label}")
    }

    /// Messages about a name (with `prefix`: about a `generateName`).
    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        crate::names::subdomain(name, prefix)
    }

    /// The name of an object that asks for one which begins with `base`.
    fn generate_name(base: &str) -> String {
        meta::generate_name(base)
    }

    /// Reads what a client sent. A kind overrides this where its type cannot tell apart what upstream does.
    fn from_request(tree: &Tree<'_>) -> Result<Self, json::Error> {
        json::from_tree(tree)
    }

    /// Fills in what the user left out.
    fn set_defaults(&mut self) {}

    /// Clears what users may not set on creation and sets what the server owns.
    fn prepare_for_create(&mut self, _cx: &Context) {}

    /// Warnings to the client about a new object, valid or not, as it is before preparation.
    fn preparation_warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Errors that upstream finds while it allocates what the object needs, before it looks at anything else; where there
    /// are any, they are all that is shown.
    fn validate_allocation(&self, _old: Option<&Self>) -> ErrorList {
        ErrorList::new()
    }

    /// Errors of a new object, `metadata` apart.
    fn validate(&self) -> ErrorList {
        ErrorList::new()
    }

    /// Errors of a new object, `metadata` included.
    fn validate_create(&self) -> ErrorList {
        let mut errors = checks::metadata(self);
        errors.extend(self.validate());
        errors
    }

    /// Warnings to the client about a valid object.
    fn warnings(&self, _old: Option<&Self>) -> Vec<String> {
        Vec::new()
    }

    /// Last change before storing, after validation.
    fn canonicalize(&mut self) {}

    /// Restores what an update may not touch and bumps the generation where the kind has one. `metadata.generation`
    /// is the old one when this is called.
    fn prepare_for_update(&mut self, _old: &Self, _cx: &Context) {}

    /// Errors of an update, `metadata` included: kinds differ in what they check of it, and when.
    fn validate_update(&self, old: &Self) -> ErrorList {
        let mut errors = checks::metadata_update(self, old);
        errors.extend(checks::metadata(self));
        errors.extend(self.validate());
        errors
    }

    /// Restores what an update of the status may not touch.
    fn prepare_for_status_update(&mut self, _old: &Self, _cx: &Context) {}

    /// Errors of an update of the status, `metadata` included.
    fn validate_status_update(&self, old: &Self) -> ErrorList {
        checks::metadata_update(self, old)
    }

    /// Warnings to the client about a valid status.
    fn status_warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Restores what an approval may not touch.
    fn prepare_for_approval_update(&mut self, _old: &Self, _cx: &Context) {}

    /// Errors of an approval, `metadata` included.
    fn validate_approval_update(&self, old: &Self) -> ErrorList {
        checks::metadata_update(self, old)
    }

    /// Restores what adding containers for debugging may not touch.
    fn prepare_for_ephemeral_containers_update(&mut self, _old: &Self, _cx: &Context) {}

    /// Errors of adding containers for debugging, `metadata` included.
    fn validate_ephemeral_containers_update(&self, old: &Self) -> ErrorList {
        checks::metadata_update(self, old)
    }

    /// Columns of the kind's table.
    fn columns() -> Vec<Column> {
        vec![cells::name(), cells::age()]
    }

    /// Marks on the object's row.
    fn row_conditions(&self) -> Vec<RowCondition> {
        vec![]
    }

    /// One cell per column.
    fn row(&self, now: Timestamp) -> Vec<serde_json::Value> {
        vec![cells::name_of(self.metadata()), cells::age_of(self.metadata(), now)]
    }

    /// Seconds that the object is given to end when it is deleted; `None` where a delete is immediate. `requested` is
    /// `gracePeriodSeconds` of the delete options. Upstream: `CheckGracefulDelete`.
    fn grace_period(&self, _requested: Option<i64>) -> Option<i64> {
        None
    }

    /// The object as a Scale; `None` where the kind has no such subresource.
    fn scale(&self) -> Option<Scale> {
        None
    }

    /// Takes over what a Scale may change.
    fn set_scale(&mut self, _scale: &Scale) {}

    /// Reads the stored form.
    fn from_storage(tree: &Tree<'_>) -> Result<Self, json::Error> {
        json::from_tree(tree)
    }

    /// The stored form.
    fn to_storage(&self) -> Result<Tree<'static>, json::SerializeError> {
        json::to_tree(self)
    }

    /// The type of the stored form.
    fn storage_kind() -> GroupVersionKind {
        GroupVersionKind::of::<Self>()
    }
}
