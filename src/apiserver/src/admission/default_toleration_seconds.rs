//! DefaultTolerationSeconds: pods tolerate a node that is not ready or unreachable for five minutes, unless they say
//! otherwise.

use std::any::Any;

use api::Object;
use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Pod, Toleration};
use machinery::Status;

use super::{Attributes, Operation, Plugin};

pub(super) struct DefaultTolerationSeconds;

const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
const SECONDS: i64 = 300;

#[async_trait]
impl Plugin for DefaultTolerationSeconds {
    fn handles(&self, attributes: &Attributes<'_>) -> bool {
        attributes.operation != Operation::Delete && attributes.is("", "pods")
    }

    async fn admit(
        &self,
        _attributes: &Attributes<'_>,
        new: &mut Object,
        _old: Option<&Object>,
        _held: &mut Vec<Box<dyn Any + Send + Sync>>,
    ) -> Result<(), Status> {
        let spec = new.downcast_mut::<Pod>().and_then(|pod| pod.spec.as_mut());
        let Some(spec) = spec else { return Ok(()) };
        let tolerations = spec.tolerations.get_or_insert_default();
        for taint in TAINTS {
            if !tolerations.iter().any(|toleration| tolerates(toleration, taint)) {
                tolerations.push(Toleration {
                    key: Some(taint.to_owned()),
                    operator: Some("Exists".to_owned()),
                    effect: Some("NoExecute".to_owned()),
                    toleration_seconds: Some(SECONDS),
                    value: None,
                });
            }
        }
        Ok(())
    }
}

fn tolerates(toleration: &Toleration, taint: &str) -> bool {
    let is = |field: &Option<String>, wanted: &str| {
        field.as_deref().is_none_or(|value| value.is_empty() || value == wanted)
    };
    is(&toleration.key, taint) && is(&toleration.effect, "NoExecute")
}
