//! `<data-dir>/kubeconfig`: how the administrator reaches the server, by a client certificate of `system:masters`; where
//! controllers and scheduler run elsewhere, `controller-manager.kubeconfig` and `scheduler.kubeconfig` for them. Written at
//! the start, and again while the server runs before the certificate ends.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::control_plane::{CONTROLLERS_USER, SCHEDULER_USER};
use crate::pki::{Pki, RENEWED_AFTER, write_private};

/// A machine's clock may be set, or stand still while it sleeps: it is looked at this often.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(3600);

/// Who connects.
#[derive(Clone, Copy)]
pub(super) struct Holder {
    /// The file's name in the data directory.
    pub(super) file: &'static str,
    pub(super) user: &'static str,
    pub(super) group: Option<&'static str>,
}

/// The administrator, who may do everything.
pub(super) const ADMIN: Holder =
    Holder { file: "kubeconfig", user: "kubernetes-admin", group: Some("system:masters") };
/// Components that run alone; what they may do follows from their names.
pub(super) const COMPONENTS: [Holder; 2] = [
    Holder { file: "controller-manager.kubeconfig", user: CONTROLLERS_USER, group: None },
    Holder { file: "scheduler.kubeconfig", user: SCHEDULER_USER, group: None },
];

/// The file and what goes into it.
#[derive(Clone)]
pub(super) struct Kubeconfig {
    pub(super) holder: Holder,
    pub(super) pki: Arc<Pki>,
    pub(super) file: PathBuf,
    /// The API's address, `https://host:port`.
    pub(super) server: String,
}

impl Kubeconfig {
    /// Writes it with a new certificate.
    pub(super) fn write(&self) -> anyhow::Result<()> {
        let Holder { user, group, .. } = self.holder;
        let leaf = self.pki.client(user, group, OffsetDateTime::now_utc())?;
        let kubeconfig = self.pki.kubeconfig(&self.server, user, &leaf)?;
        write_private(&self.file, kubeconfig.as_bytes())
    }

    /// Writes it again whenever the certificate has been used for long enough, until cancelled.
    pub(super) async fn keep_fresh(self, cancel: CancellationToken) -> anyhow::Result<()> {
        let mut due = OffsetDateTime::now_utc() + RENEWED_AFTER;
        while cancel.run_until_cancelled(tokio::time::sleep(LOOKED_AT_EVERY)).await.is_some() {
            let now = OffsetDateTime::now_utc();
            if now >= due {
                match self.write() {
                    Ok(()) => due = now + RENEWED_AFTER,
                    Err(error) => {
                        tracing::error!(%error, "the kubeconfig cannot be renewed; tried again in an hour");
                    }
                }
            }
        }
        Ok(())
    }
}
