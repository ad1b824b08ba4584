//! A condition in a pod's status, set by the server itself (upstream `podutil.UpdatePodCondition`).

use k8s_openapi::api::core::v1::{PodCondition, PodStatus};
use machinery::meta;

/// What is true of the pod from now on.
pub(super) struct Condition {
    pub(super) type_: &'static str,
    /// Empty where there is nothing to say.
    pub(super) reason: &'static str,
    pub(super) message: &'static str,
}

/// Sets a condition to `True`; one that is so already keeps the time since when.
pub(super) fn set_true(status: &mut PodStatus, condition: &Condition) {
    let conditions = status.conditions.get_or_insert_default();
    let present = conditions.iter_mut().find(|present| present.type_ == condition.type_);
    let since = present.as_ref().filter(|present| present.status == "True");
    let since = since.and_then(|present| present.last_transition_time.clone()).unwrap_or_else(meta::now);
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let wanted = PodCondition {
        type_: condition.type_.to_owned(),
        status: "True".to_owned(),
        reason: text(condition.reason),
        message: text(condition.message),
        last_transition_time: Some(since),
        ..PodCondition::default()
    };
    match present {
        Some(present) => *present = wanted,
        None => conditions.push(wanted),
    }
}
