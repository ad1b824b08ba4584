//! What goes on while the server runs: plugins are looked after, and changes of the file are taken over.
//!
//! A configuration that cannot be used, or with which something could not be read any more that can be read now, changes
//! nothing but the log. What could not be read before is tried anew after each change and whenever a plugin was found well.

use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use store::{Entry, Sealing, Store};
use tokio::task::JoinSet;

use super::chain::Chain;
use super::kms::Plugin;
use super::{Encryption, Rules, anew, config, metrics};

/// How often the file is looked at; upstream's is a minute.
const POLL: Duration = Duration::from_secs(10);
/// Between two attempts to write again what the rules in use would not read.
const AGAIN: Duration = Duration::from_secs(1);
/// At most every so manieth look at a plugin tries what cannot be read although it is well.
const RARELY: u32 = 64;

/// The file as it was when it was last looked at, while it is not in use: plugins may cost money with every call, so they
/// are not asked again because of the same file.
pub(super) struct Candidate {
    hash: [u8; 32],
    rules: Result<Arc<Rules>, String>,
}

impl Encryption {
    /// Keeps the configuration up to date for as long as it is polled.
    pub async fn follow(self: Arc<Self>, store: Store) {
        tell(&store.unreadable());
        if self.source.is_none() {
            return;
        }
        loop {
            let mut tasks = JoinSet::new();
            tasks.spawn(anew::keep(store.clone()));
            for plugin in &self.rules().plugins {
                tasks.spawn(look_after(plugin.clone(), store.clone()));
            }
            self.changed(&store).await;
            // The plugins of the old configuration are no longer looked after.
            tasks.shutdown().await;
            open_unreadable(&store).await;
        }
    }

    /// Returns once another configuration is in use.
    async fn changed(&self, store: &Store) {
        let Some(source) = self.source.as_ref().filter(|source| source.reload) else {
            return std::future::pending().await;
        };
        let mut candidate = None;
        loop {
            tokio::time::sleep(POLL).await;
            match self.reload(&source.path, &mut candidate, store).await {
                Ok(false) => {}
                Ok(true) => {
                    tracing::info!("the encryption configuration has changed and is in use");
                    metrics::reloaded(true);
                    return;
                }
                Err(error) => {
                    tracing::error!(error, "the changed encryption configuration is not used");
                    metrics::reloaded(false);
                }
            }
        }
    }

    /// Takes the file over if it is another one than the one in use. Gives whether it did.
    pub(super) async fn reload(
        &self,
        path: &Path,
        candidate: &mut Option<Candidate>,
        store: &Store,
    ) -> Result<bool, String> {
        let (hash, before) = (config::hash_of(path)?, self.rules());
        let known = candidate.take().filter(|known| known.hash == hash);
        if hash == before.hash {
            return Ok(false);
        }
        let is_known = known.is_some();
        let rules = match known {
            Some(known) => known.rules,
            None => Rules::load(path, true).await.map(Arc::new).map_err(|error| error.to_string()),
        };
        candidate.replace(Candidate { hash, rules: rules.clone() });
        let rules = rules?;
        refuse(&lost(&rules, store).await)?;
        if is_known {
            rules.look().await;
        }
        rules.may_follow(&before)?;
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
        self.bring_along(store).await;
        Ok(true)
    }

    /// A write that was on its way while the rules changed may be sealed with what only the old ones have. It is too late
    /// to go back, since others are sealed with the new ones already; so it is written again.
    async fn bring_along(&self, store: &Store) {
        anew::fence(store).await;
        // What another server orders is sealed by its rules, which judge for themselves.
        while store.orders_writes() && store.is_writable() {
            let lost = lost(&self.rules(), store).await;
            if lost.is_empty() {
                return;
            }
            if !anew::write(store, lost).await {
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

impl Rules {
    /// Why these may not take the place of others: a plugin that is to write does not answer, or one that is new. One that
    /// only reads and was there before may be gone for good, and this is how to get away from it.
    fn may_follow(&self, before: &Self) -> Result<(), String> {
        self.check(|plugin| {
            let writes = self.chains.values().any(|chain| chain.writes_by(plugin));
            writes || !before.plugins.iter().any(|known| known.is_same(plugin))
        })
    }

    /// Asks the plugins how they are.
    async fn look(&self) {
        futures::future::join_all(self.plugins.iter().map(|plugin| plugin.look())).await;
    }
}

/// The entries that can be read now and of which rules do not have what they are sealed with.
async fn lost(rules: &Arc<Rules>, store: &Store) -> Vec<Arc<Entry>> {
    let rules = rules.clone();
    anew::select(store, move |store| {
        store.select(|any| {
            let chain = rules.chain(any);
            Some(move |entry: &Entry| !opens(chain, &entry.sealing))
        })
    })
    .await
}

/// Whether a chain has what an entry that can be read is sealed with. That it opens is not said.
fn opens(chain: Option<&Arc<Chain>>, sealing: &Sealing) -> bool {
    match sealing {
        Sealing::Unreadable(_) => true,
        Sealing::Plain => chain.is_none_or(|chain| chain.has(None)),
        Sealing::By(name) => chain.is_some_and(|chain| chain.has(Some(name))),
    }
}

fn refuse(lost: &[Arc<Entry>]) -> Result<(), String> {
    match lost.first() {
        None => Ok(()),
        Some(example) => Err(format!(
            "it lacks what {} objects are encrypted with, among them {}: keep the old keys, or `identity`, until everything \
             was written again",
            lost.len(),
            example.key
        )),
    }
}

/// Nobody else would say so before somebody asks for one of them.
fn tell(unreadable: &[Arc<Entry>]) {
    let Some(example) = unreadable.first() else { return };
    let why = match &example.sealing {
        Sealing::Unreadable(why) => &**why,
        _ => "",
    };
    tracing::error!(
        count = unreadable.len(),
        example = example.key.as_str(),
        why,
        "objects in the store cannot be decrypted; whoever asks for one, or for a list with one in it, gets an error until \
         --encryption-provider-config has what they are encrypted with"
    );
}

/// Tries what could not be read whenever the plugin is found well: less and less often while that changes nothing, at once
/// after it was unwell.
async fn look_after(plugin: Arc<Plugin>, store: Store) {
    let (mut pause, mut looks) = (1, 0);
    loop {
        if !plugin.next_look().await {
            (pause, looks) = (1, 0);
            continue;
        }
        looks += 1;
        if looks >= pause {
            let is_other = open_unreadable(&store).await;
            (pause, looks) = (if is_other { 1 } else { (2 * pause).min(RARELY) }, 0);
        }
    }
}

/// Gives whether more can be read than before, or less.
async fn open_unreadable(store: &Store) -> bool {
    let before = store.unreadable().len();
    match store.open_unreadable().await {
        Ok(left) if left != before => {
            tell(&store.unreadable());
            true
        }
        Ok(_) => false,
        Err(error) => {
            tracing::error!(%error, "opening what could not be decrypted before");
            false
        }
    }
}
