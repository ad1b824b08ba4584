//! Writes a pod's status to the API: only what changed, one request at a time, the latest always wins.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use tokio::task::JoinHandle;

use crate::{pod, status::patch};

const RETRY: Duration = Duration::from_secs(1);

pub(crate) struct Reporter {
    client: Client,
    latest: PodStatus,
    /// What the API is known to have.
    written: PodStatus,
    writing: Option<JoinHandle<Outcome>>,
    pod: Option<Pod>,
}

/// How a write ended.
enum Outcome {
    Written(Box<PodStatus>),
    /// The pod is gone: nobody will read its status.
    Gone,
    Failed,
}

impl Reporter {
    pub(crate) fn new(client: Client, pod: &Pod) -> Self {
        let known = pod.status.clone().unwrap_or_default();
        Self { client, latest: known.clone(), written: known, writing: None, pod: None }
    }

    /// The status as it was reported last, written or not.
    pub(crate) fn latest(&self) -> &PodStatus {
        &self.latest
    }

    /// Makes `status` the latest and starts to write it if it is news.
    pub(crate) fn report(&mut self, pod: &Pod, status: PodStatus, is_removed: bool) {
        self.latest = status;
        if is_removed {
            self.written.clone_from(&self.latest);
        }
        if self.writing.is_none() && self.latest != self.written {
            self.start(pod);
        }
    }

    /// Ends when a write has ended; never if none is under way.
    pub(crate) async fn written(&mut self) {
        let Some(writing) = &mut self.writing else { return std::future::pending().await };
        let outcome = writing.await.unwrap_or(Outcome::Failed);
        self.take_in(outcome);
    }

    /// Writes the latest status and says whether the API has it.
    pub(crate) async fn flush(&mut self, pod: &Pod) -> bool {
        for _ in 0..2 {
            if self.writing.is_some() {
                self.written().await;
            }
            if self.latest == self.written {
                return true;
            }
            if self.writing.is_none() {
                self.start(pod);
            }
        }
        self.written().await;
        self.latest == self.written
    }

    fn start(&mut self, pod: &Pod) {
        let pods = Api::<Pod>::namespaced(self.client.clone(), pod::namespace(pod));
        let name = pod::name(pod).to_owned();
        let (old, new) = (self.written.clone(), self.latest.clone());
        let uid = pod::uid(pod).to_owned();
        self.pod = Some(Pod { metadata: pod.metadata.clone(), ..Pod::default() });
        self.writing = Some(tokio::spawn(async move {
            let body = match patch::patch(&uid, &old, &new) {
                Ok(body) => body,
                Err(error) => {
                    tracing::error!(%error, "a pod's status cannot be encoded");
                    return Outcome::Failed;
                }
            };
            match pods.patch_status(&name, &PatchParams::default(), &Patch::Strategic(body)).await {
                Ok(_) => Outcome::Written(Box::new(new)),
                Err(error) if client::answer::is_not_found(&error) => Outcome::Gone,
                Err(error) => {
                    tracing::warn!(pod = name, %error, "a pod's status could not be written, will be tried again");
                    tokio::time::sleep(RETRY).await;
                    Outcome::Failed
                }
            }
        }));
    }

    fn take_in(&mut self, outcome: Outcome) {
        self.writing = None;
        match outcome {
            Outcome::Written(status) => self.written = *status,
            Outcome::Gone => self.written.clone_from(&self.latest),
            Outcome::Failed => {}
        }
        if self.latest != self.written
            && let Some(pod) = self.pod.take()
        {
            self.start(&pod);
        }
    }
}
