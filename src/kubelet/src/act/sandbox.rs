//! Making and stopping sandboxes.

use std::time::Duration;

use client::EventType::{Normal, Warning};
use cri::v1;
use jiff::{SignedDuration, Timestamp};

use super::{Actor, Error, RETRY};
use crate::{
    pod,
    spec::{dns, sandbox},
};

const RESOLV_CONF: &str = "/etc/resolv.conf";
const NEXT_SANDBOX: SignedDuration = SignedDuration::from_secs(1);
const NETWORK_PATIENCE: Duration = Duration::from_secs(5);

impl Actor<'_> {
    pub(super) async fn stop_sandbox(&self, id: String, is_replaced: bool) -> Result<(), Error> {
        if is_replaced {
            let message = "Pod sandbox changed, it will be killed and re-created.";
            self.host.pod_event(self.pod, Normal, "SandboxChanged", message);
        }
        self.host.runtime.stop_pod_sandbox(v1::StopPodSandboxRequest { pod_sandbox_id: id }).await?;
        Ok(())
    }

    pub(super) async fn create_sandbox(&mut self, attempt: u32) {
        let outcome = match self.wait_for_network().await {
            Ok(()) => self.try_create_sandbox(attempt).await,
            Err(failure) => Err(failure),
        };
        // Should it turn out to be of no use, the next one is not made at once.
        self.memory.sandbox_retry = Some(Timestamp::now() + NEXT_SANDBOX);
        if let Err((reason, message)) = outcome {
            self.host.pod_event(self.pod, Warning, reason, message);
            self.memory.sandbox_retry = Some(Timestamp::now() + RETRY);
        }
    }

    /// A pod that comes right after the node does may find its network a moment too early.
    async fn wait_for_network(&self) -> Result<(), (&'static str, String)> {
        if pod::is_host_network(pod::spec(self.pod)) {
            return Ok(());
        }
        let mut network = self.host.network.clone();
        let ready = tokio::time::timeout(NETWORK_PATIENCE, network.wait_for(Result::is_ok)).await.is_ok();
        match self.host.network.borrow().as_ref() {
            Err(why) if !ready => Err(("NetworkNotReady", format!("network is not ready: {why}"))),
            _ => Ok(()),
        }
    }

    async fn try_create_sandbox(&self, attempt: u32) -> Result<(), (&'static str, String)> {
        let no_cgroup =
            |error| ("FailedCreatePodContainer", format!("unable to ensure pod container exists: {error}"));
        self.host.cgroups.ensure(self.pod).map_err(no_cgroup)?;
        let failed =
            |error: String| ("FailedCreatePodSandBox", format!("Failed to create pod sandbox: {error}"));
        let config = self.sandbox_config(attempt).map_err(failed)?;
        tokio::fs::create_dir_all(&config.log_directory).await.map_err(|error| failed(error.to_string()))?;
        let request = v1::RunPodSandboxRequest { config: Some(config), runtime_handler: String::new() };
        match self.host.runtime.run_pod_sandbox(request).await {
            Ok(_) => Ok(()),
            Err(status) => {
                Err(failed(format!("rpc error: code = {:?} desc = {}", status.code(), status.message())))
            }
        }
    }

    /// The configuration of the pod's sandbox, as it was made or will be.
    pub(super) fn sandbox_config(&self, attempt: u32) -> Result<v1::PodSandboxConfig, String> {
        let config = &self.host.config;
        // A node without that file resolves nothing, and so do pods that would inherit it.
        let node_file = std::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
        let cluster = dns::Cluster { server: config.cluster_dns, domain: &config.cluster_domain };
        sandbox::config(
            self.pod,
            sandbox::Surroundings {
                attempt,
                dns: dns::config(self.pod, &cluster, &node_file),
                log_directory: self.host.log_dir(self.pod),
                cgroup_parent: &self.host.cgroups.parent(self.pod),
                cluster_domain: &config.cluster_domain,
                made_by: &self.host.made_by(),
            },
        )
    }
}
