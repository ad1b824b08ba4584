//! Encryption at rest, as upstream's EncryptionConfiguration says it: which resources, with which providers.
//!
//! The store asks it for the stored form of every version ([`store::Seal`]). The first provider of a resource writes, all of
//! them read; stored forms and their prefixes are upstream's (`k8s.io/apiserver/pkg/storage/value`), with the store's key as
//! additional data. Objects in memory and on their way are never touched. Configurations come from a file ([`config`]), are
//! checked ([`validate`]) and may be followed ([`follow`]); what clients cannot write again is written in [`anew`]; ciphers
//! are in [`cipher`], plugins in [`kms`].

mod anew;
mod chain;
mod cipher;
mod config;
mod follow;
mod kms;
mod metrics;
mod validate;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use bytes::Bytes;
use machinery::Status;
use sha2::{Digest, Sha256};
use store::{Entry, Key, Opened, Seal, Sealed, Sealing, Snapshot};

use chain::Chain;
use kms::Plugin;
use metrics::Way;

/// Why a configuration cannot be used; upstream's sentences.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct EncryptionError(String);

/// What is encrypted in the store, and how. Without a configuration nothing is, and nothing encrypted can be read.
#[derive(Default)]
pub struct Encryption {
    rules: RwLock<Arc<Rules>>,
    /// Where the configuration comes from.
    source: Option<Source>,
}

struct Source {
    path: PathBuf,
    /// Whether changes of the file are followed.
    reload: bool,
}

/// One configuration.
#[derive(Default)]
struct Rules {
    /// By resource and group; `*` for all.
    chains: HashMap<(String, String), Arc<Chain>>,
    plugins: Vec<Arc<Plugin>>,
    /// Of the file.
    hash: [u8; 32],
}

impl Encryption {
    /// Reads the file of `--encryption-provider-config`. KMS plugins are asked for a first key; one that does not answer is
    /// asked again in the background ([`Encryption::follow`]).
    ///
    /// # Errors
    /// A file that cannot be read, is not an EncryptionConfiguration, or asks for what there is not.
    pub async fn load(path: &Path, reload: bool) -> Result<Arc<Self>, EncryptionError> {
        let rules = Rules::load(path, reload).await?;
        let source = Source { path: path.to_owned(), reload };
        Ok(Arc::new(Self { rules: RwLock::new(Arc::new(rules)), source: Some(source) }))
    }

    fn rules(&self) -> Arc<Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether there are plugins to look after, or may be; upstream's health check exists only then.
    pub(crate) fn has_health(&self) -> bool {
        !self.rules().plugins.is_empty() || self.source.as_ref().is_some_and(|source| source.reload)
    }

    /// Why a plugin cannot be used, for `/readyz` and its like.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.rules().check(|_| true)
    }
}

impl Rules {
    async fn load(path: &Path, reload: bool) -> Result<Self, EncryptionError> {
        let parsed = config::read(path, reload).map_err(|why| format!("error while parsing file: {why}"));
        let (config, hash) = parsed.map_err(EncryptionError)?;
        let mut rules = Rules { hash, ..Rules::default() };
        for resources in &config.resources {
            let (chain, plugins) = Chain::of(resources)
                .await
                .map_err(|why| EncryptionError(format!("error while building transformers: {why}")))?;
            rules.plugins.extend(plugins);
            for resource in &resources.resources {
                rules
                    .add(resource, &chain)
                    .map_err(|why| EncryptionError(format!("error while building transformers: {why}")))?;
            }
        }
        Ok(rules)
    }

    /// Why one of the plugins that count cannot be used.
    fn check(&self, counts: impl Fn(&Arc<Plugin>) -> bool) -> Result<(), String> {
        let plugins = self.plugins.iter().enumerate().filter(|(_, plugin)| counts(plugin));
        let failures = plugins
            .filter_map(|(place, plugin)| Some(format!("kms-provider-{place}: {}", plugin.failure()?)));
        let failures: Vec<_> = failures.collect();
        if failures.is_empty() { Ok(()) } else { Err(failures.join(", ")) }
    }

    /// A later rule for the same resource adds providers to read with; one behind a wildcard would never be used.
    fn add(&mut self, named: &str, chain: &Chain) -> Result<(), String> {
        let (resource, group) = parse(named);
        for (any, mask) in [(("*", group), format!("*.{group}")), (("*", "*"), "*.*".to_owned())] {
            if self.chains.contains_key(&(any.0.to_owned(), any.1.to_owned())) {
                return Err(format!("resource {named:?} is masked by earlier rule {mask:?}"));
            }
        }
        let all = self.chains.entry((resource.to_owned(), group.to_owned())).or_default();
        *all = Arc::new(all.with(chain));
        Ok(())
    }

    fn chain(&self, key: &Key) -> Option<&Arc<Chain>> {
        // What servers of one cluster share beside the API is as secret as a secret.
        let (resource, group) = match key.group() {
            anew::GROUP => ("secrets", ""),
            group => (key.resource(), group),
        };
        [(resource, group), ("*", group), ("*", "*")]
            .into_iter()
            .find_map(|(resource, group)| self.chains.get(&(resource.to_owned(), group.to_owned())))
    }
}

/// `resource` or `resource.group`.
fn parse(named: &str) -> (&str, &str) {
    named.split_once('.').unwrap_or((named, ""))
}

impl Seal for Encryption {
    fn seal(&self, key: &Key, object: &[u8]) -> Result<Option<Sealed>, String> {
        let rules = self.rules();
        match rules.chain(key) {
            None => Ok(None),
            Some(chain) => {
                let began = Instant::now();
                let sealed = chain.seal(key.as_str().as_bytes(), object);
                metrics::transformed(key, Way::ToStorage, chain.writes(), began.elapsed(), sealed.is_ok());
                sealed
            }
        }
    }

    fn current(&self, key: &Key) -> Option<Arc<str>> {
        self.rules().chain(key)?.writer()
    }

    fn open(&self, key: &Key, stored: Bytes) -> Result<Opened, String> {
        let rules = self.rules();
        match rules.chain(key) {
            None if stored.starts_with(chain::ENCRYPTED) => Err(chain::UNEXPECTED.to_owned()),
            None => Ok(Opened { object: stored, by: None }),
            Some(chain) => {
                let (began, prefix) = (Instant::now(), chain.reads(&stored));
                let opened = chain.open(key.as_str().as_bytes(), stored);
                metrics::transformed(key, Way::FromStorage, prefix, began.elapsed(), opened.is_ok());
                opened
            }
        }
    }
}

/// The first bytes of a digest, to tell keys apart without showing them.
fn fingerprint(secret: &[u8]) -> String {
    let digest = Sha256::digest(secret);
    digest[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Refuses an entry that could not be decrypted, as upstream's storage does.
pub(crate) fn readable(entry: &Entry) -> Result<(), Status> {
    match &entry.sealing {
        Sealing::Unreadable(why) => Err(Status::internal(why)),
        Sealing::Plain | Sealing::By(_) => Ok(()),
    }
}

/// Refuses a list with an entry that could not be decrypted; leaving it out would be taken for its absence.
pub(crate) fn all_readable(snapshot: &Snapshot) -> Result<(), Status> {
    snapshot.unreadable().map_or(Ok(()), refused)
}

/// As [`all_readable`], of entries of the past.
pub(crate) fn each_readable(entries: &[Arc<Entry>]) -> Result<(), Status> {
    let unreadable = entries.iter().find(|entry| matches!(entry.sealing, Sealing::Unreadable(_)));
    unreadable.map_or(Ok(()), refused)
}

fn refused(entry: &Arc<Entry>) -> Result<(), Status> {
    let Sealing::Unreadable(why) = &entry.sealing else { return Ok(()) };
    Err(Status::internal(format!("unable to transform key {:?}: {why}", entry.key.as_str())))
}

#[cfg(test)]
mod tests;
