//! Which pods go first when there are too many (upstream `ActivePodsWithRanks`).

use std::{
    cmp::{Ordering, Reverse},
    collections::HashMap,
    sync::Arc,
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use objects::pod;

/// Users mark pods that are cheaper or dearer to lose with this annotation.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Sorts `pods` so that those to be deleted come first. `related` are all pods of the same workload: of two pods the one
/// on the more crowded node goes.
pub(super) fn sort(pods: &mut [Arc<Pod>], related: &[Arc<Pod>], now: Timestamp) {
    let mut crowds: HashMap<&str, usize> = HashMap::new();
    for pod in related.iter().filter(|pod| pod::is_active(pod)) {
        *crowds.entry(pod::node_name(pod)).or_default() += 1;
    }
    pods.sort_by(|a, b| compare(a, b, &crowds, now));
}

fn compare(a: &Pod, b: &Pod, crowds: &HashMap<&str, usize>, now: Timestamp) -> Ordering {
    let early = |pod| {
        (
            !pod::node_name(pod).is_empty(),
            phase_order(pod::phase(pod)),
            pod::is_ready(pod),
            deletion_cost(pod),
            Reverse(crowds.get(pod::node_name(pod)).copied().unwrap_or(0)),
        )
    };
    early(a)
        .cmp(&early(b))
        .then_with(|| match pod::is_ready(a) && pod::is_ready(b) {
            true => by_age(ready_since(a), ready_since(b), a, b, now),
            false => Ordering::Equal,
        })
        .then_with(|| restarts(b).cmp(&restarts(a)))
        .then_with(|| by_age(created(a), created(b), a, b, now))
}

fn phase_order(phase: &str) -> u8 {
    match phase {
        "Unknown" => 1,
        "Running" => 2,
        _ => 0,
    }
}

fn deletion_cost(pod: &Pod) -> i32 {
    let annotations = pod.metadata.annotations.as_ref();
    annotations.and_then(|all| all.get(DELETION_COST)).and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

fn ready_since(pod: &Pod) -> Option<Timestamp> {
    pod::condition(pod, "Ready")?.last_transition_time.as_ref().map(|time| time.0)
}

fn created(pod: &Pod) -> Option<Timestamp> {
    pod.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

/// Without a time first, then the younger. Ages are compared by their order of magnitude, so that among pods of about the
/// same age chance (the UID) decides and not who was started a second later.
fn by_age(
    a_time: Option<Timestamp>,
    b_time: Option<Timestamp>,
    a: &Pod,
    b: &Pod,
    now: Timestamp,
) -> Ordering {
    if a_time == b_time {
        return Ordering::Equal;
    }
    let (Some(a_time), Some(b_time)) = (a_time, b_time) else {
        return a_time.is_some().cmp(&b_time.is_some());
    };
    let magnitude = |time| now.duration_since(time).as_nanos().max(1).ilog2();
    magnitude(a_time).cmp(&magnitude(b_time)).then_with(|| a.metadata.uid.cmp(&b.metadata.uid))
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    statuses.into_iter().flatten().map(|status| status.restart_count).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        api::core::v1::{PodCondition, PodSpec, PodStatus},
        apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
    };

    use super::*;

    /// A pod as `name node phase ready age-in-seconds cost`.
    fn pod(text: &str) -> Arc<Pod> {
        let [name, node, phase, ready, age, cost] = text.split(' ').collect::<Vec<_>>()[..] else {
            panic!("six words: {text}")
        };
        let since = Some(Time(Timestamp::from_second(1_000_000 - age.parse::<i64>().unwrap()).unwrap()));
        let condition = PodCondition {
            type_: "Ready".into(),
            status: ready.into(),
            last_transition_time: since.clone(),
            ..PodCondition::default()
        };
        Arc::new(Pod {
            metadata: ObjectMeta {
                name: Some(name.into()),
                uid: Some(name.into()),
                creation_timestamp: since,
                annotations: Some([(DELETION_COST.into(), cost.into())].into()),
                ..ObjectMeta::default()
            },
            spec: Some(PodSpec { node_name: Some(node.trim_matches('-').into()), ..PodSpec::default() }),
            status: Some(PodStatus {
                phase: Some(phase.into()),
                conditions: Some(vec![condition]),
                ..PodStatus::default()
            }),
        })
    }

    fn check(pods: &[&str], expected: &[&str]) {
        let mut pods: Vec<Arc<Pod>> = pods.iter().map(|text| pod(text)).collect();
        let related = pods.clone();
        sort(&mut pods, &related, Timestamp::from_second(1_000_000).unwrap());
        let names: Vec<&str> = pods.iter().map(|pod| pod.metadata.name.as_deref().unwrap()).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn the_least_useful_pods_go_first() {
        check(
            &[
                "old a Running True 10000 0",
                "dear b Running True 10 5",
                "young b Running True 10 0",
                "unready a Running False 10000 0",
                "pending a Pending False 10000 0",
                "unassigned - Pending False 10000 0",
            ],
            &["unassigned", "pending", "unready", "old", "young", "dear"],
        );
    }

    #[test]
    fn of_pods_on_equally_crowded_nodes_the_younger_goes() {
        check(&["old a Running True 10000 0", "young b Running True 10 0"], &["young", "old"]);
    }
}
