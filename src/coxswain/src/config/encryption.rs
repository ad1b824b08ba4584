//! Where the configuration of encryption at rest is, and how it becomes what the store is opened with.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, ensure};
use apiserver::Encryption;

/// What `--encryption-provider-config` and `--encryption-provider-config-automatic-reload` say.
#[derive(Clone, Debug, Default)]
pub(crate) struct EncryptionPlace {
    path: Option<PathBuf>,
    reload: bool,
}

impl EncryptionPlace {
    /// # Errors
    /// A reload of nothing.
    pub(super) fn new(path: Option<PathBuf>, reload: bool) -> anyhow::Result<Self> {
        ensure!(
            path.is_some() || !reload,
            "--encryption-provider-config-automatic-reload must be set with --encryption-provider-config"
        );
        Ok(Self { path, reload })
    }

    /// Reads the configuration and connects to the plugins in it.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(crate) async fn load(&self) -> anyhow::Result<Arc<Encryption>> {
        match &self.path {
            None => Ok(Arc::default()),
            Some(path) => Encryption::load(path, self.reload)
                .await
                .with_context(|| format!("--encryption-provider-config {}", path.display())),
        }
    }
}
