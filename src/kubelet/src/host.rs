//! What all pod workers of one kubelet share: configuration, clients, the machine, references to objects.
//!
//! Made once at the start. Holds no state about a pod.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, RwLock},
};

use client::{EventType, Informer, Recorder};
use k8s_openapi::api::core::v1::{Node, ObjectReference, Pod, Service, Taint};
use tokio::sync::{Notify, watch};

use crate::{
    Config,
    cgroups::Cgroups,
    machine::Machine,
    pod::{self, Role},
    references::References,
    spec::fields::{Allocatable, NodeFacts},
    tokens::Tokens,
};

/// What decides whether a pod may be on the node.
#[derive(Default)]
pub(crate) struct NodeView {
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
}

pub(crate) struct Host {
    pub config: Config,
    pub client: kube::Client,
    pub runtime: Arc<dyn cri::Runtime>,
    /// How the runtime is called in container ids.
    pub runtime_name: String,
    pub recorder: Recorder,
    pub services: Informer<Service>,
    pub references: References,
    pub tokens: Tokens,
    pub machine: Machine,
    pub cgroups: Cgroups,
    /// What is asked of the Node object, as far as it is known here.
    pub node: RwLock<Arc<NodeView>>,
    pub facts: NodeFacts,
    /// Whether pods can have addresses, and if not why.
    pub network: watch::Receiver<Result<(), String>>,
    /// Notified when the runtime has got an image: the node reports which it has.
    pub images_changed: Notify,
}

impl Host {
    /// The Node object as it was last seen.
    pub(crate) fn node(&self) -> Arc<NodeView> {
        self.node.read().expect("no panic happens while the node is locked").clone()
    }

    /// Notes what the Node object is now.
    pub(crate) fn set_node(&self, node: &Node) {
        let labels = node.metadata.labels.clone().unwrap_or_default();
        let taints = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
        *self.node.write().expect("no panic happens while the node is locked") =
            Arc::new(NodeView { labels, taints });
    }

    /// Where the files of a pod are.
    pub(crate) fn pod_dir(&self, uid: &str) -> PathBuf {
        self.config.data_dir.join("pods").join(uid)
    }

    /// Where the logs of a pod are.
    pub(crate) fn log_dir(&self, pod: &Pod) -> PathBuf {
        let name = format!("{}_{}_{}", pod::namespace(pod), pod::name(pod), pod::uid(pod));
        self.config.log_dir.join(name)
    }

    /// How this kubelet marks the sandboxes that it makes.
    pub(crate) fn made_by(&self) -> String {
        self.config.data_dir.display().to_string()
    }

    /// Records an event about a whole pod.
    pub(crate) fn pod_event(&self, pod: &Pod, kind: EventType, reason: &str, message: impl Into<String>) {
        self.recorder.event(&client::reference(pod), kind, reason, message);
    }

    /// Records an event about one container of a pod.
    pub(crate) fn container_event(
        &self,
        pod: &Pod,
        (role, name): (Role, &str),
        kind: EventType,
        reason: &str,
        message: impl Into<String>,
    ) {
        let field_path = Some(pod::field_path(role, name));
        let about = ObjectReference { field_path, ..client::reference(pod) };
        self.recorder.event(&about, kind, reason, message);
    }
}

/// What pods can learn about the node they are on.
pub(crate) fn facts(config: &Config, machine: &Machine) -> NodeFacts {
    let allocatable = machine.allocatable();
    NodeFacts {
        host_ips: vec![config.node_ip.to_string()],
        allocatable: Allocatable {
            milli_cpu: allocatable.milli_cpu,
            memory_bytes: allocatable.memory_bytes,
            ephemeral_bytes: allocatable.ephemeral_bytes,
        },
    }
}
