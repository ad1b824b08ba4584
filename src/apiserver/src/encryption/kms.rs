//! A KMS v2 plugin: a process behind a unix socket that encrypts seeds; objects are encrypted here, with keys derived from
//! them (upstream's `value/encrypt/envelope/kmsv2`).
//!
//! A new seed is made when the server starts and when the plugin says that its own key has changed; one call of the plugin
//! then serves all writes. Every stored form carries its seed as the plugin encrypted it, so reading asks the plugin once for
//! each seed. Writes go on for three minutes without the plugin, reads of known seeds forever. A plugin that does not answer
//! is left alone for a while, so that thousands of objects do not wait for it in turn.

mod calls;
mod envelope;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::config::Kms;
use super::{fingerprint, metrics, validate};
use calls::{CallError, Calls};
use envelope::{Envelope, Seed};

/// How long writes go on with a seed after the plugin was last known to be well.
const WRITES_FOR: Duration = Duration::from_secs(3 * 60);
/// Between two looks at a plugin that is well, and at one that is not.
const WELL: Duration = Duration::from_secs(60);
const UNWELL: Duration = Duration::from_secs(10);
/// So long a plugin that did not answer is not asked for seeds.
const SILENCE: Duration = Duration::from_secs(10);
/// So long a seed that the plugin refused is not asked for again: all objects of it are tried together.
const REFUSAL: Duration = Duration::from_secs(10);
/// Seeds of the past that are remembered; one for each key of the plugin and each start of a server.
const SEEDS: usize = 10_000;

/// A plugin, and the seed that is written with.
pub(super) struct Plugin {
    name: String,
    endpoint: String,
    calls: Calls,
    state: RwLock<State>,
    /// By their encrypted form.
    seeds: Mutex<HashMap<Vec<u8>, Arc<Seed>>>,
    /// Those that it would not decrypt, by their encrypted form, and when that was.
    refused: Mutex<HashMap<Vec<u8>, (Instant, CallError)>>,
    /// Since when it does not answer when it is asked for seeds, and what came instead.
    silence: Mutex<Option<(Instant, CallError)>>,
    /// Reading happens on threads that may wait, and the plugin is asked on this.
    runtime: Handle,
}

#[derive(Default)]
struct State {
    writing: Option<Writing>,
    failure: Option<String>,
}

impl State {
    /// Upstream's words, and why.
    fn never_answered(&self) -> String {
        let failure = self.failure.as_deref().unwrap_or("the KMS plugin has not answered yet");
        format!("got unexpected nil transformer: {failure}")
    }
}

struct Writing {
    seed: Arc<Seed>,
    /// What stands around each object.
    envelope: Envelope,
    by: Arc<str>,
    until: Instant,
}

impl Plugin {
    /// Asks the plugin for a first seed; that it does not answer is no error, it may come later.
    pub(super) async fn connect(config: &Kms) -> Result<Arc<Self>, String> {
        if config.api_version == "v1" {
            return Err(
                "KMSv1 is deprecated and will only receive security updates going forward. Use KMSv2 \
                        instead."
                    .to_owned(),
            );
        }
        let timeout = validate::timeout(config).ok_or("the timeout is not valid")?;
        let plugin = Arc::new(Self {
            name: config.name.clone(),
            endpoint: config.endpoint.clone(),
            calls: Calls::new(&config.name, &config.endpoint, timeout)?,
            state: RwLock::default(),
            seeds: Mutex::default(),
            refused: Mutex::default(),
            silence: Mutex::default(),
            runtime: Handle::current(),
        });
        plugin.look().await;
        Ok(plugin)
    }

    /// Whether the other is the same plugin, perhaps of another configuration.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (&self.name, &self.endpoint) == (&other.name, &other.endpoint)
    }

    /// Waits until it is time, and looks at the plugin again. Gives whether it can be used.
    pub(super) async fn next_look(&self) -> bool {
        tokio::time::sleep(if self.failure().is_none() { WELL } else { UNWELL }).await;
        self.look().await
    }

    /// Why the plugin cannot be used.
    pub(super) fn failure(&self) -> Option<String> {
        self.read().failure.clone()
    }

    /// What an object that is written now is sealed with.
    pub(super) fn current(&self) -> Arc<str> {
        self.read().writing.as_ref().map_or_else(|| Arc::from(""), |writing| writing.by.clone())
    }

    pub(super) fn seal(&self, place: &[u8], object: &[u8]) -> Result<(Vec<u8>, Arc<str>), String> {
        let state = self.read();
        let writing = state.writing.as_ref().ok_or_else(|| state.never_answered())?;
        if Instant::now() > writing.until {
            let key = fingerprint(writing.envelope.key_id.as_bytes());
            return Err(format!("encryptedDEKSource with keyID hash {key:?} expired"));
        }
        let sealed = writing.seed.seal(place, object)?;
        Ok((writing.envelope.around(sealed), writing.by.clone()))
    }

    pub(super) fn open(&self, place: &[u8], stored: &[u8]) -> Result<(Vec<u8>, Arc<str>), String> {
        let envelope = Envelope::parse(stored)?;
        // Without it the plugin has never answered, and each object would wait for it in vain.
        {
            let state = self.read();
            state.writing.as_ref().ok_or_else(|| state.never_answered())?;
        }
        let source = envelope.source();
        let known = self.seeds().get(&source).cloned();
        let seed = match known {
            Some(seed) => seed,
            None => {
                let plain = self.decrypt(&envelope, &source);
                let plain = plain.map_err(|error| format!("failed to decrypt DEK, error: {error}"))?;
                let seed = Arc::new(envelope.seed(plain)?);
                self.remember(source, seed.clone());
                seed
            }
        };
        let object = seed.open(place, &envelope.encrypted_data)?;
        Ok((object, self.named(&envelope.key_id)))
    }

    /// Asks the plugin for a seed, unless it has just not answered, or refused this one; blocks.
    fn decrypt(&self, envelope: &Envelope, source: &[u8]) -> Result<Vec<u8>, CallError> {
        if let Some((since, error)) = &*self.silence()
            && since.elapsed() < SILENCE
        {
            return Err(error.clone());
        }
        if let Some((_, error)) = self.refused().get(source).filter(|(since, _)| since.elapsed() < REFUSAL) {
            return Err(error.clone());
        }
        let plain = self.runtime.block_on(self.calls.decrypt(envelope));
        let failure = plain.as_ref().err().map(|error| (Instant::now(), error.clone()));
        let (silence, refusal) = match failure {
            Some(failure) if failure.1.is_silence => (Some(failure), None),
            failure => (None, failure),
        };
        *self.silence() = silence;
        if let Some(refusal) = refusal {
            let mut refused = self.refused();
            refused.retain(|_, (since, _)| since.elapsed() < REFUSAL);
            refused.insert(source.to_vec(), refusal);
        }
        plain
    }

    /// Asks the plugin how it is, and for a seed where its key is another one. Gives whether it can be used.
    pub(super) async fn look(&self) -> bool {
        let failure = self.renew().await.err();
        if let Some(failure) = &failure {
            tracing::warn!(plugin = self.name, failure, "the KMS plugin failed its health check");
        }
        let is_well = failure.is_none();
        let before = std::mem::replace(
            &mut self.state.write().unwrap_or_else(PoisonError::into_inner).failure,
            failure,
        );
        if is_well && before.is_some() {
            tracing::info!(plugin = self.name, "the KMS plugin is well again");
        }
        is_well
    }

    async fn renew(&self) -> Result<(), String> {
        // Taken before the plugin is asked: what it says is true at the latest now.
        let until = Instant::now() + WRITES_FOR;
        let name = &self.name;
        let status = self.calls.status().await.map_err(|error| {
            format!("failed to perform status section of the healthz check for KMS Provider {name}, error: {error}")
        })?;
        let unwell = |why: String| format!("kmsv2 Provider {name} is not healthy, error: {why}");
        status.check().map_err(unwell)?;
        {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(writing) = state.writing.as_mut().filter(|own| own.envelope.key_id == status.key_id) {
                writing.until = until;
                return Ok(());
            }
        }
        let (seed, envelope) = self.generate().await.map_err(unwell)?;
        if envelope.key_id != status.key_id {
            return Err(unwell("its key changed between its status and an encryption".to_owned()));
        }
        let seed = Arc::new(seed);
        self.remember(envelope.source(), seed.clone());
        let by = self.named(&envelope.key_id);
        let writing = Some(Writing { seed, envelope, by, until });
        self.state.write().unwrap_or_else(PoisonError::into_inner).writing = writing;
        Ok(())
    }

    async fn generate(&self) -> Result<(Seed, Envelope), String> {
        let plain: [u8; envelope::SEED] = rand::random();
        let encrypted = self.calls.encrypt(&plain).await;
        let encrypted = encrypted.map_err(|error| format!("failed to encrypt DEK, error: {error}"))?;
        Ok((Seed::derived(plain.to_vec())?, Envelope::new(encrypted)?))
    }

    fn remember(&self, source: Vec<u8>, seed: Arc<Seed>) {
        let mut seeds = self.seeds();
        if seeds.len() >= SEEDS {
            // They are found again by asking the plugin.
            seeds.clear();
        }
        seeds.insert(source, seed);
        metrics::seeds(&self.name, seeds.len());
    }

    /// An object is stale when the plugin has another key, not when it was another seed.
    fn named(&self, key_id: &str) -> Arc<str> {
        format!("k8s:enc:kms:v2:{}:{key_id}", self.name).into()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn silence(&self) -> std::sync::MutexGuard<'_, Option<(Instant, CallError)>> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self) -> std::sync::MutexGuard<'_, HashMap<Vec<u8>, (Instant, CallError)>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seeds(&self) -> std::sync::MutexGuard<'_, HashMap<Vec<u8>, Arc<Seed>>> {
        self.seeds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
