//! A kubelet with its surroundings, and what tests do with it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use coxswain_kubelet::{ImageGc, Thresholds};
use serde_json::{Value, json};
use testing::Api;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::runtime::Runtime;

pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";
pub(crate) const NODES: &str = "/api/v1/nodes";

pub(crate) struct Cluster {
    pub(crate) api: Api,
    pub(crate) runtime: Runtime,
    pub(crate) dir: PathBuf,
    pub(crate) thresholds: Thresholds,
    running: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Cluster {
    /// A kubelet whose node has its pod range.
    pub(crate) async fn ready() -> Self {
        let mut cluster = Self::new();
        cluster.start();
        cluster.give_pod_range().await;
        cluster
    }

    pub(crate) fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("coxswain-kubelet-{:x}", rand::random::<u64>()));
        std::fs::create_dir_all(&dir).unwrap();
        Self { api: Api::default(), runtime: Runtime::default(), dir, thresholds: small(), running: None }
    }

    pub(crate) fn start(&mut self) {
        let config = coxswain_kubelet::Config {
            node_name: "node".into(),
            node_ip: [127, 0, 0, 1].into(),
            annotations: Default::default(),
            data_dir: self.dir.join("kubelet"),
            log_dir: self.dir.join("logs"),
            cgroup_root: String::new(),
            thresholds: self.thresholds.clone(),
            cluster_dns: None,
            cluster_domain: "cluster.local".into(),
            port: 0,
            tls: tls(),
            version: "v1.36.3".into(),
        };
        let (client, runtime) = (self.api.client(), Arc::new(self.runtime.clone()));
        let cancel = CancellationToken::new();
        let run =
            move |cancel| coxswain_kubelet::run(config.clone(), client.clone(), runtime.clone(), cancel);
        // As the server does, which begins a kubelet anew that fails or panics.
        let kept = cancel.clone();
        let task = tokio::spawn(async move { client::keep_running("kubelet", &kept, run).await });
        self.running = Some((cancel, task));
    }

    /// Ends the kubelet as a signal would.
    pub(crate) async fn stop(&mut self) {
        let (cancel, task) = self.running.take().unwrap();
        cancel.cancel();
        soon(task).await.unwrap();
    }

    pub(crate) async fn give_pod_range(&self) {
        soon(self.api.until(|api| api.get(NODES, "node"))).await;
        self.api.update(NODES, "node", |node| node["spec"] = json!({"podCIDR": "10.1.0.0/24"}));
    }

    /// Creates a pod bound to the node.
    pub(crate) fn pod(&self, name: &str, mut spec: Value) {
        spec["nodeName"] = json!("node");
        let metadata =
            json!({"name": name, "namespace": "default", "uid": format!("uid-of-{name}"), "generation": 1});
        self.api.put(PODS, json!({"metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}));
    }

    /// Waits until a pointer into the pod's status has that value.
    pub(crate) async fn until_status(&self, name: &str, pointer: &str, value: Value) -> Value {
        let pointer = format!("/status{pointer}");
        let wait = self.api.until(|api| {
            let pod = api.get(PODS, name)?;
            (pod.pointer(&pointer) == Some(&value)).then_some(pod)
        });
        match tokio::time::timeout(Duration::from_secs(20), wait).await {
            Ok(pod) => pod,
            Err(_) => {
                panic!("{pointer} is not {value} in {:#}", self.api.get(PODS, name).unwrap_or_default())
            }
        }
    }

    /// Waits for an event of that reason and gives its message.
    pub(crate) async fn until_event(&self, reason: &str) -> String {
        let events = "/api/v1/namespaces/default/events";
        let wait = self.api.until(|api| api.list(events).into_iter().find(|event| event["reason"] == reason));
        match tokio::time::timeout(Duration::from_secs(20), wait).await {
            Ok(event) => event["message"].as_str().unwrap().to_owned(),
            Err(_) => panic!("no {reason} in {:#?} of {:#?}", self.api.list(events), self.api.list(PODS)),
        }
    }
}

impl Cluster {
    /// The mount points below the kubelet's directory.
    pub(crate) fn mounts(&self) -> Vec<PathBuf> {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
        points.filter(|point| point.starts_with(&self.dir)).collect()
    }

    /// A test that failed may have left some.
    fn unmount(&self) {
        for point in self.mounts() {
            nix::mount::umount2(&point, nix::mount::MntFlags::MNT_DETACH).ok();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some((cancel, _)) = &self.running {
            cancel.cancel();
        }
        self.unmount();
        std::fs::remove_dir_all(&self.dir).ok();
    }
}

/// Fails the test if it takes too long.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it takes too long")
}

/// What a test machine has left however little that is.
fn small() -> Thresholds {
    let eviction_hard = "memory.available<50Mi,nodefs.available<64Mi,imagefs.available<64Mi";
    Thresholds {
        eviction_hard: eviction_hard.parse().unwrap(),
        image_gc: ImageGc::new(Some(100), None).unwrap(),
    }
}

fn tls() -> Arc<rustls::ServerConfig> {
    let made = rcgen::generate_simple_self_signed(vec!["node".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
    Arc::new(config)
}
