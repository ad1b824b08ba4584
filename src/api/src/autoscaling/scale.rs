//! Scale: an object seen as a number of replicas (upstream: `ValidateScale`, `scaleFromDeployment`).

use k8s_openapi::api::autoscaling::v1::{Scale, ScaleSpec, ScaleStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use machinery::field::{ErrorList, Path};
use machinery::selector::label;
use machinery::table::Column;
use serde_json::Value;

use crate::kind::Kind;
use crate::{cells, checks};

impl Kind for Scale {
    const SINGULAR: &'static str = "scale";
    const NAMESPACED: bool = true;
    const VERBS: &'static [&'static str] = &["get", "patch", "update"];

    fn validate(&self) -> ErrorList {
        let replicas = self.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or_default();
        checks::nonnegative(replicas.into(), &Path::new("spec.replicas"))
    }

    fn columns() -> Vec<Column> {
        vec![
            cells::column("Name", "string", "Name of the object that is scaled."),
            cells::column("Desired", "integer", "How many replicas are asked for."),
            cells::column("Available", "integer", "How many replicas there are."),
            cells::age(),
        ]
    }

    fn row(&self, now: Timestamp) -> Vec<Value> {
        let wanted = self.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or_default();
        let present = self.status.as_ref().map_or(0, |status| status.replicas);
        let meta = &self.metadata;
        vec![cells::name_of(meta), wanted.into(), present.into(), cells::age_of(meta, now)]
    }
}

/// The Scale of an object: what it asks for, what it has, and which pods are meant. `None` where the selector cannot
/// be read, which validation rules out.
pub(crate) fn scale(
    meta: &ObjectMeta,
    wanted: Option<i32>,
    present: i32,
    selector: &LabelSelector,
) -> Option<Scale> {
    Some(Scale {
        metadata: ObjectMeta {
            name: meta.name.clone(),
            namespace: meta.namespace.clone(),
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
            creation_timestamp: meta.creation_timestamp.clone(),
            ..Default::default()
        },
        // Its JSON has no zero.
        spec: Some(ScaleSpec { replicas: wanted.filter(|replicas| *replicas != 0) }),
        status: Some(ScaleStatus {
            replicas: present,
            selector: Some(label::Selector::from_label_selector(Some(selector)).ok()?.to_string()),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::errors_of;

    #[test]
    fn replicas_are_not_negative() {
        errors_of::<Scale>(r#"{"spec":{"replicas":0}}"#, &[]);
        errors_of::<Scale>(
            r#"{"spec":{"replicas":-1}}"#,
            &["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
        );
    }
}
