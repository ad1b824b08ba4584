//! RuntimeClass: a pod may name only a class that there is, and has the overhead of its class. There are no RuntimeClass
//! objects yet, so every name is one of nothing.

use std::any::Any;

use api::Object;
use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;
use machinery::Status;

use super::{Attributes, Operation, Plugin};

pub(super) struct RuntimeClass;

#[async_trait]
impl Plugin for RuntimeClass {
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
        let Some(spec) = new.downcast_ref::<Pod>().and_then(|pod| pod.spec.as_ref()) else { return Ok(()) };
        if let Some(name) = &spec.runtime_class_name {
            return Err(attributes.forbidden(format!("pod rejected: RuntimeClass {name:?} not found")));
        }
        if spec.overhead.is_some() {
            let why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
            return Err(attributes.forbidden(why));
        }
        Ok(())
    }
}
