//! The conditions of a namespace being deleted: types, reasons and messages are upstream's. Pure.

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Namespace, NamespaceCondition},
    apimachinery::pkg::apis::meta::v1::Time,
};

use super::{Counts, remains::Remains};

/// The conditions after `remains` was found; a condition that says the same as before keeps its time.
pub(super) fn update(namespace: &Namespace, remains: &Remains, now: Timestamp) -> Vec<NamespaceCondition> {
    let mut conditions =
        namespace.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    for (type_, ok_reason, ok_message, problem) in findings(remains) {
        let (status, reason, message) = match problem {
            Some((reason, message)) => ("True", reason, message),
            None => ("False", ok_reason, ok_message.to_owned()),
        };
        let new = NamespaceCondition {
            type_: type_.into(),
            status: status.into(),
            reason: Some(reason.into()),
            message: Some(message),
            last_transition_time: Some(Time(now)),
        };
        match conditions.iter_mut().find(|condition| condition.type_ == type_) {
            Some(present) if present.status == new.status => {
                present.reason = new.reason;
                present.message = new.message;
            }
            Some(present) => *present = new,
            None => conditions.push(new),
        }
    }
    conditions
}

/// Reason and message.
type Problem = Option<(&'static str, String)>;

/// Type, reason and message when all is well, and the problem if there is one.
fn findings(remains: &Remains) -> [(&'static str, &'static str, &'static str, Problem); 5] {
    let discovery = remains.discovery_error.clone().map(|error| ("DiscoveryFailed", error));
    [
        (
            "NamespaceDeletionDiscoveryFailure",
            "ResourcesDiscovered",
            "All resources successfully discovered",
            discovery,
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
            None,
        ),
        (
            "NamespaceDeletionContentFailure",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
            content_failure(remains),
        ),
        (
            "NamespaceContentRemaining",
            "ContentRemoved",
            "All content successfully removed",
            remaining(&remains.objects, "SomeResourcesRemain", "Some resources are remaining: ", "has"),
        ),
        (
            "NamespaceFinalizersRemaining",
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
            remaining(
                &remains.finalizers,
                "SomeFinalizersRemain",
                "Some content in the namespace has finalizers remaining: ",
                "in",
            ),
        ),
    ]
}

fn content_failure(remains: &Remains) -> Problem {
    let mut errors = remains.errors.clone();
    if errors.is_empty() || remains.discovery_error.is_some() {
        return None;
    }
    errors.sort();
    let (count, text) = (errors.len(), errors.join(", "));
    Some(("ContentDeletionFailed", format!("Failed to delete all resource types, {count} remaining: {text}")))
}

/// `intro`, then `name has 3 resource instances` for each.
fn remaining(counts: &Counts, reason: &'static str, intro: &str, verb: &str) -> Problem {
    let each = counts.iter().map(|(name, count)| format!("{name} {verb} {count} resource instances"));
    let text = each.collect::<Vec<_>>().join(", ");
    (!counts.is_empty()).then(|| (reason, format!("{intro}{text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(remains: &Remains, type_: &str, expected: &str) {
        let conditions = update(&Namespace::default(), remains, Timestamp::UNIX_EPOCH);
        assert_eq!(conditions.len(), 5);
        let condition = conditions.into_iter().find(|condition| condition.type_ == type_).unwrap();
        let text =
            format!("{} {} {}", condition.status, condition.reason.unwrap(), condition.message.unwrap());
        assert_eq!(text, expected);
    }

    #[test]
    fn what_remains_is_told_in_upstreams_words() {
        let mut remains = Remains::default();
        check(&remains, "NamespaceContentRemaining", "False ContentRemoved All content successfully removed");
        remains.add("ns", ("pods", ""), &[vec![], vec!["example.com/hold".into()]], Some(30));
        assert_eq!(remains.wait, Some(30));
        check(
            &remains,
            "NamespaceContentRemaining",
            "True SomeResourcesRemain Some resources are remaining: pods. has 2 resource instances",
        );
        check(
            &remains,
            "NamespaceFinalizersRemaining",
            "True SomeFinalizersRemain Some content in the namespace has finalizers remaining: example.com/hold in 1 \
             resource instances",
        );
        remains.add("ns", ("leases", "coordination.k8s.io"), &[vec![]], None);
        check(
            &remains,
            "NamespaceDeletionContentFailure",
            "True ContentDeletionFailed Failed to delete all resource types, 1 remaining: unexpected items still remain \
             in namespace: ns for gvr: coordination.k8s.io/leases",
        );
    }
}
