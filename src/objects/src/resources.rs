//! What pods request and are limited to, as plain numbers (upstream `component-helpers/resource`).

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, PodSpec, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};

/// A `requests`, `limits`, `capacity` or `allocatable` field as the API has it.
pub type ResourceList = BTreeMap<String, Quantity>;

/// Amounts by resource name: `cpu` in thousandths of a core, everything else in its own unit (bytes, pieces), rounded up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts(BTreeMap<String, i64>);

impl Amounts {
    /// The amounts of a list; what is no quantity is left out (validation does not let it into the store).
    pub fn of(list: &ResourceList) -> Self {
        Self(
            list.iter()
                .filter_map(|(name, quantity)| Some((name.clone(), amount(name, quantity)?)))
                .collect(),
        )
    }

    /// The amount of one resource, 0 where it is not named.
    pub fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Whether the resource is named, be it with 0.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Sets the amount of one resource.
    pub fn set(&mut self, name: &str, amount: i64) {
        self.0.insert(name.to_owned(), amount);
    }

    /// All amounts by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), *amount))
    }

    /// Whether nothing is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds `other`, resource by resource.
    pub fn add(&mut self, other: &Amounts) {
        for (name, amount) in &other.0 {
            let sum = self.0.entry(name.clone()).or_insert(0);
            *sum = sum.saturating_add(*amount);
        }
    }

    /// Raises each resource to what `other` has.
    pub fn raise_to(&mut self, other: &Amounts) {
        for (name, amount) in &other.0 {
            let max = self.0.entry(name.clone()).or_insert(*amount);
            *max = (*max).max(*amount);
        }
    }
}

/// One quantity in the unit of [`Amounts`]; `None` if it is none.
pub fn amount(name: &str, quantity: &Quantity) -> Option<i64> {
    let quantity = machinery::quantity::Quantity::parse(&quantity.0).ok()?;
    Some(if name == "cpu" { quantity.milli_value() } else { quantity.value() })
}

/// What the scheduler reserves for a pod: the larger of its running containers' sum and its greediest init step, or what
/// the pod as a whole states, plus overhead.
pub fn requests(spec: &PodSpec) -> Amounts {
    let mut total = aggregate(spec, |resources| resources.requests.as_ref());
    state_for_pod(&mut total, spec.resources.as_ref().and_then(|resources| resources.requests.as_ref()));
    total.add(&overhead(spec));
    total
}

/// The pod's limits, summed as [`requests`] are; overhead counts only for resources that are limited.
pub fn limits(spec: &PodSpec) -> Amounts {
    let mut total = aggregate(spec, |resources| resources.limits.as_ref());
    state_for_pod(&mut total, spec.resources.as_ref().and_then(|resources| resources.limits.as_ref()));
    for (name, amount) in overhead(spec).iter() {
        if total.get(name) != 0 {
            total.set(name, total.get(name).saturating_add(amount));
        }
    }
    total
}

fn overhead(spec: &PodSpec) -> Amounts {
    spec.overhead.as_ref().map(Amounts::of).unwrap_or_default()
}

/// Pod-level figures replace the containers' sums for the resources that may be stated for a pod.
fn state_for_pod(total: &mut Amounts, stated: Option<&ResourceList>) {
    for (name, amount) in stated.map(Amounts::of).unwrap_or_default().iter() {
        if matches!(name, "cpu" | "memory") || name.starts_with("hugepages-") {
            total.set(name, amount);
        }
    }
}

fn aggregate(spec: &PodSpec, field: fn(&ResourceRequirements) -> Option<&ResourceList>) -> Amounts {
    let of = |container: &Container| {
        container.resources.as_ref().and_then(field).map(Amounts::of).unwrap_or_default()
    };
    let mut total = Amounts::default();
    for container in &spec.containers {
        total.add(&of(container));
    }
    // An init step runs beside the sidecars started before it; sidecars stay and count with the containers, too.
    let (mut sidecars, mut peak) = (Amounts::default(), Amounts::default());
    for container in spec.init_containers.iter().flatten() {
        let own = of(container);
        if container.restart_policy.as_deref() == Some("Always") {
            total.add(&own);
            sidecars.add(&own);
            peak.raise_to(&sidecars);
        } else {
            let mut step = own;
            step.add(&sidecars);
            peak.raise_to(&step);
        }
    }
    total.raise_to(&peak);
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(cpu: &str, sidecar: bool) -> Container {
        let requests = ResourceList::from([("cpu".to_owned(), Quantity(cpu.to_owned()))]);
        Container {
            resources: Some(ResourceRequirements { requests: Some(requests), ..Default::default() }),
            restart_policy: sidecar.then(|| "Always".to_owned()),
            ..Container::default()
        }
    }

    fn check(containers: &[&str], init: &[(&str, bool)], overhead: Option<&str>, expected: i64) {
        let spec = PodSpec {
            containers: containers.iter().map(|cpu| container(cpu, false)).collect(),
            init_containers: Some(init.iter().map(|(cpu, sidecar)| container(cpu, *sidecar)).collect()),
            overhead: overhead.map(|cpu| ResourceList::from([("cpu".into(), Quantity(cpu.into()))])),
            ..PodSpec::default()
        };
        assert_eq!(requests(&spec).get("cpu"), expected);
    }

    #[test]
    fn containers_add_up_and_init_steps_do_not() {
        check(&["100m", "1"], &[], None, 1100);
        check(&["100m"], &[("500m", false), ("300m", false)], None, 500);
        check(&["100m"], &[("200m", true), ("300m", false)], None, 500);
        check(&["100m"], &[("200m", true), ("10m", false)], None, 300);
        check(&["100m"], &[], Some("50m"), 150);
    }
}
