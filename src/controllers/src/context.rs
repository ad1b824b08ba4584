//! What every controller is given.

use std::{fmt, sync::Arc, time::Duration};

use client::{Informers, Recorder};
use ipnet::IpNet;
use tokio_util::sync::CancellationToken;

use crate::Signer;

use crate::selection::Selection;

/// The client by the name of the controller that is to act.
pub type ClientFor = Arc<dyn Fn(&str) -> kube::Client + Send + Sync>;

/// The surroundings of the controllers; cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// Shared informers, under an identity that may list and watch everything.
    pub informers: Informers,
    /// A client with the identity of the named service account in kube-system, e.g. `deployment-controller`.
    pub client_for: ClientFor,
    /// The range that pod addresses come from; without one nobody here gives nodes their part.
    pub cluster_cidr: Option<IpNet>,
    /// The certificate authority that pods verify the API server by, PEM.
    pub root_ca: String,
    /// The key that signs certificates; without one nobody here signs.
    pub signer: Option<Signer>,
    /// So long a node may be silent before it counts as unreachable; upstream's default is 50 s.
    pub node_monitor_grace_period: Duration,
    /// The name of this machine, for events.
    pub host: String,
    /// Which of them run.
    pub selection: Selection,
    /// Ends all controllers.
    pub cancel: CancellationToken,
}

impl Context {
    /// The client that writes as the service account `account`.
    pub(crate) fn client(&self, account: &str) -> kube::Client {
        (self.client_for)(account)
    }

    /// A recorder whose events come from `component` and are written as `account`.
    pub(crate) fn recorder(&self, account: &str, component: &str) -> Recorder {
        Recorder::new(self.client(account), component, &self.host)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("host", &self.host).finish_non_exhaustive()
    }
}
