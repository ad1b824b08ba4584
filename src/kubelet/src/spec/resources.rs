//! Requests and limits as the kernel's cgroups and OOM killer want them.

use cri::v1::{HugepageLimit, LinuxContainerResources};
use k8s_openapi::{
    api::core::v1::{Container, Pod, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};

use crate::pod;

const MIN_SHARES: i64 = 2;
const MAX_SHARES: i64 = 262_144;
const QUOTA_PERIOD_US: i64 = 100_000;
const MIN_QUOTA_US: i64 = 1_000;
/// The kernel takes no more (`max_cfs_runtime`: 2^44 ns).
const MAX_QUOTA_US: i64 = (1 << 44) / 1000;
const GUARANTEED_OOM_SCORE: i64 = -997;
const BEST_EFFORT_OOM_SCORE: i64 = 1000;

/// A quantity in thousandths, rounded up; what does not parse counts as nothing (the API server validates it).
pub(crate) fn milli(quantity: &Quantity) -> i64 {
    machinery::quantity::Quantity::parse(&quantity.0).map_or(0, |q| q.milli_value())
}

/// A quantity in whole units, rounded up.
pub(crate) fn value(quantity: &Quantity) -> i64 {
    machinery::quantity::Quantity::parse(&quantity.0).map_or(0, |q| q.value())
}

/// CPU in thousandths as `cpu.shares`.
pub(crate) fn shares(milli_cpu: i64) -> i64 {
    (milli_cpu.saturating_mul(1024) / 1000).clamp(MIN_SHARES, MAX_SHARES)
}

/// CPU in thousandths as CFS quota per [`QUOTA_PERIOD_US`]; 0 for no limit.
pub(crate) fn quota(milli_cpu: i64) -> i64 {
    match milli_cpu {
        0 => 0,
        milli => (milli.saturating_mul(QUOTA_PERIOD_US) / 1000).clamp(MIN_QUOTA_US, MAX_QUOTA_US),
    }
}

fn limit<'a>(resources: Option<&'a ResourceRequirements>, name: &str) -> Option<&'a Quantity> {
    resources?.limits.as_ref()?.get(name)
}

fn request<'a>(resources: Option<&'a ResourceRequirements>, name: &str) -> Option<&'a Quantity> {
    resources?.requests.as_ref()?.get(name)
}

/// The cgroup settings of one container on a node with `memory_bytes`.
pub(crate) fn of_container(pod: &Pod, container: &Container, memory_bytes: i64) -> LinuxContainerResources {
    let own = container.resources.as_ref();
    let of_pod = pod::spec(pod).resources.as_ref();
    let limited = |name| limit(own, name).filter(|q| value(q) > 0).or_else(|| limit(of_pod, name));
    let milli_limit = limited("cpu").map_or(0, milli);
    let milli_request = request(own, "cpu").map_or(milli_limit, milli);
    LinuxContainerResources {
        cpu_shares: shares(milli_request),
        cpu_period: QUOTA_PERIOD_US,
        cpu_quota: quota(milli_limit),
        memory_limit_in_bytes: limited("memory").map_or(0, value),
        oom_score_adj: oom_score(pod, container, memory_bytes),
        hugepage_limits: hugepages(own),
        ..LinuxContainerResources::default()
    }
}

/// The cgroup settings of a whole pod: what it requests, and what it is limited to if all its containers are.
pub(crate) fn of_pod(pod: &Pod) -> LinuxContainerResources {
    let spec = pod::spec(pod);
    let limits = objects::resources::limits(spec);
    let limited = |name| if is_limited(pod, name) { limits.get(name) } else { 0 };
    LinuxContainerResources {
        cpu_shares: shares(objects::resources::requests(spec).get("cpu")),
        cpu_period: QUOTA_PERIOD_US,
        cpu_quota: quota(limited("cpu")),
        memory_limit_in_bytes: limited("memory"),
        ..LinuxContainerResources::default()
    }
}

fn is_limited(pod: &Pod, name: &str) -> bool {
    let spec = pod::spec(pod);
    let has = |resources| limit(resources, name).is_some_and(|limit| milli(limit) > 0);
    has(spec.resources.as_ref())
        || pod::containers(spec).all(|(_, container)| has(container.resources.as_ref()))
}

/// Who is killed first when the node runs out of memory (upstream: kubelet/qos).
fn oom_score(pod: &Pod, container: &Container, memory_bytes: i64) -> i64 {
    const NODE_CRITICAL: i32 = 2_000_001_000;
    let spec = pod::spec(pod);
    if spec.priority.is_some_and(|priority| priority >= NODE_CRITICAL) {
        return GUARANTEED_OOM_SCORE;
    }
    match objects::pod::qos_class(pod) {
        "Guaranteed" => return GUARANTEED_OOM_SCORE,
        "BestEffort" => return BEST_EFFORT_OOM_SCORE,
        _ => {}
    }
    let score = |bytes: i64| 1000 - bytes.saturating_mul(1000) / memory_bytes.max(1);
    let requested = |c: &Container| request(c.resources.as_ref(), "memory").map_or(0, value);
    let mut own = score(requested(container));
    if pod::is_sidecar(container) {
        // A sidecar must not die before the containers it serves.
        own = own.min(score(spec.containers.iter().map(requested).min().unwrap_or(0)));
    }
    own.clamp(1000 + GUARANTEED_OOM_SCORE, BEST_EFFORT_OOM_SCORE - 1)
}

fn hugepages(resources: Option<&ResourceRequirements>) -> Vec<HugepageLimit> {
    let limits = resources.and_then(|r| r.limits.as_ref()).into_iter().flatten();
    limits
        .filter_map(|(name, quantity)| {
            let size = name.strip_prefix("hugepages-")?;
            // `2Mi` in the API is `2MB` to the kernel.
            let page_size = format!("{}B", size.trim_end_matches('i'));
            Some(HugepageLimit { page_size, limit: value(quantity).unsigned_abs() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(containers: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {}, "spec": {"containers": containers}})).unwrap()
    }

    fn check(resources: Value, shares: i64, quota: i64, memory: i64, oom: i64) {
        let pod = pod(json!([{"name": "c", "resources": resources}]));
        let actual = of_container(&pod, &pod::spec(&pod).containers[0], 1000 << 20);
        let actual =
            (actual.cpu_shares, actual.cpu_quota, actual.memory_limit_in_bytes, actual.oom_score_adj);
        assert_eq!(actual, (shares, quota, memory, oom));
    }

    #[test]
    fn requests_and_limits_become_shares_quota_and_bytes() {
        check(json!({}), 2, 0, 0, 1000);
        check(json!({"requests": {"cpu": "500m", "memory": "100Mi"}}), 512, 0, 0, 900);
        let both = json!({"cpu": "250m", "memory": "64Mi"});
        check(json!({"requests": both, "limits": both}), 256, 25_000, 64 << 20, -997);
        check(json!({"limits": {"cpu": "1m"}}), 2, 1000, 0, 999);
    }

    #[test]
    fn amounts_that_no_machine_has_do_not_wrap() {
        let most =
            json!({"limits": {"cpu": i64::MAX.to_string()}, "requests": {"memory": i64::MAX.to_string()}});
        check(most, MAX_SHARES, MAX_QUOTA_US, 0, 3);
    }

    #[test]
    fn a_pod_is_limited_only_if_all_its_containers_are() {
        let limited = json!({"limits": {"memory": "64Mi"}});
        let both = pod(json!([{"name": "a", "resources": limited}, {"name": "b", "resources": limited}]));
        assert_eq!(of_pod(&both).memory_limit_in_bytes, 128 << 20);
        assert_eq!(
            of_pod(&pod(json!([{"name": "a", "resources": limited}, {"name": "b"}]))).memory_limit_in_bytes,
            0
        );
    }
}
