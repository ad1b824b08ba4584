//! How fast pods are evicted when several nodes fall silent at once: then the fault may be ours, not theirs (upstream
//! `pkg/controller/nodelifecycle`, "disruption").
//!
//! Pure but for its memory: which nodes are ready, by zone, and when a zone's next node may go. Where no node of the
//! cluster is ready, none is given up at all.

use std::{collections::HashMap, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Node;
use objects::node;
use tokio::time::Instant;

/// Nodes with this label do not count.
const EXCLUDED: &str = "node.kubernetes.io/exclude-disruption";
/// One node in ten seconds (upstream `--node-eviction-rate` 0.1).
const USUAL_PACE: Duration = Duration::from_secs(10);
/// One in a hundred, where much of a large zone is gone (upstream `--secondary-node-eviction-rate` 0.01).
const SLOW_PACE: Duration = Duration::from_secs(100);
/// Zones with more nodes are large (upstream `--large-cluster-size-threshold`).
const LARGE: usize = 50;
/// This many percent of a zone, and more than two nodes, are much (upstream `--unhealthy-zone-threshold`).
const UNHEALTHY_PERCENT: usize = 55;

/// What becomes of a node that is not ready.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Its pods are to be evicted now.
    Now,
    /// Others of its zone were given up lately; ask again then.
    Later(Duration),
    /// Not while its zone is as it is.
    Never,
}

/// The nodes that count, and the pace of each zone.
#[derive(Debug, Default)]
pub(super) struct Zones {
    nodes: HashMap<String, Standing>,
    /// The node of each zone that was given up last, and when the next one may be.
    last: HashMap<String, (String, Instant)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Standing {
    zone: String,
    ready: bool,
}

impl Zones {
    /// The zones of these nodes.
    pub(super) fn of(nodes: &[Arc<Node>]) -> Self {
        let mut zones = Self::default();
        for node in nodes {
            zones.observe(node.metadata.name.as_deref().unwrap_or_default(), node);
        }
        zones
    }

    /// Takes note of a node; true where that may change what becomes of others.
    pub(super) fn observe(&mut self, name: &str, node: &Node) -> bool {
        let labels = node.metadata.labels.as_ref();
        if labels.is_some_and(|labels| labels.contains_key(EXCLUDED)) {
            return self.forget(name);
        }
        let standing = Standing { zone: zone(node), ready: node::is_ready(node) };
        self.nodes.insert(name.to_owned(), standing.clone()) != Some(standing)
    }

    /// A node is gone; true where that may change what becomes of others.
    pub(super) fn forget(&mut self, name: &str) -> bool {
        self.nodes.remove(name).is_some()
    }

    /// Whether not one node is ready.
    pub(super) fn all_disrupted(&self) -> bool {
        !self.nodes.is_empty() && self.nodes.values().all(|node| !node.ready)
    }

    /// Whether the pods of a node that is not ready are to be evicted now; if so, the next of its zone has to wait.
    pub(super) fn turn(&mut self, name: &str, node: &Node, now: Instant) -> Turn {
        let zone = zone(node);
        let Some(pace) = self.pace(&zone) else { return Turn::Never };
        // Who asks again could not be written.
        let others = self.last.get(&zone).filter(|(last, _)| last != name);
        let left = others.map_or(Duration::ZERO, |(_, next)| next.saturating_duration_since(now));
        if !left.is_zero() {
            return Turn::Later(left.min(pace));
        }
        self.last.insert(zone, (name.to_owned(), now + pace));
        Turn::Now
    }

    /// The time between two nodes of a zone; `None` where none is to go.
    fn pace(&self, zone: &str) -> Option<Duration> {
        let in_zone = || self.nodes.values().filter(|node| node.zone == zone);
        let (all, silent) = (in_zone().count(), in_zone().filter(|node| !node.ready).count());
        let partly = silent < all && silent > 2 && silent * 100 >= all * UNHEALTHY_PERCENT;
        match (partly, all > LARGE) {
            (false, _) => Some(USUAL_PACE),
            (true, true) => Some(SLOW_PACE),
            (true, false) => None,
        }
    }
}

fn zone(node: &Node) -> String {
    let label = |old: &str, new: &str| {
        let labels = node.metadata.labels.as_ref()?;
        labels.get(old).or_else(|| labels.get(new)).cloned()
    };
    let zone = label("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone");
    let region = label("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region");
    format!("{}\0{}", region.unwrap_or_default(), zone.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(zone: &str, ready: bool) -> Node {
        let status = if ready { "True" } else { "Unknown" };
        serde_json::from_value(json!({
            "metadata": {"labels": {"topology.kubernetes.io/zone": zone}},
            "status": {"conditions": [{"type": "Ready", "status": status}]},
        }))
        .unwrap()
    }

    /// A zone of so many ready and silent nodes.
    fn zone_of(zones: &mut Zones, zone: &str, ready: usize, silent: usize) {
        for number in 0..ready + silent {
            zones.observe(&format!("{zone}-{number}"), &node(zone, number < ready));
        }
    }

    fn first_two_turns(ready: usize, silent: usize) -> [Turn; 2] {
        let (mut zones, now) = (Zones::default(), Instant::now());
        zone_of(&mut zones, "other", 1, 0);
        zone_of(&mut zones, "zone", ready, silent);
        ["one", "other"].map(|name| zones.turn(name, &node("zone", false), now))
    }

    #[test]
    fn nodes_of_a_zone_are_given_up_one_after_the_other() {
        assert_eq!(first_two_turns(3, 2), [Turn::Now, Turn::Later(USUAL_PACE)]);
        assert_eq!(first_two_turns(1, 2), [Turn::Now, Turn::Later(USUAL_PACE)]);
        assert_eq!(first_two_turns(0, 9), [Turn::Now, Turn::Later(USUAL_PACE)]);
    }

    #[test]
    fn where_much_of_a_zone_is_silent_hardly_any_goes() {
        assert_eq!(first_two_turns(2, 3), [Turn::Never, Turn::Never]);
        assert_eq!(first_two_turns(20, 40), [Turn::Now, Turn::Later(SLOW_PACE)]);
    }

    #[test]
    fn zones_have_paces_of_their_own() {
        let (mut zones, now) = (Zones::default(), Instant::now());
        zone_of(&mut zones, "a", 1, 1);
        zone_of(&mut zones, "b", 1, 1);
        for (name, zone, now) in
            [("1", "a", now), ("1", "a", now), ("2", "b", now), ("3", "a", now + USUAL_PACE)]
        {
            assert_eq!(zones.turn(name, &node(zone, false), now), Turn::Now, "{name}");
        }
    }

    #[test]
    fn a_cluster_without_a_ready_node_is_disrupted() {
        let mut zones = Zones::default();
        assert!(!zones.all_disrupted());
        zone_of(&mut zones, "a", 0, 2);
        assert!(zones.all_disrupted());
        assert!(zones.observe("a-0", &node("a", true)));
        assert!(!zones.observe("a-0", &node("a", true)));
        assert!(!zones.all_disrupted());
    }
}
