//! Whole plans of Deployments: one line of observed ReplicaSets in, one line of steps out.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use serde_json::{Value, json};

use super::{
    plan::{Plan, Step, plan},
    sets,
};

fn template(image: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": image}]},
    })
}

fn deployment(spec: Value) -> Deployment {
    let mut deployment = json!({
        "metadata": {"name": "web", "namespace": "ns", "uid": "web", "generation": 1},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": template("v2"),
            "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 1,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
        },
    });
    for (key, value) in spec.as_object().unwrap() {
        deployment["spec"][key] = value.clone();
    }
    serde_json::from_value(deployment).unwrap()
}

/// A set as `image replicas available`, sized for the Deployment's present size unless `@desired/max` follows.
fn set(deployment: &Deployment, number: usize, text: &str) -> Arc<ReplicaSet> {
    let words: Vec<&str> = text.split(' ').collect();
    let (replicas, available): (i32, i32) = (words[1].parse().unwrap(), words[2].parse().unwrap());
    let mut set: ReplicaSet = serde_json::from_value(json!({
        "metadata": {
            "name": format!("web-{}", words[0]), "namespace": "ns", "uid": words[0], "generation": 1,
            "creationTimestamp": Timestamp::from_second(1_000 + number as i64).unwrap(),
            "annotations": {"deployment.kubernetes.io/revision": (number + 1).to_string()},
        },
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template(words[0]),
        },
        "status": {
            "replicas": replicas, "readyReplicas": available, "availableReplicas": available,
            "observedGeneration": 1, "terminatingReplicas": 0,
        },
    }))
    .unwrap();
    sets::set_replicas_annotations(&mut set, deployment);
    if let Some((desired, max)) = words.get(3).and_then(|word| word.trim_start_matches('@').split_once('/')) {
        let annotations = set.metadata.annotations.as_mut().unwrap();
        annotations.insert("deployment.kubernetes.io/desired-replicas".into(), desired.into());
        annotations.insert("deployment.kubernetes.io/max-replicas".into(), max.into());
    }
    Arc::new(set)
}

fn plan_for(deployment: &Deployment, sets: &[&str], old_pods_run: bool) -> Plan {
    let sets: Vec<_> = sets.iter().enumerate().map(|(number, text)| set(deployment, number, text)).collect();
    plan(deployment, &sets, |_| old_pods_run, Timestamp::from_second(5_000).unwrap())
}

fn told(step: &Step) -> String {
    let name = |set: &ReplicaSet| set.metadata.name.clone().unwrap();
    match step {
        Step::Create(set) => format!("create {}", sets::replicas(set)),
        Step::Update { set, scaled: Some((from, to)) } => format!("{} {from}->{to}", name(set)),
        Step::Update { set, scaled: None } => format!("{} annotated", name(set)),
        Step::Delete(set) => format!("delete {}", name(set)),
    }
}

fn check(spec: Value, sets: &[&str], expected: &[&str]) {
    let plan = plan_for(&deployment(spec), sets, false);
    assert_eq!(plan.steps.iter().map(told).collect::<Vec<_>>(), expected);
}

#[test]
fn a_new_deployment_gets_its_set_at_full_size() {
    check(json!({"replicas": 3}), &[], &["create 3"]);
}

#[test]
fn a_rolling_update_grows_by_the_surge_and_shrinks_by_what_may_be_missing() {
    let spec = || json!({"replicas": 4});
    check(spec(), &["v1 4 4"], &["create 1", "web-v1 4->3"]);
    check(spec(), &["v1 3 3", "v2 1 0"], &["web-v2 1->2"]);
    check(spec(), &["v1 3 3", "v2 2 0"], &[]);
    check(spec(), &["v1 3 3", "v2 2 1"], &["web-v1 3->2"]);
    check(spec(), &["v1 0 0", "v2 4 4"], &[]);
}

#[test]
fn unhealthy_old_pods_go_first() {
    check(json!({"replicas": 4}), &["v0 2 0", "v1 2 2", "v2 1 1"], &["web-v0 2->0"]);
}

#[test]
fn recreation_starts_the_new_only_when_nothing_old_runs() {
    let spec = || json!({"replicas": 2, "strategy": {"type": "Recreate"}});
    check(spec(), &["v1 2 2"], &["web-v1 2->0"]);
    check(spec(), &["v1 0 0"], &["create 2"]);
    let waiting = plan_for(&deployment(spec()), &["v1 0 0"], true);
    assert!(waiting.steps.is_empty());
}

#[test]
fn a_change_of_size_during_a_rollout_keeps_proportions() {
    check(json!({"replicas": 20}), &["v1 8 8 @10/13", "v2 5 2 @10/13"], &["web-v1 8->15", "web-v2 5->10"]);
}

#[test]
fn a_paused_deployment_scales_and_does_not_roll() {
    check(json!({"replicas": 5, "paused": true}), &["v1 3 3"], &["web-v1 3->5"]);
}

#[test]
fn a_roll_back_raises_the_revision_of_the_old_set() {
    let plan = plan_for(&deployment(json!({"replicas": 2})), &["v2 2 2", "v3 0 0"], false);
    let Some(Step::Update { set, .. }) = plan.steps.first() else { panic!("{plan:?}") };
    let annotations = set.metadata.annotations.as_ref().unwrap();
    assert_eq!(annotations["deployment.kubernetes.io/revision"], "3");
    assert_eq!(annotations["deployment.kubernetes.io/revision-history"], "1");
}

#[test]
fn old_sets_beyond_the_history_limit_go_once_the_rollout_is_complete() {
    let mut complete = deployment(json!({"replicas": 1}));
    let sets = ["v0 0 0", "v1 0 0", "v2 1 1"];
    complete.status = plan_for(&complete, &sets, false).deployment.unwrap().status;
    let plan = plan_for(&complete, &sets, false);
    assert_eq!(plan.steps.iter().map(told).collect::<Vec<_>>(), ["delete web-v0"]);
    assert_eq!(plan.next_check, None);
}

/// Compares `type status reason` of the condition, starting from a status with `progress` reported at second 1000.
fn check_progress(sets: &[&str], progress: &str, expected: &str) {
    let mut observed = deployment(json!({"replicas": 2, "progressDeadlineSeconds": 60}));
    let condition = json!({
        "type": "Progressing", "status": "True", "reason": progress,
        "lastUpdateTime": "1970-01-01T00:16:40Z", "lastTransitionTime": "1970-01-01T00:16:40Z",
    });
    let status = json!({"conditions": [condition], "replicas": 2, "updatedReplicas": 2});
    observed.status = Some(serde_json::from_value(status).unwrap());
    let status = plan_for(&observed, sets, false).deployment.unwrap().status.unwrap();
    let condition = status.conditions.unwrap().into_iter().find(|one| one.type_ == "Progressing").unwrap();
    let told = format!(
        "{} {}: {}",
        condition.status,
        condition.reason.unwrap(),
        condition.message.unwrap_or_default()
    );
    assert_eq!(told, expected);
}

#[test]
fn progress_completion_and_the_deadline_are_told_in_upstreams_words() {
    check_progress(
        &["v2 2 1"],
        "NewReplicaSetCreated",
        "True ReplicaSetUpdated: ReplicaSet \"web-v2\" is progressing.",
    );
    check_progress(
        &["v2 2 2"],
        "ReplicaSetUpdated",
        "True NewReplicaSetAvailable: ReplicaSet \"web-v2\" has successfully progressed.",
    );
    check_progress(
        &["v2 2 0"],
        "ReplicaSetUpdated",
        "False ProgressDeadlineExceeded: ReplicaSet \"web-v2\" has timed out progressing.",
    );
}

#[test]
fn the_status_counts_and_shows_availability() {
    let status = plan_for(&deployment(json!({"replicas": 4})), &["v1 1 1", "v2 3 1"], false);
    let status = status.deployment.unwrap().status.unwrap();
    assert_eq!(
        (status.replicas, status.updated_replicas, status.available_replicas),
        (Some(4), Some(3), Some(2))
    );
    assert_eq!(status.unavailable_replicas, Some(3), "the new set grows to four at once");
    let available = status.conditions.unwrap().into_iter().find(|one| one.type_ == "Available").unwrap();
    assert_eq!(available.reason.as_deref(), Some("MinimumReplicasUnavailable"));
}
