//! TaintNodesByCondition: nothing is scheduled to a new node before its kubelet has said that it is ready.

use std::any::Any;

use api::Object;
use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Node, Taint};
use machinery::Status;

use super::{Attributes, Operation, Plugin};

pub(super) struct TaintNodesByCondition;

#[async_trait]
impl Plugin for TaintNodesByCondition {
    fn handles(&self, attributes: &Attributes<'_>) -> bool {
        attributes.operation == Operation::Create && attributes.is("", "nodes")
    }

    async fn admit(
        &self,
        _attributes: &Attributes<'_>,
        new: &mut Object,
        _old: Option<&Object>,
        _held: &mut Vec<Box<dyn Any + Send + Sync>>,
    ) -> Result<(), Status> {
        let Some(node) = new.downcast_mut::<Node>() else { return Ok(()) };
        let taints = node.spec.get_or_insert_default().taints.get_or_insert_default();
        let not_ready = Taint {
            key: "node.kubernetes.io/not-ready".to_owned(),
            effect: "NoSchedule".to_owned(),
            ..Taint::default()
        };
        if !taints.iter().any(|taint| taint.key == not_ready.key && taint.effect == not_ready.effect) {
            taints.push(not_ready);
        }
        Ok(())
    }
}
