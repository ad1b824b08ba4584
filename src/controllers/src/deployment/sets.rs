//! Questions and changes to a Deployment's ReplicaSets: template, revision, annotations (upstream `deployment/util`).

use std::cmp::Ordering;

use client::owner_reference;
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, ReplicaSet, ReplicaSetSpec},
        core::v1::PodTemplateSpec,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::sizes;

/// Label that tells the pods of one template from those of another.
pub(super) const HASH_LABEL: &str = "pod-template-hash";
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";
/// What is the Deployment's or the ReplicaSet's own and never copied.
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];
/// The revision history annotation never gets longer.
const MAX_HISTORY_LENGTH: usize = 2000;
const MAX_NAME_LENGTH: usize = 253;

/// The number of replicas a set asks for.
pub(super) fn replicas(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// The number of available replicas a set reports.
pub(super) fn available(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
}

/// Older first, then by name.
pub(super) fn by_age(a: &ReplicaSet, b: &ReplicaSet) -> Ordering {
    let created = |set: &ReplicaSet| set.metadata.creation_timestamp.as_ref().map(|time| time.0);
    created(a).cmp(&created(b)).then_with(|| a.metadata.name.cmp(&b.metadata.name))
}

/// Whether `set` was made from the present template, its hash label aside.
pub(super) fn has_template_of(set: &ReplicaSet, deployment: &Deployment) -> bool {
    let template = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
    let wanted = deployment.spec.as_ref().map(|spec| &spec.template);
    match (template, wanted) {
        (Some(template), Some(wanted)) => without_hash(template) == without_hash(wanted),
        _ => false,
    }
}

fn without_hash(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = template.clone();
    let meta = template.metadata.get_or_insert_default();
    if let Some(labels) = &mut meta.labels {
        labels.remove(HASH_LABEL);
    }
    template
}

/// The set for the present template, without size and annotations.
pub(super) fn build(deployment: &Deployment) -> ReplicaSet {
    let spec = deployment.spec.clone().unwrap_or_default();
    let collisions = deployment.status.as_ref().and_then(|status| status.collision_count);
    let hash = template_hash(&spec.template, collisions);
    let mut template = spec.template;
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(HASH_LABEL.into(), hash.clone());
    let labels = labels.clone();
    let mut selector = spec.selector;
    selector.match_labels.get_or_insert_default().insert(HASH_LABEL.into(), hash.clone());
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some(name(deployment.metadata.name.as_deref().unwrap_or_default(), &hash)),
            namespace: deployment.metadata.namespace.clone(),
            owner_references: Some(vec![owner_reference(deployment)]),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            min_ready_seconds: spec.min_ready_seconds,
            selector,
            template: Some(template),
            ..ReplicaSetSpec::default()
        }),
        status: None,
    }
}

/// `name-hash`, the name cut where that would be too long.
fn name(deployment: &str, hash: &str) -> String {
    let room = MAX_NAME_LENGTH - 1 - hash.len();
    format!("{}-{hash}", deployment.get(..room).unwrap_or(deployment))
}

/// A short text that differs between templates; a collision found before makes it differ from the last one.
fn template_hash(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    let bytes = serde_json::to_vec(template).expect("a pod template is plain data");
    let salt = collisions.map(i32::to_le_bytes);
    let hash = bytes
        .iter()
        .chain(salt.iter().flatten())
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    safe_encode(&hash.to_string())
}

/// Spells digits with letters and digits that form no words (upstream `rand.SafeEncodeString`).
fn safe_encode(text: &str) -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    text.bytes().map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()])).collect()
}

/// The text of the revision annotation.
pub(super) fn revision_of(meta: &ObjectMeta) -> Option<&str> {
    meta.annotations.as_ref()?.get(REVISION).map(String::as_str)
}

pub(super) fn set_revision(deployment: &mut Deployment, revision: Option<String>) {
    deployment
        .metadata
        .annotations
        .get_or_insert_default()
        .insert(REVISION.into(), revision.unwrap_or_default());
}

/// The revision as a number; a set without one, or with nonsense, has 0.
pub(super) fn revision(set: &ReplicaSet) -> i64 {
    revision_of(&set.metadata).and_then(|text| text.parse().ok()).unwrap_or(0)
}

pub(super) fn max_revision(sets: &[ReplicaSet]) -> i64 {
    sets.iter().map(revision).max().unwrap_or(0)
}

/// Copies the Deployment's annotations and raises the revision to `newest`; tells whether anything changed.
pub(super) fn annotate(set: &mut ReplicaSet, deployment: &Deployment, newest: i64) -> bool {
    let before = set.metadata.annotations.clone().unwrap_or_default();
    let annotations = set.metadata.annotations.get_or_insert_default();
    for (key, value) in deployment.metadata.annotations.iter().flatten() {
        if !NOT_COPIED.contains(&key.as_str()) {
            annotations.insert(key.clone(), value.clone());
        }
    }
    let text = annotations.get(REVISION).cloned();
    let present =
        text.as_deref().map_or(Ok(0), |text| if text.is_empty() { Ok(0) } else { text.parse::<i64>() });
    if let Ok(present) = present
        && present < newest
    {
        annotations.insert(REVISION.into(), newest.to_string());
        if let Some(text) = text {
            let history = annotations.entry(REVISION_HISTORY.into()).or_default();
            *history = with_history(history, &text);
        }
    }
    *annotations != before
}

/// Appends `revision` to the list of those a set served before; the oldest go where it gets too long.
fn with_history(history: &str, revision: &str) -> String {
    let mut revisions: Vec<&str> = history.split(',').filter(|one| !one.is_empty()).collect();
    revisions.push(revision);
    let length =
        |revisions: &[&str]| revisions.iter().map(|one| one.len() + 1).sum::<usize>().saturating_sub(1);
    while revisions.len() > 1 && length(&revisions) > MAX_HISTORY_LENGTH {
        revisions.remove(0);
    }
    revisions.join(",")
}

/// The Deployment's size that the set was last sized for.
pub(super) fn desired_annotation(set: &ReplicaSet) -> Option<i32> {
    number_annotation(set, DESIRED_REPLICAS)
}

/// The largest number of pods that the Deployment allowed when the set was last sized.
pub(super) fn max_annotation(set: &ReplicaSet) -> Option<i32> {
    number_annotation(set, MAX_REPLICAS)
}

fn number_annotation(set: &ReplicaSet, key: &str) -> Option<i32> {
    let number = set.metadata.annotations.as_ref()?.get(key)?.parse::<i32>().ok()?;
    (number >= 0).then_some(number)
}

/// Notes the Deployment's present size on the set; tells whether that changed anything.
pub(super) fn set_replicas_annotations(set: &mut ReplicaSet, deployment: &Deployment) -> bool {
    let wanted = sizes::wanted(deployment);
    let most = wanted + sizes::max_surge(deployment);
    let annotations = set.metadata.annotations.get_or_insert_default();
    let mut changed = false;
    for (key, number) in [(DESIRED_REPLICAS, wanted), (MAX_REPLICAS, most)] {
        let text = number.to_string();
        changed |= annotations.insert(key.into(), text.clone()) != Some(text);
    }
    changed
}
