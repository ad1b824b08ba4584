//! A pod's quality-of-service class (upstream `qos.ComputePodQOS`).

use k8s_openapi::api::core::v1::{Pod, ResourceRequirements};

use crate::resources::{Amounts, ResourceList};

/// `Guaranteed`, `Burstable` or `BestEffort`, from the spec alone.
pub fn qos_class(pod: &Pod) -> &'static str {
    let Some(spec) = &pod.spec else { return "BestEffort" };
    let pod_level = spec.resources.as_ref().map(|resources| vec![Some(resources)]);
    let parts: Vec<Option<&ResourceRequirements>> = pod_level.unwrap_or_else(|| {
        let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        containers.map(|container| container.resources.as_ref()).collect()
    });

    let (mut requests, mut limits, mut all_limited) = (Amounts::default(), Amounts::default(), true);
    for part in parts {
        let own_limits = compute(part.and_then(|part| part.limits.as_ref()));
        all_limited &= own_limits.contains("cpu") && own_limits.contains("memory");
        limits.add(&own_limits);
        requests.add(&compute(part.and_then(|part| part.requests.as_ref())));
    }

    if requests.is_empty() && limits.is_empty() {
        "BestEffort"
    } else if all_limited && requests == limits {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

/// The amounts that count for the class: CPU and memory above zero.
fn compute(list: Option<&ResourceList>) -> Amounts {
    let mut amounts = Amounts::default();
    for (name, amount) in list.map(Amounts::of).unwrap_or_default().iter() {
        if matches!(name, "cpu" | "memory") && amount > 0 {
            amounts.set(name, amount);
        }
    }
    amounts
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        api::core::v1::{Container, PodSpec},
        apimachinery::pkg::api::resource::Quantity,
    };

    use super::*;

    fn list(cpu: &str, memory: &str) -> Option<ResourceList> {
        let named = [("cpu", cpu), ("memory", memory)].into_iter().filter(|(_, amount)| !amount.is_empty());
        Some(named.map(|(name, amount)| (name.to_owned(), Quantity(amount.to_owned()))).collect())
    }

    /// Each container as `[cpu request, memory request, cpu limit, memory limit]`.
    fn check(containers: &[[&str; 4]], expected: &str) {
        let containers = containers.iter().map(|[cpu, memory, cpu_limit, memory_limit]| Container {
            resources: Some(ResourceRequirements {
                requests: list(cpu, memory),
                limits: list(cpu_limit, memory_limit),
                claims: None,
            }),
            ..Container::default()
        });
        let spec = PodSpec { containers: containers.collect(), ..PodSpec::default() };
        assert_eq!(qos_class(&Pod { spec: Some(spec), ..Pod::default() }), expected);
    }

    #[test]
    fn the_class_follows_requests_and_limits() {
        check(&[["", "", "", ""]], "BestEffort");
        check(&[["0", "", "", ""]], "BestEffort");
        check(&[["1", "1Gi", "1", "1Gi"]], "Guaranteed");
        check(&[["1000m", "1Gi", "1", "1024Mi"]], "Guaranteed");
        check(&[["1", "1Gi", "1", "1Gi"], ["", "", "", ""]], "Burstable");
        check(&[["1", "1Gi", "2", "1Gi"]], "Burstable");
        check(&[["1", "", "1", ""]], "Burstable");
    }
}
