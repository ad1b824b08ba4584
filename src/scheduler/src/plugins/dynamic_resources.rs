//! DynamicResources: a pod that claims devices has to be given them.
//!
//! This scheduler allocates no devices, whatever claims there are: a pod that names one waits for ever, and is told why.
//! Upstream's scheduler can take its place for such pods.

use k8s_openapi::api::core::v1::PodResourceClaim;

use crate::{
    cluster::Cluster,
    framework::{Event, Filter, PreFilter},
    pod_info::PodInfo,
};

#[derive(Debug)]
pub(crate) struct DynamicResources;

impl Filter for DynamicResources {
    fn name(&self) -> &'static str {
        "DynamicResources"
    }

    fn pre_filter<'a>(&'a self, pod: &'a PodInfo, _cluster: &'a Cluster) -> PreFilter<'a> {
        let claims = pod.pod.spec.as_ref().and_then(|spec| spec.resource_claims.as_deref());
        match claims.unwrap_or_default().first() {
            Some(claim) => PreFilter::Reject(missing(pod, claim)),
            None => PreFilter::Skip,
        }
    }

    fn is_helped_by(&self, _pod: &PodInfo, _event: &Event<'_>, _cluster: &Cluster) -> bool {
        false
    }
}

fn missing(pod: &PodInfo, claim: &PodResourceClaim) -> String {
    let namespace = pod.namespace();
    match &claim.resource_claim_name {
        Some(name) => {
            format!(
                "ResourceClaim \"{namespace}/{name}\" cannot be allocated: this scheduler allocates no devices"
            )
        }
        // Claims from templates are made by a controller, which is not there either.
        None => {
            let name = pod.pod.metadata.name.as_deref().unwrap_or_default();
            format!("pod \"{namespace}/{name}\": ResourceClaim not created yet")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plugins::testing::pod;

    fn check(claims: Value, expected: &str) {
        let (pod, cluster) = (pod(json!({"resourceClaims": claims})), Cluster::default());
        assert_eq!(format!("{:?}", DynamicResources.pre_filter(&pod, &cluster)), expected);
    }

    #[test]
    fn a_pod_with_a_claim_fits_nowhere() {
        check(json!([]), "Skip");
        check(
            json!([{"name": "gpu", "resourceClaimName": "c"}]),
            r#"Reject("ResourceClaim \"default/c\" cannot be allocated: this scheduler allocates no devices")"#,
        );
        check(
            json!([{"name": "gpu", "resourceClaimTemplateName": "t"}]),
            r#"Reject("pod \"default/pod\": ResourceClaim not created yet")"#,
        );
    }
}
