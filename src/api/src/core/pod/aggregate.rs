//! What all containers of a pod ask for together (upstream: `AggregateContainerRequests`, `AggregateContainerLimits`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use machinery::quantity::Quantity;

type Amounts = BTreeMap<String, Quantity>;

/// Requests of all containers: those that run side by side are added, init containers need the most at a time.
pub(super) fn requests(spec: &PodSpec) -> Amounts {
    aggregate(spec, |resources| resources.requests.as_ref())
}

/// Limits of all containers, reckoned alike.
pub(super) fn limits(spec: &PodSpec) -> Amounts {
    aggregate(spec, |resources| resources.limits.as_ref())
}

fn aggregate(
    spec: &PodSpec,
    list: impl Fn(&ResourceRequirements) -> Option<&BTreeMap<String, Text>>,
) -> Amounts {
    let of = |container: &Container| {
        let list = container.resources.as_ref().and_then(&list);
        let parsed = |(name, text): (&String, &Text)| Some((name.clone(), Quantity::parse(&text.0).ok()?));
        list.into_iter().flatten().filter_map(parsed).collect::<Amounts>()
    };
    let mut total = Amounts::new();
    spec.containers.iter().for_each(|container| add(&mut total, &of(container)));
    let (mut sidecars, mut most) = (Amounts::new(), Amounts::new());
    for container in spec.init_containers.iter().flatten() {
        let mut now = of(container);
        if container.restart_policy.as_deref() == Some("Always") {
            add(&mut total, &now);
            add(&mut sidecars, &now);
            now = sidecars.clone();
        } else {
            add(&mut now, &sidecars);
        }
        raise(&mut most, now);
    }
    raise(&mut total, most);
    total
}

fn add(total: &mut Amounts, amounts: &Amounts) {
    for (name, amount) in amounts {
        match total.get_mut(name) {
            Some(sum) => sum.add(amount),
            None => {
                total.insert(name.clone(), amount.clone());
            }
        }
    }
}

fn raise(total: &mut Amounts, amounts: Amounts) {
    for (name, amount) in amounts {
        if total.get(&name).is_none_or(|present| *present < amount) {
            total.insert(name, amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sidecars_run_beside_everything_that_follows() {
        let spec: PodSpec = serde_json::from_str(
            r#"{"containers":[{"name":"a","resources":{"requests":{"cpu":"1"}}},{"name":"b","resources":{"requests":{"cpu":"500m"}}}],
            "initContainers":[{"name":"s","restartPolicy":"Always","resources":{"requests":{"cpu":"1"}}},
            {"name":"i","resources":{"requests":{"cpu":"2","memory":"1Mi"}}}]}"#,
        )
        .unwrap();
        let total = requests(&spec);
        assert_eq!(total["cpu"].to_string(), "3");
        assert_eq!(total["memory"].to_string(), "1Mi");
    }
}
