//! Metadata as kinds check it: by the kind's own rule for names, and with the finalizers that Kubernetes knows (upstream:
//! `ValidateObjectMeta` and `ValidateObjectMetaUpdate` of `pkg/apis/core/validation`).
//!
//! A new object's metadata is checked by [`crate::Descriptor`]; on update each kind says itself what it checks again and
//! when, since clients see the errors in that order.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;

use crate::kind::Kind;

const STANDARD_FINALIZERS: &[&str] =
    &["kubernetes", meta::FINALIZER_ORPHAN, meta::FINALIZER_FOREGROUND_DELETION];

/// The metadata of an object, new or not.
pub(crate) fn metadata<T: Kind>(object: &T) -> ErrorList {
    let meta = object.metadata();
    let mut errors =
        meta::validate_object_meta(meta, T::NAMESPACED, T::validate_name, &Path::new("metadata"));
    errors.extend(finalizers::<T>(meta));
    errors
}

/// What an update may not change in the metadata.
pub(crate) fn metadata_update<T: Kind>(new: &T, old: &T) -> ErrorList {
    let meta = new.metadata();
    let mut errors = meta::validate_object_meta_update(meta, old.metadata(), &Path::new("metadata"));
    errors.extend(finalizers::<T>(meta));
    errors
}

/// Puts back what an update of the status may not touch (upstream: `ResetObjectMetaForStatus`).
pub(crate) fn keep_metadata(new: &mut ObjectMeta, old: &ObjectMeta) {
    new.deletion_timestamp.clone_from(&old.deletion_timestamp);
    new.labels.clone_from(&old.labels);
    new.annotations.clone_from(&old.annotations);
    new.finalizers.clone_from(&old.finalizers);
    new.owner_references.clone_from(&old.owner_references);
}

/// A finalizer without a domain is one of Kubernetes' own.
pub(crate) fn kube_finalizer(name: &str, path: &Path) -> Option<Error> {
    let detail = "name is neither a standard finalizer name nor is it fully qualified";
    let is_known = name.contains('/') || STANDARD_FINALIZERS.contains(&name);
    (!is_known).then(|| Error::invalid(path, name, detail))
}

fn finalizers<T: Kind>(meta: &ObjectMeta) -> ErrorList {
    if !T::CHECKS_FINALIZERS {
        return vec![];
    }
    let path = Path::new("metadata.finalizers");
    let names = meta.finalizers.iter().flatten().enumerate();
    names.filter_map(|(index, name)| kube_finalizer(name, &path.index(index))).collect()
}
