//! What goes on while the server runs: plugins are looked after, and changes of the file are taken over.
//!
//! A configuration that cannot be used changes nothing but the log. What could not be read before is tried anew when a
//! plugin has become well and after each change.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use store::Store;
use tokio::task::JoinSet;

use super::kms::Plugin;
use super::{Encryption, Rules, config, metrics};

/// How often the file is looked at; upstream's is a minute.
const POLL: Duration = Duration::from_secs(10);

impl Encryption {
    /// Keeps the configuration up to date for as long as it is polled.
    pub async fn follow(self: Arc<Self>, store: Store) {
        if self.source.is_none() {
            return;
        }
        loop {
            let mut plugins = JoinSet::new();
            for plugin in &self.rules().plugins {
                plugins.spawn(look_after(plugin.clone(), store.clone()));
            }
            self.changed().await;
            // The plugins of the old configuration are no longer looked after.
            plugins.shutdown().await;
            open_unreadable(&store).await;
        }
    }

    /// Returns once another configuration is in use.
    async fn changed(&self) {
        let Some(source) = self.source.as_ref().filter(|source| source.reload) else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(POLL).await;
            match config::hash_of(&source.path) {
                Ok(hash) if hash == self.rules().hash => continue,
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(error, "the encryption configuration cannot be looked at");
                    metrics::reloaded(false);
                    continue;
                }
            }
            match Rules::load(&source.path, true).await {
                Ok(rules) => {
                    *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
                    tracing::info!("the encryption configuration has changed and is in use");
                    metrics::reloaded(true);
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "the changed encryption configuration is not used");
                    metrics::reloaded(false);
                }
            }
        }
    }
}

async fn look_after(plugin: Arc<Plugin>, store: Store) {
    loop {
        plugin.recovery().await;
        open_unreadable(&store).await;
    }
}

async fn open_unreadable(store: &Store) {
    match store.open_unreadable().await {
        Ok(0) => {}
        Ok(count) => tracing::warn!(count, "objects in the store cannot be decrypted"),
        Err(error) => tracing::error!(%error, "opening what could not be decrypted before"),
    }
}
