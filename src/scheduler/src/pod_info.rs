//! A pod with what the scheduler asks about it again and again, worked out once.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::{Container, Pod, Toleration};
use machinery::selector::label::Error;
use objects::resources::{self, Amounts};

use crate::{affinity_term::AffinityTerms, spread_constraint::SpreadConstraints};

/// What a container without a CPU request counts as when nodes are compared, in thousandths of a core.
const DEFAULT_CPU: i64 = 100;
/// What a container without a memory request counts as when nodes are compared, in bytes.
const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

/// A port that a pod takes on its node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HostPort {
    pub(crate) ip: String,
    pub(crate) protocol: String,
    pub(crate) port: i32,
}

impl HostPort {
    /// Whether both cannot be had at once: the same port and protocol, on the same or on every address.
    pub(crate) fn conflicts_with(&self, other: &HostPort) -> bool {
        let everywhere = |port: &HostPort| port.ip == "0.0.0.0";
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || everywhere(self) || everywhere(other))
    }
}

/// A pod as the scheduler sees it.
#[derive(Clone, Debug)]
pub(crate) struct PodInfo {
    pub(crate) pod: Arc<Pod>,
    /// What it reserves.
    pub(crate) requests: Amounts,
    /// CPU and memory, with a default for containers that do not say: for comparing nodes, not for filtering.
    pub(crate) non_zero: [i64; 2],
    pub(crate) ports: Vec<HostPort>,
    /// An error where a selector cannot be read: such a pod is not placed.
    pub(crate) affinity: Result<AffinityTerms, Error>,
    /// As for `affinity`.
    pub(crate) spread: Result<SpreadConstraints, Error>,
}

impl PodInfo {
    pub(crate) fn new(pod: Arc<Pod>) -> Self {
        let spec = pod.spec.as_ref();
        let requests = spec.map(resources::requests).unwrap_or_default();
        let non_zero = non_zero(&pod, &requests);
        let ports =
            spec.map(|spec| spec.containers.iter().flat_map(host_ports).collect()).unwrap_or_default();
        let (affinity, spread) = (AffinityTerms::of(&pod), SpreadConstraints::of(&pod));
        Self { pod, requests, non_zero, ports, affinity, spread }
    }

    pub(crate) fn uid(&self) -> &str {
        self.pod.metadata.uid.as_deref().unwrap_or_default()
    }

    pub(crate) fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or_default()
    }

    pub(crate) fn labels(&self) -> Option<&BTreeMap<String, String>> {
        self.pod.metadata.labels.as_ref()
    }

    pub(crate) fn is_terminating(&self) -> bool {
        self.pod.metadata.deletion_timestamp.is_some()
    }

    pub(crate) fn priority(&self) -> i32 {
        self.pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or(0)
    }

    pub(crate) fn tolerations(&self) -> &[Toleration] {
        self.pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default()
    }
}

fn non_zero(pod: &Pod, requests: &Amounts) -> [i64; 2] {
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let missing = |name: &str| {
        let states = |container: &&Container| {
            let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
            requests.is_some_and(|requests| requests.contains_key(name))
        };
        let count = containers.iter().filter(|container| !states(container)).count();
        i64::try_from(count).unwrap_or(i64::MAX)
    };
    [
        requests.get("cpu").saturating_add(missing("cpu").saturating_mul(DEFAULT_CPU)),
        requests.get("memory").saturating_add(missing("memory").saturating_mul(DEFAULT_MEMORY)),
    ]
}

fn host_ports(container: &Container) -> impl Iterator<Item = HostPort> {
    container.ports.iter().flatten().filter_map(|port| {
        let host_port = port.host_port.filter(|port| *port > 0)?;
        let ip = port.host_ip.clone().filter(|ip| !ip.is_empty()).unwrap_or_else(|| "0.0.0.0".into());
        let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".into());
        Some(HostPort { ip, protocol, port: host_port })
    })
}
