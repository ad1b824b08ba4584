//! The claim that is made for an ephemeral volume (upstream: `ValidatePersistentVolumeClaimTemplate`,
//! `ValidatePersistentVolumeClaimSpec`).

use k8s_openapi::api::core::v1::{
    PersistentVolumeClaimSpec, PersistentVolumeClaimTemplate, TypedLocalObjectReference, TypedObjectReference,
};
use machinery::field::{Error, ErrorList, Path};
use machinery::quantity::Quantity;

use crate::checks::{self, text};
use crate::core::resources;

const MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const ALONE: &str = "ReadWriteOncePod";

/// Errors of a template at `path`.
pub(super) fn validate(template: &PersistentVolumeClaimTemplate, path: &Path) -> ErrorList {
    let metadata = template.metadata.clone().unwrap_or_default();
    let mut errors = checks::template_metadata(&metadata, &path.child("metadata"));
    errors.extend(validate_spec(&template.spec, &path.child("spec")));
    errors
}

fn validate_spec(spec: &PersistentVolumeClaimSpec, path: &Path) -> ErrorList {
    let modes = spec.access_modes.as_deref().unwrap_or_default();
    let modes_path = path.child("accessModes");
    let mut errors = ErrorList::new();
    if modes.is_empty() {
        errors.push(Error::required(&modes_path, "at least 1 access mode is required"));
    }
    errors.extend(checks::label_selector(spec.selector.as_ref(), &path.child("selector")));
    errors.extend(modes.iter().flat_map(|mode| checks::supported_only(mode, MODES, &modes_path)));
    let is_shared = modes.iter().any(|mode| mode != ALONE && MODES.contains(&mode.as_str()));
    if is_shared && modes.iter().any(|mode| mode == ALONE) {
        let detail = "may not use ReadWriteOncePod with other access modes";
        errors.push(Error::forbidden(&modes_path, detail));
    }
    errors.extend(validate_storage(spec, &path.child("resources").key("storage")));
    errors.extend(validate_class(text(&spec.storage_class_name), &path.child("storageClassName")));
    if let Some(mode) = &spec.volume_mode {
        errors.extend(checks::supported_only(mode, &["Block", "Filesystem"], &path.child("volumeMode")));
    }
    errors.extend(validate_sources(spec, path));
    let class = text(&spec.volume_attributes_class_name);
    errors.extend(validate_class(class, &path.child("volumeAttributesClassName")));
    errors
}

fn validate_storage(spec: &PersistentVolumeClaimSpec, path: &Path) -> ErrorList {
    let requests = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let Some(storage) = requests.and_then(|requests| requests.get("storage")) else {
        return vec![Error::required(path, "")];
    };
    match Quantity::parse(&storage.0) {
        Ok(amount) if amount <= Quantity::default() => {
            vec![Error::invalid(path, amount.to_string(), "must be greater than zero")]
        }
        _ => resources::validate_quantity("storage", storage, path),
    }
}

fn validate_class(name: &str, path: &Path) -> ErrorList {
    if name.is_empty() { vec![] } else { checks::reference(name, path) }
}

/// What the volume is filled from, named in the older way, in the newer one, or alike in both.
fn validate_sources(spec: &PersistentVolumeClaimSpec, path: &Path) -> ErrorList {
    let source_path = path.child("dataSource");
    let mut errors = ErrorList::new();
    if let Some(source) = &spec.data_source {
        errors.extend(validate_source(&as_reference(source), &source_path));
    }
    if let Some(source) = &spec.data_source_ref {
        let path = path.child("dataSourceRef");
        errors.extend(validate_source(source, &path));
        let namespace = text(&source.namespace);
        if !namespace.is_empty() {
            errors.extend(checks::dns_label(namespace, &path.child("namespace")));
        }
    }
    // Upstream shows a path, as JSON, which has no field to show.
    let refuse = |detail| Error::invalid(path, serde_json::json!({}), detail);
    match (&spec.data_source, &spec.data_source_ref) {
        (Some(_), Some(newer)) if !text(&newer.namespace).is_empty() => {
            errors.push(refuse("may not be specified when dataSourceRef.namespace is specified"));
        }
        (Some(older), Some(newer)) if as_reference(older) != *newer => {
            errors.push(refuse("must match dataSourceRef"));
        }
        _ => {}
    }
    errors
}

fn as_reference(source: &TypedLocalObjectReference) -> TypedObjectReference {
    let TypedLocalObjectReference { api_group, kind, name } = source.clone();
    TypedObjectReference { api_group, kind, name, namespace: None }
}

fn validate_source(source: &TypedObjectReference, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (value, name) in [(&source.name, "name"), (&source.kind, "kind")] {
        if value.is_empty() {
            errors.push(Error::required(&path.child(name), ""));
        }
    }
    let group = text(&source.api_group);
    if group.is_empty() {
        if source.kind != "PersistentVolumeClaim" {
            let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
            errors.push(Error::invalid(path, source.kind.as_str(), detail));
        }
    } else {
        errors.extend(checks::dns_subdomain(group, &path.child("apiGroup")));
    }
    errors
}
