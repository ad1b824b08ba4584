//! Keeps one certificate fresh: asks for the next when 70 to 90 % of the present one's life are over (as upstream's
//! certificate manager), puts it into its file and into use. Nothing restarts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::certificate::Certificate;
use super::request::{self, Wanted};

const EARLIEST: f64 = 0.7;
const LATEST: f64 = 0.9;
/// After a refusal, doubled each time.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A sleep is never longer, since a machine's clock may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// Takes a certificate into use.
pub(super) type Install = Arc<dyn Fn(&Certificate) -> anyhow::Result<()> + Send + Sync>;

/// One certificate and what is done with it.
#[derive(Clone)]
pub(super) struct Rotation {
    pub(super) client: Client,
    pub(super) wanted: Wanted,
    pub(super) file: PathBuf,
    pub(super) install: Install,
}

impl Rotation {
    /// Runs until cancelled.
    pub(super) async fn run(self, cancel: CancellationToken) -> anyhow::Result<()> {
        cancel.run_until_cancelled(self.keep_fresh()).await.unwrap_or(Ok(()))
    }

    async fn keep_fresh(&self) -> anyhow::Result<()> {
        let mut present = Certificate::read(&self.file)?;
        // The node may have another address than when it was here last.
        if let Some(certificate) = &present
            && !certificate.names(self.wanted.names())?
        {
            present = None;
        }
        loop {
            if let Some(certificate) = &present {
                (self.install)(certificate)?;
                sleep_until(certificate.at(rand::random_range(EARLIEST..LATEST))).await;
            }
            let next = self.next().await;
            next.write(&self.file)?;
            info!(file = %self.file.display(), "a new certificate is in use");
            present = Some(next);
        }
    }

    /// The next certificate, asked for until it comes.
    async fn next(&self) -> Certificate {
        let mut wait = SHORTEST_WAIT;
        loop {
            match request::request(&self.client, &self.wanted).await {
                Ok(certificate) => return certificate,
                Err(error) => warn!("no new certificate for {}: {error:#}", self.file.display()),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}

async fn sleep_until(time: Timestamp) {
    while let Ok(left) = Duration::try_from(time.duration_since(Timestamp::now())) {
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
    }
}
