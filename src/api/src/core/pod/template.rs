//! The template of pods that controllers make: what ReplicaSet and Deployment share with Pod (upstream:
//! `ValidatePodTemplateSpec`).

use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;

use super::validate::Allowed;
use super::{defaults, prepare, validate, warnings};

/// Fills in what the template leaves out. What only a pod has (service links, requests from limits) stays open.
pub(crate) fn set_defaults(template: &mut PodTemplateSpec) {
    template.metadata.iter_mut().for_each(drop_annotations);
    defaults::set_spec(template.spec.get_or_insert_default());
}

/// Init containers by annotation, which older kubelets would take for the field.
pub(super) fn drop_annotations(metadata: &mut ObjectMeta) {
    const GONE: &[&str] = &[
        "pod.beta.kubernetes.io/init-containers",
        "pod.alpha.kubernetes.io/init-containers",
        "pod.beta.kubernetes.io/init-container-statuses",
        "pod.alpha.kubernetes.io/init-container-statuses",
    ];
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|key, _| !GONE.contains(&key.as_str()));
    }
}

/// Drops what this version does not store.
pub(crate) fn prepare(template: &mut PodTemplateSpec) {
    prepare::drop_disabled(template.spec.get_or_insert_default());
}

/// Errors of a template at `path`, which replaces `old` if it is an update.
pub(crate) fn validate(template: &PodTemplateSpec, old: Option<&PodTemplateSpec>, path: &Path) -> ErrorList {
    let unset = PodSpec::default();
    let spec = template.spec.as_ref().unwrap_or(&unset);
    let metadata = template.metadata.clone().unwrap_or_default();
    let allowed = old.map(allowed_by).unwrap_or_default();
    let mut errors = meta::validate_labels(metadata.labels.as_ref(), &path.child("labels"));
    let annotations = path.child("annotations");
    errors.extend(meta::validate_annotations(metadata.annotations.as_ref(), &annotations));
    errors.extend(validate::annotations(metadata.annotations.as_ref(), spec, &allowed, &annotations));
    errors.extend(validate::validate_spec(spec, &allowed, &path.child("spec"), validate::Of::Template));
    if spec.ephemeral_containers.as_ref().is_some_and(|containers| !containers.is_empty()) {
        let path = path.child("spec.ephemeralContainers");
        errors.push(Error::forbidden(&path, "ephemeral containers not allowed in pod template"));
    }
    errors
}

fn allowed_by(old: &PodTemplateSpec) -> Allowed {
    let (metadata, spec) = (old.metadata.clone().unwrap_or_default(), old.spec.clone().unwrap_or_default());
    Allowed::by(&metadata, &spec)
}

/// Warnings about a template at `path`.
pub(crate) fn warnings(template: &PodTemplateSpec, path: &Path) -> Vec<String> {
    let metadata = template.metadata.clone().unwrap_or_default();
    let spec = template.spec.as_ref();
    spec.map(|spec| warnings::of(&metadata, spec, path)).unwrap_or_default()
}
