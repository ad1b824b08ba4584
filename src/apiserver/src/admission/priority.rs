//! Priority: resolves a pod's priority. There are no PriorityClass objects yet, so only upstream's two built-in names are
//! known and everything else has priority 0.

use std::any::Any;

use api::Object;
use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;
use machinery::Status;

use super::{Attributes, Operation, Plugin};

pub(super) struct Priority;

const BUILT_IN: [(&str, i32); 2] =
    [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];

/// That of every class there is.
const DEFAULT_POLICY: &str = "PreemptLowerPriority";

#[async_trait]
impl Plugin for Priority {
    fn handles(&self, attributes: &Attributes<'_>) -> bool {
        attributes.operation == Operation::Create && attributes.is("", "pods")
    }

    async fn admit(
        &self,
        attributes: &Attributes<'_>,
        new: &mut Object,
        _old: Option<&Object>,
        _held: &mut Vec<Box<dyn Any + Send + Sync>>,
    ) -> Result<(), Status> {
        let spec = new.downcast_mut::<Pod>().and_then(|pod| pod.spec.as_mut());
        let Some(spec) = spec else { return Ok(()) };
        let class = spec.priority_class_name.clone().unwrap_or_default();
        let value = match BUILT_IN.iter().find(|(name, _)| *name == class) {
            Some((_, value)) => *value,
            None if class.is_empty() => 0,
            None => return Err(attributes.forbidden(format!("no PriorityClass with name {class} was found"))),
        };
        if spec.priority.is_some_and(|given| given != value) {
            return Err(attributes.forbidden(format!(
                "the integer value of priority ({}) must not be provided in pod spec; priority admission controller computed {value} from the given PriorityClass name",
                spec.priority.unwrap_or_default()
            )));
        }
        spec.priority = Some(value);
        let policy = spec.preemption_policy.get_or_insert_with(|| DEFAULT_POLICY.to_owned());
        if policy != DEFAULT_POLICY {
            return Err(attributes.forbidden(format!(
                "the string value of PreemptionPolicy ({policy}) must not be provided in pod spec; priority admission controller computed {DEFAULT_POLICY} from the given PriorityClass name"
            )));
        }
        Ok(())
    }
}
