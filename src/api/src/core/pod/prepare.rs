//! What becomes of a new pod before it is validated (upstream: `podStrategy.PrepareForCreate`,
//! `DropDisabledPodFields`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, Lifecycle, PodAffinityTerm, PodCondition, PodSchedulingGate, PodSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use k8s_openapi::jiff::Timestamp;
use machinery::meta;

use super::ephemeral::with_container;

/// Fields whose feature is off by default in this version are not stored.
pub(super) fn drop_disabled(spec: &mut PodSpec) {
    spec.scheduling_group = None;
    let drop = |container: &mut Container| {
        let had_signal = container.lifecycle.as_mut().and_then(|of| of.stop_signal.take()).is_some();
        if had_signal && container.lifecycle == Some(Lifecycle::default()) {
            container.lifecycle = None;
        }
    };
    spec.init_containers.iter_mut().flatten().chain(&mut spec.containers).for_each(drop);
    for ephemeral in spec.ephemeral_containers.iter_mut().flatten() {
        with_container(ephemeral, drop);
    }
    let projected = spec.volumes.iter_mut().flatten().filter_map(|volume| volume.projected.as_mut());
    for source in projected.flat_map(|projected| projected.sources.iter_mut().flatten()) {
        source.cluster_trust_bundle = None;
        source.pod_certificate = None;
    }
}

/// Merges `matchLabelKeys` and `mismatchLabelKeys` into the selectors they stand beside, with the pod's own labels.
pub(super) fn merge_label_keys(spec: &mut PodSpec, labels: Option<&BTreeMap<String, String>>) {
    let Some(labels) = labels else { return };
    if let Some(affinity) = &mut spec.affinity {
        let with = affinity.pod_affinity.as_mut();
        let with = with.map(|with| {
            (
                &mut with.required_during_scheduling_ignored_during_execution,
                &mut with.preferred_during_scheduling_ignored_during_execution,
            )
        });
        let against = affinity.pod_anti_affinity.as_mut();
        let against = against.map(|against| {
            (
                &mut against.required_during_scheduling_ignored_during_execution,
                &mut against.preferred_during_scheduling_ignored_during_execution,
            )
        });
        for (required, preferred) in with.into_iter().chain(against) {
            let preferred = preferred.iter_mut().flatten().map(|weighted| &mut weighted.pod_affinity_term);
            required.iter_mut().flatten().chain(preferred).for_each(|term| merge_into_term(term, labels));
        }
    }
    for constraint in spec.topology_spread_constraints.iter_mut().flatten() {
        merge(constraint.label_selector.as_mut(), constraint.match_label_keys.as_deref(), "In", labels);
    }
}

fn merge_into_term(term: &mut PodAffinityTerm, labels: &BTreeMap<String, String>) {
    merge(term.label_selector.as_mut(), term.match_label_keys.as_deref(), "In", labels);
    merge(term.label_selector.as_mut(), term.mismatch_label_keys.as_deref(), "NotIn", labels);
}

fn merge(
    selector: Option<&mut LabelSelector>,
    keys: Option<&[String]>,
    operator: &str,
    labels: &BTreeMap<String, String>,
) {
    let (Some(selector), Some(keys)) = (selector, keys) else { return };
    let requirement = |key: &String| {
        let values = Some(vec![labels.get(key)?.clone()]);
        Some(LabelSelectorRequirement { key: key.clone(), operator: operator.to_owned(), values })
    };
    let requirements: Vec<_> = keys.iter().filter_map(requirement).collect();
    if !requirements.is_empty() {
        selector.match_expressions.get_or_insert_default().extend(requirements);
    }
}

/// A pod with gates says from the start that it is not to be scheduled yet.
pub(super) fn gated_condition(gates: &[PodSchedulingGate], now: Timestamp) -> Option<PodCondition> {
    (!gates.is_empty()).then(|| PodCondition {
        type_: "PodScheduled".to_owned(),
        status: "False".to_owned(),
        reason: Some("SchedulingGated".to_owned()),
        message: Some("Scheduling is blocked due to non-empty scheduling gates".to_owned()),
        last_transition_time: Some(meta::whole_seconds(now)),
        ..Default::default()
    })
}
