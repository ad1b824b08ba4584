//! The node's own object: registration, status, heartbeat, and the pod range that it is given.
//!
//! Input is the machine, the runtime's status and the Node object; output goes to the API and, as the state of the network, to
//! pod workers. Knows no pods.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use client::{Change, EventType, Informer, Selection};
use cri::v1;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeStatus, ObjectReference};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{Error, disk, host::Host};

mod lease;
mod pressure;
mod status;

/// The status is written at least this often, and whenever it changes.
const REPORT_EVERY: Duration = Duration::from_secs(300);
const RETRY: Duration = Duration::from_secs(1);

/// Keeps the Node object true until cancelled.
pub(crate) struct Keeper {
    host: Arc<Host>,
    port: u16,
    nodes: Api<Node>,
    /// What the runtime calls itself.
    version: v1::VersionResponse,
    network: watch::Sender<Result<(), String>>,
    /// Our heart's.
    beat: Arc<Notify>,
    /// The range the runtime was told.
    pod_cidr: Option<String>,
    reported: Option<NodeStatus>,
    /// What the runtime holds; asked for again when that may have changed, for it has to read them all.
    images: Vec<v1::Image>,
    /// A path on their file system, once it is known.
    images_path: Option<PathBuf>,
    pressure: pressure::Watch,
}

/// The labels that every node has.
fn labels(host: &Host) -> BTreeMap<String, String> {
    let architecture = host.machine.architecture;
    let labels = [
        ("beta.kubernetes.io/arch", architecture),
        ("beta.kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture),
        ("kubernetes.io/hostname", host.config.node_name.as_str()),
        ("kubernetes.io/os", "linux"),
    ];
    labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// How events name the node.
pub(crate) fn reference(name: &str) -> ObjectReference {
    ObjectReference {
        kind: Some("Node".into()),
        name: Some(name.into()),
        uid: Some(name.into()),
        ..ObjectReference::default()
    }
}

impl Keeper {
    pub(crate) fn new(
        host: Arc<Host>,
        port: u16,
        version: v1::VersionResponse,
        network: watch::Sender<Result<(), String>>,
    ) -> Self {
        let nodes = Api::all(host.client.clone());
        Self {
            host,
            port,
            nodes,
            version,
            network,
            beat: Arc::default(),
            pod_cidr: None,
            reported: None,
            images: Vec::new(),
            images_path: None,
            pressure: pressure::Watch::default(),
        }
    }

    /// Registers the node, then keeps lease and status up to date.
    pub(crate) async fn run(mut self, cancel: CancellationToken) -> Result<(), Error> {
        self.look_at_images().await;
        let node = self.register(&cancel).await?;
        self.host.set_node(&node);
        self.event(EventType::Normal, "Starting", "Starting kubelet.".into());
        let lease = lease::keep(self.host.clone(), self.beat.clone());
        // In one task: a panic of either is the kubelet's, which begins anew.
        cancel.run_until_cancelled(async { tokio::join!(lease, self.follow(&node, cancel.clone())) }).await;
        Ok(())
    }

    async fn follow(&mut self, node: &Node, cancel: CancellationToken) {
        self.configure_network(node).await;
        self.report(node.status.as_ref()).await;
        let selection = Selection::fields(format!("metadata.name={}", self.host.config.node_name));
        let informer = Informer::<Node>::start(self.host.client.clone(), None, selection, cancel);
        let mut changes = informer.subscribe();
        let (beat, host) = (self.beat.clone(), self.host.clone());
        let mut next = Instant::now() + REPORT_EVERY;
        loop {
            tokio::select! {
                change = changes.next() => match change {
                    Some(Change::Applied { new, .. }) => {
                        self.host.set_node(&new);
                        self.configure_network(&new).await;
                        self.report_if_changed(new.status.as_ref()).await;
                    }
                    // As upstream: whoever deletes the node of a kubelet that runs means it.
                    Some(Change::Deleted(_)) => {
                        tracing::warn!("the node was deleted; the kubelet registers it again when it starts again");
                    }
                    None => return,
                },
                () = beat.notified() => {
                    let node = informer.get("", &host.config.node_name);
                    self.report_if_changed(node.as_deref().and_then(|node| node.status.as_ref())).await;
                }
                () = host.images_changed.notified() => {
                    self.look_at_images().await;
                    let node = informer.get("", &host.config.node_name);
                    self.report_if_changed(node.as_deref().and_then(|node| node.status.as_ref())).await;
                }
                () = sleep_until(next) => {
                    self.look_at_images().await;
                    let node = informer.get("", &host.config.node_name);
                    self.report(node.as_deref().and_then(|node| node.status.as_ref())).await;
                    next = Instant::now() + REPORT_EVERY;
                }
            }
        }
    }

    /// Creates the Node object, or makes the one that is there carry our labels.
    async fn register(&mut self, cancel: &CancellationToken) -> Result<Node, Error> {
        loop {
            match self.try_register().await {
                Ok(node) => return Ok(node),
                Err(error) => tracing::warn!(%error, "the node could not be registered, will be tried again"),
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = cancel.cancelled() => return Err(Error::Cancelled),
            }
        }
    }

    async fn try_register(&mut self) -> Result<Node, kube::Error> {
        let name = self.host.config.node_name.clone();
        let mut annotations = json!({"volumes.kubernetes.io/controller-managed-attach-detach": "true"});
        for (key, value) in &self.host.config.annotations {
            annotations[key] = json!(value);
        }
        let metadata = json!({"name": name, "labels": labels(&self.host), "annotations": annotations});
        let status = self.status(None).await;
        let mut node: Node =
            serde_json::from_value(json!({"metadata": metadata})).map_err(kube::Error::SerdeError)?;
        node.status = Some(status);
        match self.nodes.create(&PostParams::default(), &node).await {
            Err(error) if client::answer::is_already_exists(&error) => {
                let patch = Patch::Strategic(json!({"metadata": metadata}));
                self.nodes.patch(&name, &PatchParams::default(), &patch).await
            }
            created => created,
        }
    }

    /// Hands the node's pod range to the runtime.
    async fn configure_network(&mut self, node: &Node) {
        let cidr = node.spec.as_ref().and_then(|spec| spec.pod_cidr.clone());
        if cidr.is_some() && cidr != self.pod_cidr {
            let network_config = Some(v1::NetworkConfig { pod_cidr: cidr.clone().unwrap_or_default() });
            let runtime_config = Some(v1::RuntimeConfig { network_config });
            let request = v1::UpdateRuntimeConfigRequest { runtime_config };
            match self.host.runtime.update_runtime_config(request).await {
                Ok(_) => self.pod_cidr = cidr,
                Err(status) => {
                    tracing::warn!(error = status.message(), "the runtime does not take the pod range");
                }
            }
        }
    }

    /// Writes the status if it says something new, or if somebody else wrote over it.
    async fn report_if_changed(&mut self, in_api: Option<&NodeStatus>) {
        let status = self.status(in_api).await;
        if in_api.is_none_or(|in_api| !status::says_the_same(in_api, &status)) {
            self.write(status, in_api).await;
        }
    }

    async fn report(&mut self, in_api: Option<&NodeStatus>) {
        let status = self.status(in_api).await;
        self.write(status, in_api).await;
    }

    async fn write(&mut self, status: NodeStatus, in_api: Option<&NodeStatus>) {
        for reason in status::transitions(self.reported.as_ref().or(in_api), &status) {
            let message = format!("Node {} status is now: {reason}", self.host.config.node_name);
            self.event(EventType::Normal, reason, message);
        }
        let patch = Patch::Strategic(json!({"status": status}));
        match self.nodes.patch_status(&self.host.config.node_name, &PatchParams::default(), &patch).await {
            Ok(_) => self.reported = Some(status),
            Err(error) => tracing::warn!(%error, "the node's status could not be written"),
        }
    }

    /// The status as it is now; tells pod workers how the network is.
    async fn status(&mut self, in_api: Option<&NodeStatus>) -> NodeStatus {
        self.look_at_version().await;
        let state = self.host.runtime.status(v1::StatusRequest { verbose: false }).await;
        let now = Timestamp::now();
        let measured = pressure::Measured::now(&self.host.config.data_dir, self.images_path.as_deref());
        let pressure =
            self.pressure.update(measured.pressure(&self.host.config.thresholds.eviction_hard), now);
        let status = status::status(&status::Input {
            host: &self.host,
            port: self.port,
            version: &self.version,
            runtime: state.as_ref(),
            images: &self.images,
            pressure,
            old: self.reported.as_ref().or(in_api),
            in_api,
            now,
        });
        let network =
            state.map_err(|status| status.message().to_owned()).and_then(|state| status::network(&state));
        self.network.send_if_modified(|known| {
            let changed = *known != network;
            *known = network;
            changed
        });
        status
    }

    /// A runtime may have been replaced by a newer one; one that does not answer is still the one it was.
    async fn look_at_version(&mut self) {
        match self.host.runtime.version(v1::VersionRequest::default()).await {
            Ok(version) => self.version = version,
            Err(error) => tracing::warn!(error = error.message(), "the runtime does not tell its version"),
        }
    }

    async fn look_at_images(&mut self) {
        match self.host.runtime.list_images(v1::ListImagesRequest::default()).await {
            Ok(answer) => self.images = answer.images,
            Err(error) => tracing::warn!(error = error.message(), "the runtime does not list its images"),
        }
        if self.images_path.is_none() {
            match disk::images_path(self.host.runtime.as_ref()).await {
                Ok(path) => self.images_path = Some(path.into()),
                Err(error) => tracing::warn!(%error, "the disk of the images is not watched"),
            }
        }
    }

    fn event(&self, kind: EventType, reason: &str, message: String) {
        self.host.recorder.event(&reference(&self.host.config.node_name), kind, reason, message);
    }
}
