//! The status of a ReplicaSet. Pure.

use jiff::Timestamp;
use k8s_openapi::{
    api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use objects::pod;

use super::plan::{Plan, wanted};

const REPLICA_FAILURE: &str = "ReplicaFailure";

/// The status after `plan` was carried out, with the reason why that failed if it did.
pub(super) fn calculate(
    set: &ReplicaSet,
    plan: &Plan,
    failure: Option<String>,
    now: Timestamp,
) -> ReplicaSetStatus {
    let spec = set.spec.clone().unwrap_or_default();
    let template_labels = spec.template.and_then(|template| template.metadata?.labels).unwrap_or_default();
    let fully_labelled = |meta: &ObjectMeta| {
        let labels = meta.labels.as_ref();
        template_labels.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
    };
    let minimum = spec.min_ready_seconds.unwrap_or(0);
    let count = |matches: &dyn Fn(&k8s_openapi::api::core::v1::Pod) -> bool| {
        let count = plan.active.iter().filter(|pod| matches(pod)).count();
        number(count)
    };
    ReplicaSetStatus {
        replicas: number(plan.active.len()),
        fully_labeled_replicas: Some(count(&|pod| fully_labelled(&pod.metadata))).filter(|count| *count != 0),
        ready_replicas: Some(count(&|pod| pod::is_ready(pod))).filter(|count| *count != 0),
        available_replicas: Some(count(&|pod| pod::is_available(pod, minimum, now)))
            .filter(|count| *count != 0),
        terminating_replicas: Some(number(plan.terminating)),
        observed_generation: set.metadata.generation,
        conditions: conditions(set, plan, failure, now),
    }
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The present conditions with ReplicaFailure added, kept as it was, or removed.
fn conditions(
    set: &ReplicaSet,
    plan: &Plan,
    failure: Option<String>,
    now: Timestamp,
) -> Option<Vec<ReplicaSetCondition>> {
    let mut conditions = set.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let known = conditions.iter().any(|condition| condition.type_ == REPLICA_FAILURE);
    match failure {
        None => conditions.retain(|condition| condition.type_ != REPLICA_FAILURE),
        Some(_) if known => {}
        Some(message) => conditions.push(ReplicaSetCondition {
            type_: REPLICA_FAILURE.into(),
            status: "True".into(),
            last_transition_time: Some(Time(now)),
            reason: Some(
                if plan.active.len() < wanted(set) { "FailedCreate" } else { "FailedDelete" }.into(),
            ),
            message: Some(message),
        }),
    }
    (!conditions.is_empty()).then_some(conditions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replicaset::plan::Replicas;

    fn check(known: bool, failure: Option<&str>, expected: Option<&str>) {
        let plan = Plan { replicas: Replicas::Enough, active: Vec::new(), terminating: 0, next_check: None };
        let mut set = ReplicaSet::default();
        if known {
            let status = calculate(&set, &plan, Some("first".into()), Timestamp::UNIX_EPOCH);
            set.status = Some(status);
        }
        let status = calculate(&set, &plan, failure.map(Into::into), Timestamp::UNIX_EPOCH);
        let condition = status.conditions.map(|mut conditions| conditions.remove(0));
        let outcome = condition.map(|condition| {
            format!("{} {}", condition.reason.unwrap_or_default(), condition.message.unwrap_or_default())
        });
        assert_eq!(outcome.as_deref(), expected);
    }

    #[test]
    fn a_failure_is_shown_while_it_lasts_and_keeps_its_first_message() {
        check(false, None, None);
        check(false, Some("quota"), Some("FailedCreate quota"));
        check(true, Some("quota"), Some("FailedCreate first"));
        check(true, None, None);
    }
}
