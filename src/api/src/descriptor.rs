//! A kind with its type erased: what the API server's registry holds.
//!
//! [`Descriptor::of`] makes one from a [`Kind`]; a custom resource will make one at run time by another [`Hooks`]. The
//! write path calls the methods in the order in which they stand here. Nothing here does I/O or knows a particular kind.

mod hooks;

use std::sync::Arc;

use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::jiff::Timestamp;
use machinery::Status;
use machinery::field::{ErrorList, Path};
use machinery::gvk::{GroupKind, GroupResource, GroupVersionKind, GroupVersionResource};
use machinery::json::{self, Tree};
use machinery::meta;
use machinery::schema::{self, Type};
use machinery::table::{Column, Row};

use crate::attributes::{self, Attributes};
use crate::error::Error;
use crate::kind::{CREATE_ONLY, Context, Kind, Propagation, Selectable, Subresource};
use crate::names;
use crate::object::Object;
use hooks::{Hooks, Of};

/// Everything the API server needs to know about one kind.
#[derive(Clone)]
pub struct Descriptor {
    /// Group, version and kind.
    pub gvk: GroupVersionKind,
    /// Group, version and plural resource name.
    pub resource: GroupVersionResource,
    /// Kind of a list of these.
    pub list_kind: String,
    /// Singular resource name.
    pub singular: String,
    /// Abbreviations of the resource name.
    pub short_names: Vec<String>,
    /// Categories such as `all`.
    pub categories: Vec<String>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Verbs served.
    pub verbs: Vec<String>,
    /// Subresources that need nothing special.
    pub subresources: Vec<Subresource>,
    /// What clients are warned of with every request, where the kind should no longer be used.
    pub deprecation: Option<&'static str>,
    /// Under which group and resource objects are stored.
    pub storage: GroupResource,
    /// The type as clients of this version see it.
    pub schema: &'static Type,
    /// The type of the stored form; the same as `schema` for nearly all kinds.
    pub storage_schema: &'static Type,
    /// Whether PUT to a name that does not exist creates the object.
    pub allow_create_on_update: bool,
    /// Whether an update may leave out `resourceVersion`.
    pub allow_unconditional_update: bool,
    /// Whether a delete after which the object is gone answers with it, not with a `Status`.
    pub returns_deleted: bool,
    /// What a delete without a policy does to dependents.
    pub default_propagation: Propagation,
    /// Group and kind under which refusals name objects: the stored form's.
    pub refused_as: GroupKind,
    /// Group, version and kind of the stored form.
    pub stored_as: GroupVersionKind,
    fields: &'static [Selectable],
    field_aliases: &'static [(&'static str, &'static str)],
    hooks: Arc<dyn Hooks>,
}

impl Descriptor {
    /// The descriptor of a built-in kind.
    ///
    /// # Panics
    /// If the schema facts lack the kind, which the structure test rules out.
    pub fn of<T: Kind>() -> Descriptor {
        let gvk = GroupVersionKind::of::<T>();
        let (group, resource) = T::STORED_AS.unwrap_or((T::GROUP, T::RESOURCE));
        Descriptor {
            resource: GroupVersionResource::new(T::GROUP, T::VERSION, T::RESOURCE),
            list_kind: format!("{}List", T::KIND),
            singular: T::SINGULAR.to_owned(),
            short_names: owned(T::SHORT_NAMES),
            categories: owned(T::CATEGORIES),
            namespaced: T::NAMESPACED,
            verbs: owned(T::VERBS),
            subresources: T::SUBRESOURCES.to_vec(),
            deprecation: T::DEPRECATION,
            storage: GroupResource::new(group, resource),
            schema: schema_of(&gvk),
            storage_schema: schema_of(&T::storage_kind()),
            refused_as: T::storage_kind().group_kind(),
            stored_as: T::storage_kind(),
            allow_create_on_update: T::ALLOW_CREATE_ON_UPDATE,
            allow_unconditional_update: T::ALLOW_UNCONDITIONAL_UPDATE,
            returns_deleted: T::RETURNS_DELETED,
            default_propagation: T::DEFAULT_PROPAGATION,
            fields: T::FIELDS,
            field_aliases: T::FIELD_ALIASES,
            hooks: Arc::new(Of::<T>::new()),
            gvk,
        }
    }

    /// Whether the stored bytes are what clients of this version read, so that they can be handed on as they are.
    pub fn is_stored_as_served(&self) -> bool {
        std::ptr::eq(self.schema, self.storage_schema)
    }

    /// Reads a request body in this version.
    ///
    /// # Errors
    /// 400 with upstream's text where a value has the wrong type.
    pub fn decode(&self, tree: &Tree<'_>) -> Result<Object, Status> {
        schema::check_types(tree, self.schema).map_err(|error| self.undecodable(&error))?;
        self.hooks.decode(tree).map_err(|error| self.undecodable(&error))
    }

    /// Reads stored bytes.
    ///
    /// # Errors
    /// Where the bytes are not an object of this kind, which means that the store is damaged.
    pub fn decode_stored(&self, bytes: &[u8]) -> Result<Object, Error> {
        Ok(self.hooks.decode_stored(&json::parse(bytes)?.tree)?)
    }

    /// Stored bytes as clients of this version read them, resource version included. Not needed where [`Descriptor::is_stored_as_served`].
    ///
    /// # Errors
    /// As [`Descriptor::decode_stored`].
    pub fn convert(&self, stored: &[u8]) -> Result<Vec<u8>, Error> {
        let object = self.decode_stored(stored)?;
        Ok(schema::canonical(&object.to_tree(), self.schema))
    }

    /// Fills in what the user left out.
    pub fn set_defaults(&self, object: &mut Object) {
        self.hooks.set_defaults(object);
    }

    /// The name of an object that asks for one which begins with `base`.
    pub fn generate_name(&self, base: &str) -> String {
        self.hooks.generate_name(base)
    }

    /// Warnings about a new object, valid or not, as it is before preparation.
    pub fn preparation_warnings(&self, object: &Object) -> Vec<String> {
        self.hooks.preparation_warnings(object)
    }

    /// Clears what users may not set on creation and sets what the server owns.
    pub fn prepare_for_create(&self, object: &mut Object, cx: &Context) {
        self.hooks.prepare_for_create(object, cx);
    }

    /// Errors for which nothing is allocated to the object; they are found again by its validation.
    pub fn validate_allocation(&self, new: &Object, old: Option<&Object>) -> ErrorList {
        self.hooks.validate_allocation(new, old)
    }

    /// Errors of a new object. A review, which is only answered, needs no name. What every object's metadata must be is
    /// checked last, so that the kind's more particular messages are the ones that are shown.
    pub fn validate_create(&self, object: &Object) -> ErrorList {
        if self.verbs == CREATE_ONLY {
            return self.hooks.validate(object);
        }
        let errors = self.hooks.validate_allocation(object, None);
        if !errors.is_empty() {
            return errors;
        }
        let errors = self.hooks.validate_create(object);
        if errors.is_empty() { self.validate_meta(object) } else { errors }
    }

    /// Restores what an update may not touch; the generation only ever moves here.
    pub fn prepare_for_update(&self, new: &mut Object, old: &Object, cx: &Context) {
        new.meta_mut().generation = old.meta().generation;
        self.hooks.prepare_for_update(new, old, cx);
    }

    /// Errors of an update: what every object's metadata must be, then what the kind says.
    pub fn validate_update(&self, new: &Object, old: &Object) -> ErrorList {
        let errors = self.hooks.validate_allocation(new, Some(old));
        if !errors.is_empty() {
            return errors;
        }
        let mut errors = self.validate_meta_update(new, old);
        errors.extend(self.hooks.validate_update(new, old));
        errors
    }

    /// Restores what an update of the status may not touch.
    pub fn prepare_for_status_update(&self, new: &mut Object, old: &Object, cx: &Context) {
        new.meta_mut().generation = old.meta().generation;
        self.hooks.prepare_for_status_update(new, old, cx);
    }

    /// Errors of an update of the status: what every object's metadata must be, then what the kind says.
    pub fn validate_status_update(&self, new: &Object, old: &Object) -> ErrorList {
        let mut errors = self.validate_meta_update(new, old);
        errors.extend(self.hooks.validate_status_update(new, old));
        errors
    }

    /// Restores what an approval may not touch.
    pub fn prepare_for_approval_update(&self, new: &mut Object, old: &Object, cx: &Context) {
        new.meta_mut().generation = old.meta().generation;
        self.hooks.prepare_for_approval_update(new, old, cx);
    }

    /// Errors of an approval: what every object's metadata must be, then what the kind says.
    pub fn validate_approval_update(&self, new: &Object, old: &Object) -> ErrorList {
        let mut errors = self.validate_meta_update(new, old);
        errors.extend(self.hooks.validate_approval_update(new, old));
        errors
    }

    /// Restores what adding containers for debugging may not touch.
    pub fn prepare_for_ephemeral_containers_update(&self, new: &mut Object, old: &Object, cx: &Context) {
        new.meta_mut().generation = old.meta().generation;
        self.hooks.prepare_for_ephemeral_containers_update(new, old, cx);
    }

    /// Errors of adding containers for debugging: what every object's metadata must be, then what the kind says.
    pub fn validate_ephemeral_containers_update(&self, new: &Object, old: &Object) -> ErrorList {
        let mut errors = self.validate_meta_update(new, old);
        errors.extend(self.hooks.validate_ephemeral_containers_update(new, old));
        errors
    }

    /// Warnings about a valid object; `old` is what an update replaces.
    pub fn warnings(&self, object: &Object, old: Option<&Object>) -> Vec<String> {
        self.hooks.warnings(object, old)
    }

    /// Warnings about a valid status.
    pub fn status_warnings(&self, object: &Object) -> Vec<String> {
        self.hooks.status_warnings(object)
    }

    /// Last change before storing, after validation.
    pub fn canonicalize(&self, object: &mut Object) {
        self.hooks.canonicalize(object);
    }

    /// Canonical JSON of the stored form, cut where the store puts the revision: the value of
    /// `metadata.resourceVersion`.
    pub fn encode(&self, object: &Object) -> (Vec<u8>, Vec<u8>) {
        schema::canonical_with_hole(&self.hooks.to_storage(object), self.storage_schema)
    }

    /// Canonical JSON in this version, as it is: for answers that are not stored (reviews, dry runs, scales).
    pub fn encode_whole(&self, object: &Object) -> Vec<u8> {
        schema::canonical(&object.to_tree(), self.schema)
    }

    /// Labels, selectable fields and uid of stored bytes.
    ///
    /// # Errors
    /// Where the bytes are not JSON of the expected shape, which means that the store is damaged.
    pub fn attributes(&self, stored: &[u8]) -> Result<Attributes, Error> {
        Ok(attributes::of(stored, self.fields, self.namespaced)?)
    }

    /// The name under which [`Descriptor::attributes`] has a field that a request selects by.
    ///
    /// # Errors
    /// Upstream's text for a field that may not be selected.
    pub fn field_label<'a>(&self, label: &'a str) -> Result<&'a str, String> {
        if label == "metadata.name" || (label == "metadata.namespace" && self.allows_namespace_label()) {
            return Ok(label);
        }
        if let Some((_, stored)) = self.field_aliases.iter().find(|(alias, _)| *alias == label) {
            return Ok(stored);
        }
        if self.hooks.is_selectable(label) {
            return Ok(label);
        }
        Err(if self.fields.is_empty() {
            format!(
                "\"{label}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
            )
        } else {
            self.hooks.unselectable(label)
        })
    }

    /// Names of the fields that requests may select by, beside the metadata's.
    pub fn selectable_fields(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().map(|field| field.name)
    }

    /// Columns of the kind's table.
    pub fn columns(&self) -> Vec<Column> {
        self.hooks.columns()
    }

    /// The row of one object.
    ///
    /// # Errors
    /// As [`Descriptor::decode_stored`].
    pub fn row(&self, stored: &[u8], now: Timestamp) -> Result<Row, Error> {
        let object = self.decode_stored(stored)?;
        Ok(Row { cells: self.row_of(&object, now), conditions: self.hooks.row_conditions(&object) })
    }

    /// The cells of one decoded object.
    pub fn row_of(&self, object: &Object, now: Timestamp) -> Vec<serde_json::Value> {
        self.hooks.row(object, now)
    }

    /// Seconds the object is given to end when deleted; `None`: it goes at once.
    pub fn grace_period(&self, object: &Object, requested: Option<i64>) -> Option<i64> {
        self.hooks.grace_period(object, requested)
    }

    /// The object as a Scale.
    pub fn scale(&self, object: &Object) -> Option<Scale> {
        self.hooks.scale(object)
    }

    /// Takes over what a Scale may change.
    pub fn set_scale(&self, object: &mut Object, scale: &Scale) {
        self.hooks.set_scale(object, scale);
    }

    fn validate_meta(&self, object: &Object) -> ErrorList {
        meta::validate_object_meta(
            object.meta(),
            self.namespaced,
            names::path_segment,
            &Path::new("metadata"),
        )
    }

    /// Errors of what every object's metadata must be after an update.
    pub fn validate_meta_update(&self, new: &Object, old: &Object) -> ErrorList {
        let mut errors = self.validate_meta(new);
        errors.extend(meta::validate_object_meta_update(new.meta(), old.meta(), &Path::new("metadata")));
        errors
    }

    /// Upstream's kinds with their own list of fields leave out the namespace where there is none.
    fn allows_namespace_label(&self) -> bool {
        self.namespaced || self.fields.is_empty()
    }

    fn undecodable(&self, error: &dyn std::fmt::Display) -> Status {
        let GroupVersionKind { version, kind, .. } = &self.gvk;
        Status::bad_request(format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {error}"))
    }
}

impl std::fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Descriptor({})", self.gvk)
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn schema_of(gvk: &GroupVersionKind) -> &'static Type {
    schema::of(gvk).expect("the schema facts cover every built-in kind")
}
