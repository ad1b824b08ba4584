//! What an update of a pod may change (upstream: `ValidatePodUpdate`).

use k8s_openapi::api::core::v1::{
    Affinity, Container, NodeAffinity, NodeSelectorTerm, Pod, PodSpec, Toleration,
};
use machinery::field::{Error, ErrorList, Path};
use machinery::names;
use serde::Serialize;

use super::validate::{Allowed, annotations_update, validate_pod, validate_tolerations};
use super::{SPEC, spec_of};
use crate::checks::{self, text};

const MAY_CHANGE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub(super) fn validate(new: &Pod, old: &Pod) -> ErrorList {
    let (spec, old_spec) = (spec_of(new), spec_of(old));
    let path = Path::new("spec");
    let allowed = Allowed::by(&old.metadata, old_spec);
    let mut errors = validate_whole(new, old, &allowed);
    let init = |spec: &PodSpec| spec.init_containers.clone().unwrap_or_default();
    let lists = [
        ("containers", spec.containers.clone(), old_spec.containers.len()),
        ("initContainers", init(spec), init(old_spec).len()),
    ];
    for (name, containers, count) in lists {
        let path = path.child(name);
        if containers.len() != count {
            errors.push(Error::forbidden(&path, "pod updates may not add or remove containers"));
            return errors;
        }
        errors.extend(validate_images(&containers, &path));
    }
    if let Some(error) = validate_deadline(spec, old_spec, &path.child("activeDeadlineSeconds")) {
        errors.push(error);
        if spec.active_deadline_seconds.is_some() {
            return errors;
        }
    }
    errors.extend(validate_only_added(spec, old_spec, &allowed, &path.child("tolerations")));
    errors.extend(validate_only_opened(spec, old_spec, &path.child("schedulingGates")));
    errors.extend(validate_rest(spec, old_spec, &path));
    errors
}

/// Errors of the pod as it is to be, and of changes to its metadata.
fn validate_whole(new: &Pod, old: &Pod, allowed: &Allowed) -> ErrorList {
    let spec = spec_of(new);
    let mut errors = checks::metadata_update(new, old);
    errors.extend(checks::metadata(new));
    errors.extend(validate_pod(&new.metadata, spec, allowed, &Path::new("spec")));
    let (annotations, old_annotations) =
        (new.metadata.annotations.as_ref(), old.metadata.annotations.as_ref());
    let path = Path::new("metadata.annotations");
    errors.extend(annotations_update(annotations, old_annotations, spec, allowed, &path));
    errors
}

/// Containers for debugging may be added, and then stay as they are (upstream: `ValidatePodEphemeralContainersUpdate`).
pub(super) fn validate_ephemeral_containers(new: &Pod, old: &Pod) -> ErrorList {
    const CONTAINER: &str = "io.k8s.api.core.v1.EphemeralContainer";
    let is_mirror =
        old.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(super::validate::MIRROR));
    if is_mirror {
        return vec![Error::forbidden(&Path::new(""), "static pods do not support ephemeral containers")];
    }
    let (spec, old_spec) = (spec_of(new), spec_of(old));
    let mut errors = validate_whole(new, old, &Allowed::by(&old.metadata, old_spec));
    let path = Path::new("spec.ephemeralContainers");
    for old in old_spec.ephemeral_containers.iter().flatten() {
        let name = &old.name;
        let kept = spec.ephemeral_containers.iter().flatten().rfind(|container| container.name == *name);
        let what = match kept {
            None => format!("existing ephemeral containers {name:?} may not be removed\n"),
            Some(kept) if !checks::same(CONTAINER, kept, old) => {
                let difference = difference(kept, old);
                format!("existing ephemeral containers {name:?} may not be changed\n{difference}")
            }
            Some(_) => continue,
        };
        errors.push(Error::forbidden(&path, what));
    }
    errors
}

fn validate_images(containers: &[Container], path: &Path) -> ErrorList {
    let empty = containers.iter().enumerate().filter(|(_, container)| text(&container.image).is_empty());
    empty.map(|(index, _)| Error::required(&path.index(index).child("image"), "")).collect()
}

/// A deadline may be set once and then only be moved forward.
fn validate_deadline(new: &PodSpec, old: &PodSpec, path: &Path) -> Option<Error> {
    match (new.active_deadline_seconds, old.active_deadline_seconds) {
        (Some(seconds), _) if !(0..=i64::from(i32::MAX)).contains(&seconds) => {
            Some(Error::invalid(path, seconds, names::inclusive_range(0, i32::MAX.into())))
        }
        (Some(seconds), Some(old)) if old < seconds => {
            Some(Error::invalid(path, seconds, "must be less than or equal to previous value"))
        }
        (None, Some(_)) => {
            Some(Error::invalid(path, (), "must not update from a positive integer to nil value"))
        }
        _ => None,
    }
}

fn validate_only_added(new: &PodSpec, old: &PodSpec, allowed: &Allowed, path: &Path) -> ErrorList {
    let (new, old) = (new.tolerations.as_deref(), old.tolerations.as_deref());
    let (new, old) = (new.unwrap_or_default(), old.unwrap_or_default());
    let is_kept = |old: &Toleration| {
        new.iter().any(|new| *new == Toleration { toleration_seconds: new.toleration_seconds, ..old.clone() })
    };
    if !old.iter().all(is_kept) {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        return vec![Error::forbidden(path, detail)];
    }
    validate_tolerations(new, allowed, path)
}

fn validate_only_opened(new: &PodSpec, old: &PodSpec, path: &Path) -> ErrorList {
    let old = old.scheduling_gates.as_deref().unwrap_or_default();
    let new = new.scheduling_gates.as_deref().unwrap_or_default();
    // Of gates of one name the last one is told.
    let is_last = |index: usize, gate| !new[index + 1..].contains(gate);
    let added = new.iter().enumerate().filter(|(index, gate)| !old.contains(gate) && is_last(*index, gate));
    added
        .map(|(index, gate)| {
            let detail = format!("only deletion is allowed, but found new scheduling gate '{}'", gate.name);
            Error::forbidden(&path.index(index).child("name"), detail)
        })
        .collect()
}

/// Undoes every change that is allowed; what then differs is not.
fn validate_rest(new: &PodSpec, old: &PodSpec, path: &Path) -> ErrorList {
    if checks::same(SPEC, new, old) {
        return vec![];
    }
    let mut munged = new.clone();
    take_images(&mut munged.containers, &old.containers);
    if let (Some(new), Some(old)) = (&mut munged.init_containers, &old.init_containers) {
        take_images(new, old);
    }
    munged.active_deadline_seconds = old.active_deadline_seconds;
    munged.scheduling_gates = old.scheduling_gates.clone();
    munged.tolerations = old.tolerations.clone();
    let was_negative = old.termination_grace_period_seconds.is_some_and(|seconds| seconds < 0);
    if was_negative && munged.termination_grace_period_seconds == Some(1) {
        munged.termination_grace_period_seconds = old.termination_grace_period_seconds;
    }
    let mut errors = ErrorList::new();
    if old.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()) {
        errors.extend(narrow(&mut munged, old, path));
    }
    if !checks::same(SPEC, &munged, old) {
        let difference = difference(&munged, old);
        let detail = format!("pod updates may not change fields other than {MAY_CHANGE}\n{difference}");
        errors.push(Error::forbidden(path, detail));
    }
    errors
}

fn take_images(new: &mut [Container], old: &[Container]) {
    for (new, old) in new.iter_mut().zip(old) {
        new.image.clone_from(&old.image);
    }
}

/// A gated pod may still narrow the choice of its node.
fn narrow(munged: &mut PodSpec, old: &PodSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let unset = Default::default();
    let selector = munged.node_selector.as_ref().unwrap_or(&unset);
    let widened = old.node_selector.iter().flatten().any(|(key, value)| selector.get(key) != Some(value));
    if widened {
        let value = munged.node_selector.clone();
        let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        errors.push(Error::invalid(&path.child("nodeSelector"), value, detail));
    }
    munged.node_selector = old.node_selector.clone();
    let of =
        |affinity: &Option<Affinity>| affinity.as_ref().and_then(|affinity| affinity.node_affinity.clone());
    let (new_affinity, old_affinity) = (of(&munged.affinity), of(&old.affinity));
    if new_affinity != old_affinity {
        let path = path.child("affinity.nodeAffinity");
        errors.extend(validate_narrowed(new_affinity.as_ref(), old_affinity.as_ref(), &path));
        let mut affinity = munged.affinity.take().unwrap_or_default();
        affinity.node_affinity = old_affinity;
        munged.affinity = (affinity != Affinity::default() || old.affinity.is_some()).then_some(affinity);
    }
    errors
}

fn validate_narrowed(new: Option<&NodeAffinity>, old: Option<&NodeAffinity>, path: &Path) -> ErrorList {
    let terms = |affinity: Option<&NodeAffinity>| {
        let required = affinity?.required_during_scheduling_ignored_during_execution.as_ref()?;
        Some(required.node_selector_terms.clone())
    };
    let path = path.child("requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms");
    let (new, old) = (terms(new).unwrap_or_default(), terms(old).unwrap_or_default());
    if old.is_empty() {
        return vec![];
    }
    if new.len() != old.len() {
        let detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        return vec![Error::invalid(&path, new, detail)];
    }
    let pairs = new.iter().zip(&old).enumerate();
    let widened = pairs.filter(|(_, (new, old))| !only_adds(new, old));
    let detail = "only additions are allowed (no mutations or deletions)";
    widened.map(|(index, (new, _))| Error::invalid(&path.index(index), new, detail)).collect()
}

fn only_adds(new: &NodeSelectorTerm, old: &NodeSelectorTerm) -> bool {
    let list = |list: &Option<Vec<_>>| list.clone().unwrap_or_default();
    list(&new.match_expressions).starts_with(&list(&old.match_expressions))
        && list(&new.match_fields).starts_with(&list(&old.match_fields))
}

/// The fields that differ, before and after.
fn difference<T: Serialize>(new: &T, old: &T) -> String {
    let fields = |of: &T| match serde_json::to_value(of) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (new, old) = (fields(new), fields(old));
    let names: std::collections::BTreeSet<&String> = new.keys().chain(old.keys()).collect();
    let changed = names.into_iter().filter(|name| new.get(*name) != old.get(*name));
    let line = |sign: char, name: &str, value: Option<&serde_json::Value>| {
        value.map(|value| format!("{sign} {name}: {value}\n")).unwrap_or_default()
    };
    changed.map(|name| line('-', name, old.get(name)) + &line('+', name, new.get(name))).collect()
}
