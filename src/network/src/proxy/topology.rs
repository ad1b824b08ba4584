//! Whether a node's connections stay near it, as the hints of EndpointSlices have it (upstream: `pkg/proxy/topology.go`).
//! The controller of the slices writes hints where a Service has a `trafficDistribution`. Pure.

use k8s_openapi::api::discovery::v1::Endpoint;

use super::desired::Node;

/// How near an endpoint must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nearness {
    /// Anywhere.
    Anywhere,
    /// Among those meant for this node.
    SameNode,
    /// Among those meant for this node's zone.
    SameZone,
}

impl Nearness {
    /// What the hints of the endpoints that are ready say for `node`. They are heeded only where each has one and one of
    /// them is for this node or its zone.
    pub(super) fn of<'a>(ready: impl Iterator<Item = &'a Endpoint> + Clone, node: &Node) -> Self {
        let every = |has: fn(&Endpoint) -> bool| ready.clone().all(has);
        let any = |nearness: Self| ready.clone().any(|endpoint| nearness.allows(endpoint, node));
        if every(|endpoint| nodes(endpoint).next().is_some()) && any(Self::SameNode) {
            Self::SameNode
        } else if every(|endpoint| zones(endpoint).next().is_some()) && any(Self::SameZone) {
            Self::SameZone
        } else {
            Self::Anywhere
        }
    }

    /// Whether an endpoint is near enough to `node`.
    pub(super) fn allows(self, endpoint: &Endpoint, node: &Node) -> bool {
        match self {
            Self::Anywhere => true,
            Self::SameNode => nodes(endpoint).any(|name| *name == node.name),
            Self::SameZone => zones(endpoint).any(|zone| Some(zone) == node.zone.as_ref()),
        }
    }
}

fn nodes(endpoint: &Endpoint) -> impl Iterator<Item = &String> {
    let hints = endpoint.hints.as_ref().and_then(|hints| hints.for_nodes.as_ref());
    hints.into_iter().flatten().map(|node| &node.name)
}

fn zones(endpoint: &Endpoint) -> impl Iterator<Item = &String> {
    let hints = endpoint.hints.as_ref().and_then(|hints| hints.for_zones.as_ref());
    hints.into_iter().flatten().map(|zone| &zone.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Endpoints hinted for these nodes and zones, seen from node `a` in zone `x`.
    fn check(hints: &[(&[&str], &[&str])], expected: Nearness) {
        let named = |names: &[&str]| names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>();
        let endpoint = |(nodes, zones): &(&[&str], &[&str])| -> Endpoint {
            let hints = json!({"forNodes": named(nodes), "forZones": named(zones)});
            serde_json::from_value(json!({"addresses": ["10.0.0.1"], "hints": hints})).unwrap()
        };
        let endpoints: Vec<_> = hints.iter().map(endpoint).collect();
        let node = Node { name: "a".into(), zone: Some("x".into()), address: [192, 0, 2, 1].into() };
        assert_eq!(Nearness::of(endpoints.iter(), &node), expected, "{hints:?}");
    }

    #[test]
    fn hints_count_where_all_endpoints_have_them_and_one_is_for_here() {
        check(&[(&["a"], &["x"]), (&["b"], &["x"])], Nearness::SameNode);
        check(&[(&["b"], &["x"]), (&["c"], &["y"])], Nearness::SameZone);
        check(&[(&["a"], &["x"]), (&[], &["x"])], Nearness::SameZone);
        check(&[(&["b"], &["y"])], Nearness::Anywhere);
        check(&[(&[], &["x"]), (&[], &[])], Nearness::Anywhere);
        check(&[], Nearness::Anywhere);
    }
}
