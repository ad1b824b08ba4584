//! VolumeBinding: the claims that a pod's volumes name must be there.
//!
//! This cluster has no PersistentVolumeClaims, so a pod that names one waits for ever, and is told why.

use k8s_openapi::api::core::v1::Volume;

use crate::{
    cluster::Cluster,
    framework::{Event, Filter, PreFilter},
    pod_info::PodInfo,
};

#[derive(Debug)]
pub(crate) struct VolumeBinding;

impl Filter for VolumeBinding {
    fn name(&self) -> &'static str {
        "VolumeBinding"
    }

    fn pre_filter<'a>(&'a self, pod: &'a PodInfo, _cluster: &'a Cluster) -> PreFilter<'a> {
        let volumes = pod.pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
        match volumes.iter().find_map(|volume| missing_claim(pod, volume)) {
            Some(reason) => PreFilter::Reject(reason),
            None => PreFilter::Skip,
        }
    }

    fn is_helped_by(&self, _pod: &PodInfo, _event: &Event<'_>, _cluster: &Cluster) -> bool {
        false
    }
}

fn missing_claim(pod: &PodInfo, volume: &Volume) -> Option<String> {
    if let Some(claim) = &volume.persistent_volume_claim {
        return Some(format!("persistentvolumeclaim \"{}\" not found", claim.claim_name));
    }
    volume.ephemeral.as_ref()?;
    let pod = pod.pod.metadata.name.as_deref().unwrap_or_default();
    let name = &volume.name;
    Some(format!(
        "waiting for ephemeral volume controller to create the persistentvolumeclaim \"{pod}-{name}\""
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plugins::testing::pod;

    fn check(volume: Value, expected: &str) {
        let (pod, cluster) = (pod(json!({"volumes": [volume]})), Cluster::default());
        assert_eq!(format!("{:?}", VolumeBinding.pre_filter(&pod, &cluster)), expected);
    }

    #[test]
    fn a_pod_with_a_claim_fits_nowhere() {
        check(json!({"name": "v", "emptyDir": {}}), "Skip");
        check(
            json!({"name": "v", "persistentVolumeClaim": {"claimName": "c"}}),
            r#"Reject("persistentvolumeclaim \"c\" not found")"#,
        );
        check(
            json!({"name": "v", "ephemeral": {}}),
            r#"Reject("waiting for ephemeral volume controller to create the persistentvolumeclaim \"pod-v\"")"#,
        );
    }
}
