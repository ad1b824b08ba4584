//! What a ReplicaSet lacks or has too much of. Pure.

use std::{sync::Arc, time::Duration};

use client::owner_reference;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{apps::v1::ReplicaSet, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use objects::pod;

use super::ranking;

/// At most so many pods are created or deleted in one go.
const BURST: usize = 500;
/// The longest prefix of a generated pod name.
const MAX_PREFIX: usize = 248;

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) replicas: Replicas,
    /// The pods that count, before the plan is applied.
    pub(super) active: Vec<Arc<Pod>>,
    /// Number of the set's pods that are being deleted.
    pub(super) terminating: usize,
    /// When the next pod may have been ready for long enough.
    pub(super) next_check: Option<Duration>,
}

#[derive(Debug)]
pub(super) enum Replicas {
    Enough,
    Create(usize),
    Delete(Vec<Arc<Pod>>),
}

/// Compares `set` with its `pods`; `related` are those of its siblings too. Unless `settled`, replicas are left alone.
pub(super) fn plan(
    set: &ReplicaSet,
    pods: Vec<Arc<Pod>>,
    related: &[Arc<Pod>],
    settled: bool,
    now: Timestamp,
) -> Plan {
    let terminating = pods.iter().filter(|pod| !pod::is_terminal(pod) && !pod::is_active(pod)).count();
    let active: Vec<Arc<Pod>> = pods.into_iter().filter(|pod| pod::is_active(pod)).collect();
    let replicas = match settled && set.metadata.deletion_timestamp.is_none() {
        true => replicas(wanted(set), &active, related, now),
        false => Replicas::Enough,
    };
    let next_check = next_check(set, &active, now);
    Plan { replicas, active, terminating, next_check }
}

/// The number of replicas asked for.
pub(super) fn wanted(set: &ReplicaSet) -> usize {
    let replicas = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    usize::try_from(replicas).unwrap_or(0)
}

fn replicas(wanted: usize, active: &[Arc<Pod>], related: &[Arc<Pod>], now: Timestamp) -> Replicas {
    if active.len() < wanted {
        Replicas::Create((wanted - active.len()).min(BURST))
    } else if active.len() > wanted {
        let mut pods = active.to_vec();
        ranking::sort(&mut pods, related, now);
        pods.truncate((active.len() - wanted).min(BURST));
        Replicas::Delete(pods)
    } else {
        Replicas::Enough
    }
}

fn next_check(set: &ReplicaSet, active: &[Arc<Pod>], now: Timestamp) -> Option<Duration> {
    let minimum = set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).filter(|seconds| *seconds > 0)?;
    let waiting = active.iter().filter(|pod| pod::is_ready(pod) && !pod::is_available(pod, minimum, now));
    let since =
        |pod: &Arc<Pod>| pod::condition(pod, "Ready").and_then(|ready| ready.last_transition_time.clone());
    let remaining = waiting.filter_map(|pod| {
        let available = since(pod)?.0 + SignedDuration::from_secs(minimum.into());
        Duration::try_from(available.duration_since(now)).ok()
    });
    remaining.min()
}

/// The pod that the set's template describes.
pub(super) fn pod(set: &ReplicaSet) -> Pod {
    let template = set.spec.as_ref().and_then(|spec| spec.template.clone()).unwrap_or_default();
    let meta = template.metadata.unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(prefix(set.metadata.name.as_deref().unwrap_or_default())),
            namespace: set.metadata.namespace.clone(),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![owner_reference(set)]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}

/// The name with a dash, unless that would leave no room for the generated part.
fn prefix(name: &str) -> String {
    match name.len() < MAX_PREFIX {
        true => format!("{name}-"),
        false => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::{apps::v1::ReplicaSetSpec, core::v1::PodStatus};

    use super::*;

    fn pods(phases: &[&str]) -> Vec<Arc<Pod>> {
        let pod = |phase: &&str| {
            let status = PodStatus { phase: Some((*phase).to_owned()), ..PodStatus::default() };
            Arc::new(Pod { status: Some(status), ..Pod::default() })
        };
        phases.iter().map(pod).collect()
    }

    fn check(wanted: i32, phases: &[&str], settled: bool, expected: &str) {
        let spec = ReplicaSetSpec { replicas: Some(wanted), ..ReplicaSetSpec::default() };
        let set = ReplicaSet { spec: Some(spec), ..ReplicaSet::default() };
        let plan = plan(&set, pods(phases), &[], settled, Timestamp::UNIX_EPOCH);
        let outcome = match plan.replicas {
            Replicas::Enough => "enough".to_owned(),
            Replicas::Create(count) => format!("create {count}"),
            Replicas::Delete(pods) => {
                let phases: Vec<&str> = pods.iter().map(|pod| pod::phase(pod)).collect();
                format!("delete {}", phases.join(" "))
            }
        };
        assert_eq!(outcome, expected);
    }

    #[test]
    fn the_difference_is_made_up() {
        check(3, &[], true, "create 3");
        check(3, &["Running"], true, "create 2");
        check(3, &["Running", "Failed", "Succeeded"], true, "create 2");
        check(1, &["Running"], true, "enough");
        check(1, &["Running", "Pending"], true, "delete Pending");
        check(1000, &[], true, "create 500");
    }

    #[test]
    fn nothing_is_done_while_the_cache_lags() {
        check(3, &[], false, "enough");
    }
}
