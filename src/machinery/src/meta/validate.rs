//! What may be in an object's metadata (upstream's `apimachinery/pkg/api/validation/objectmeta.go`).

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    LabelSelector, LabelSelectorRequirement, ManagedFieldsEntry, ObjectMeta, OwnerReference,
};
use serde::Serialize;

use super::{FINALIZER_FOREGROUND_DELETION, FINALIZER_ORPHAN};
use crate::field::{Error, ErrorList, Path};
use crate::gvk::{GroupVersion, GroupVersionKind};
use crate::json::{self, Tree};
use crate::{names, schema};

/// How many bytes keys and values of annotations may have together.
pub const TOTAL_ANNOTATION_SIZE_LIMIT: usize = 256 * 1024;
const OWNER: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference";
const MAX_FIELD_MANAGER: usize = 128;
const MAX_SUBRESOURCE: usize = 256;

type Labels = BTreeMap<String, String>;

/// The metadata of a new object. `validate_name` is the kind's own rule; its second argument is true for a prefix.
pub fn validate_object_meta(
    meta: &ObjectMeta,
    namespaced: bool,
    validate_name: impl Fn(&str, bool) -> Vec<String>,
    path: &Path,
) -> ErrorList {
    let mut errors = ErrorList::new();
    let (prefix, name) = (text(&meta.generate_name), text(&meta.name));
    if !prefix.is_empty() {
        errors.extend(all_invalid(&path.child("generateName"), prefix, validate_name(prefix, true)));
    }
    if name.is_empty() {
        errors.push(Error::required(&path.child("name"), "name or generateName is required"));
    } else {
        errors.extend(all_invalid(&path.child("name"), name, validate_name(name, false)));
    }
    errors.extend(validate_namespace(text(&meta.namespace), namespaced, &path.child("namespace")));
    errors.extend(validate_non_negative(meta.generation.unwrap_or(0), &path.child("generation")));
    errors.extend(validate_labels(meta.labels.as_ref(), &path.child("labels")));
    errors.extend(validate_annotations(meta.annotations.as_ref(), &path.child("annotations")));
    errors.extend(validate_owners(list(&meta.owner_references), &path.child("ownerReferences")));
    errors.extend(validate_finalizers(list(&meta.finalizers), &path.child("finalizers")));
    errors.extend(validate_managed_fields(list(&meta.managed_fields), &path.child("managedFields")));
    errors
}

/// What an update may not change in the metadata, and what it must hold afterwards.
pub fn validate_object_meta_update(new: &ObjectMeta, old: &ObjectMeta, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if old.deletion_timestamp.is_some() {
        errors.extend(no_new_finalizers(
            list(&new.finalizers),
            list(&old.finalizers),
            &path.child("finalizers"),
        ));
    }
    if text(&new.resource_version).is_empty() {
        errors.push(Error::invalid(&path.child("resourceVersion"), "", "must be specified for an update"));
    }
    if new.generation.unwrap_or(0) < old.generation.unwrap_or(0) {
        let generation = new.generation.unwrap_or(0);
        errors.push(Error::invalid(&path.child("generation"), generation, "must not be decremented"));
    }
    errors.extend(validate_immutable(text(&new.name), text(&old.name), &path.child("name")));
    errors.extend(validate_immutable(text(&new.namespace), text(&old.namespace), &path.child("namespace")));
    errors.extend(validate_immutable(text(&new.uid), text(&old.uid), &path.child("uid")));
    let unchanging = path.child("creationTimestamp");
    errors.extend(validate_immutable(&new.creation_timestamp, &old.creation_timestamp, &unchanging));
    let unchanging = path.child("deletionTimestamp");
    errors.extend(validate_immutable(&new.deletion_timestamp, &old.deletion_timestamp, &unchanging));
    let unchanging = path.child("deletionGracePeriodSeconds");
    errors.extend(validate_immutable(
        &new.deletion_grace_period_seconds,
        &old.deletion_grace_period_seconds,
        &unchanging,
    ));
    errors.extend(validate_labels(new.labels.as_ref(), &path.child("labels")));
    errors.extend(validate_annotations(new.annotations.as_ref(), &path.child("annotations")));
    errors.extend(validate_owners(list(&new.owner_references), &path.child("ownerReferences")));
    errors.extend(validate_managed_fields(list(&new.managed_fields), &path.child("managedFields")));
    errors
}

/// A value that an update may not change.
pub fn validate_immutable<T: PartialEq + Serialize>(new: T, old: T, path: &Path) -> ErrorList {
    if new == old { vec![] } else { vec![Error::invalid(path, new, "field is immutable")] }
}

/// A number that may not be negative.
pub fn validate_non_negative(value: i64, path: &Path) -> ErrorList {
    if value < 0 { vec![Error::invalid(path, value, "must be greater than or equal to 0")] } else { vec![] }
}

/// The keys and values of labels.
pub fn validate_labels(labels: Option<&Labels>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (key, value) in labels.into_iter().flatten() {
        errors.extend(all_invalid(path, key, names::qualified_name(key)));
        errors.extend(all_invalid(path, value, names::label_value(value)));
    }
    errors
}

/// The keys of annotations, and their size.
pub fn validate_annotations(annotations: Option<&Labels>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut size = 0;
    for (key, value) in annotations.into_iter().flatten() {
        errors.extend(all_invalid(path, key, names::qualified_name(&key.to_lowercase())));
        size += key.len() + value.len();
    }
    if size > TOTAL_ANNOTATION_SIZE_LIMIT {
        errors.push(Error::too_long(path, TOTAL_ANNOTATION_SIZE_LIMIT));
    }
    errors
}

/// A typed label selector.
pub fn validate_label_selector(selector: &LabelSelector, path: &Path) -> ErrorList {
    let mut errors = validate_labels(selector.match_labels.as_ref(), &path.child("matchLabels"));
    for (place, expression) in list(&selector.match_expressions).iter().enumerate() {
        errors.extend(validate_expression(expression, &path.child("matchExpressions").index(place)));
    }
    errors
}

fn validate_expression(expression: &LabelSelectorRequirement, path: &Path) -> ErrorList {
    let operator = expression.operator.as_str();
    let mut errors = validate_label_requirement(expression, path);
    if !matches!(operator, "In" | "NotIn" | "Exists" | "DoesNotExist") {
        let error =
            Error::invalid(&path.child("operator"), operator, "not a valid selector operator").named();
        errors.insert(0, error);
    }
    errors
}

/// A requirement of a label selector whose operator may be one that only newer servers know.
pub fn validate_label_requirement(expression: &LabelSelectorRequirement, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let values = list(&expression.values);
    match expression.operator.as_str() {
        "In" | "NotIn" if values.is_empty() => {
            let detail = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(Error::required(&path.child("values"), detail));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(Error::forbidden(&path.child("values"), detail));
        }
        _ => {}
    }
    errors.extend(all_invalid(&path.child("key"), &expression.key, names::qualified_name(&expression.key)));
    for (place, value) in values.iter().enumerate() {
        errors.extend(all_invalid(&path.child("values").index(place), value, names::label_value(value)));
    }
    errors
}

/// The name under which a client manages fields.
pub fn validate_field_manager(manager: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if manager.len() > MAX_FIELD_MANAGER {
        errors.push(Error::too_long(path, MAX_FIELD_MANAGER));
    }
    for (place, c) in manager.char_indices().filter(|(_, c)| c.is_control()) {
        let detail = format!("invalid character U+{:04X} (at position {place})", u32::from(c));
        errors.push(Error::invalid(path, manager, detail));
    }
    errors
}

fn validate_namespace(namespace: &str, namespaced: bool, path: &Path) -> ErrorList {
    match (namespaced, namespace.is_empty()) {
        (true, true) => vec![Error::required(path, "")],
        (true, false) => all_invalid(path, namespace, names::dns1123_label(namespace)).collect(),
        (false, false) => vec![Error::forbidden(path, "not allowed on this type")],
        (false, true) => vec![],
    }
}

fn validate_owners(owners: &[OwnerReference], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut controller: Option<String> = None;
    for owner in owners {
        errors.extend(validate_owner(owner, path));
        if owner.controller != Some(true) {
            continue;
        }
        let this = format!("{}/{}", owner.kind, owner.name);
        match &controller {
            None => controller = Some(this),
            Some(first) => {
                let detail = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                );
                errors.push(Error::invalid(path, owners.iter().map(shown).collect::<Vec<_>>(), detail));
            }
        }
    }
    errors
}

fn validate_owner(owner: &OwnerReference, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let group_version = GroupVersion::parse(&owner.api_version).unwrap_or_default();
    if group_version.version.is_empty() {
        let detail = "version must not be empty";
        errors.push(Error::invalid(&path.child("apiVersion"), &owner.api_version, detail));
    }
    for (name, value) in [("kind", &owner.kind), ("name", &owner.name), ("uid", &owner.uid)] {
        if value.is_empty() {
            errors.push(Error::invalid(&path.child(name), value, "must not be empty"));
        }
    }
    let kind = group_version.with_kind(&*owner.kind);
    if kind == GroupVersionKind::new("", "v1", "Event") {
        errors.push(Error::invalid(path, shown(owner), format!("{kind} is disallowed from being an owner")));
    }
    errors
}

/// An owner with its fields in upstream's order.
fn shown(owner: &OwnerReference) -> Tree<'static> {
    let tree = json::to_tree(owner).expect("a reference is plain data");
    let type_ = schema::named(OWNER).expect("the facts have the types of meta/v1");
    json::parse(&schema::canonical(&tree, type_)).expect("canonical JSON is JSON").tree.into_owned()
}

fn validate_finalizers(finalizers: &[String], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for finalizer in finalizers {
        errors.extend(all_invalid(path, finalizer, names::qualified_name(finalizer)));
    }
    let has = |name: &str| finalizers.iter().any(|finalizer| finalizer == name);
    if has(FINALIZER_ORPHAN) && has(FINALIZER_FOREGROUND_DELETION) {
        let detail =
            format!("finalizer {FINALIZER_ORPHAN} and {FINALIZER_FOREGROUND_DELETION} cannot be both set");
        errors.push(Error::invalid(path, finalizers, detail));
    }
    errors
}

fn no_new_finalizers(new: &[String], old: &[String], path: &Path) -> ErrorList {
    let mut added: Vec<&String> = new.iter().filter(|finalizer| !old.contains(finalizer)).collect();
    added.sort_unstable();
    added.dedup();
    if added.is_empty() {
        return vec![];
    }
    let quoted: Vec<String> = added.iter().map(|finalizer| crate::json::quoted(finalizer)).collect();
    let detail = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        quoted.join(", ")
    );
    vec![Error::forbidden(path, detail)]
}

fn validate_managed_fields(entries: &[ManagedFieldsEntry], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (place, entry) in entries.iter().enumerate() {
        let path = path.index(place);
        let operation = text(&entry.operation);
        if !matches!(operation, "Apply" | "Update") {
            errors.push(Error::invalid(&path.child("operation"), operation, "must be `Apply` or `Update`"));
        }
        let fields_type = text(&entry.fields_type);
        if !matches!(fields_type, "" | "FieldsV1") {
            errors.push(Error::invalid(&path.child("fieldsType"), fields_type, "must be `FieldsV1`"));
        }
        errors.extend(validate_field_manager(text(&entry.manager), &path.child("manager")));
        if text(&entry.subresource).len() > MAX_SUBRESOURCE {
            errors.push(Error::too_long(&path.child("subresource"), MAX_SUBRESOURCE));
        }
    }
    errors
}

fn all_invalid<'a>(path: &'a Path, value: &'a str, details: Vec<String>) -> impl Iterator<Item = Error> + 'a {
    details.into_iter().map(move |detail| Error::invalid(path, value, detail))
}

fn text(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or("")
}

fn list<T>(values: &Option<Vec<T>>) -> &[T] {
    values.as_deref().unwrap_or_default()
}
