//! The template of pods that controllers make: what ReplicaSet and Deployment share with Pod (upstream:
//! `ValidatePodTemplateSpec`).

use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;

use super::{defaults, prepare, validate, warnings};

/// Fills in what the template leaves out. What only a pod has (service links, requests from limits) stays open.
pub(crate) fn set_defaults(template: &mut PodTemplateSpec) {
    defaults::set_spec(template.spec.get_or_insert_default());
}

/// Drops what this version does not store.
pub(crate) fn prepare(template: &mut PodTemplateSpec) {
    prepare::drop_disabled(template.spec.get_or_insert_default());
}

/// Errors of a template at `path`.
pub(crate) fn validate(template: &PodTemplateSpec, path: &Path) -> ErrorList {
    let unset = PodSpec::default();
    let spec = template.spec.as_ref().unwrap_or(&unset);
    let metadata = template.metadata.clone().unwrap_or_default();
    let mut errors = meta::validate_labels(metadata.labels.as_ref(), &path.child("labels"));
    let annotations = path.child("annotations");
    errors.extend(meta::validate_annotations(metadata.annotations.as_ref(), &annotations));
    errors.extend(validate::annotations(metadata.annotations.as_ref(), spec, &annotations));
    errors.extend(validate::validate_spec(spec, None, &path.child("spec"), validate::Of::Template));
    if spec.ephemeral_containers.as_ref().is_some_and(|containers| !containers.is_empty()) {
        let path = path.child("spec.ephemeralContainers");
        errors.push(Error::forbidden(&path, "ephemeral containers not allowed in pod template"));
    }
    errors
}

/// Warnings about a template at `path`.
pub(crate) fn warnings(template: &PodTemplateSpec, path: &Path) -> Vec<String> {
    let metadata = template.metadata.clone().unwrap_or_default();
    let spec = template.spec.as_ref();
    spec.map(|spec| warnings::of(&metadata, spec, path)).unwrap_or_default()
}
