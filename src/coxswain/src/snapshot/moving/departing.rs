//! A state out of TiKV into a data directory, while its servers go on until the last moment.
//!
//! ```text
//! intend ─► copy ─► seal ─► finish ─► leave word ─► conclude
//!   what is to be taken back ◄─┘          └─► from here on the state is in the directory
//! ```
//!
//! The copy grows in a directory of its own that no server opens. The word that is left in the data directory decides:
//! whoever is killed before it is followed by a server over TiKV, which [`settle`]s what was begun; whoever is killed
//! behind it by one over the copy, which brings the rest to its end. What stays behind in TiKV is never changed, except
//! that it says where it went.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use store::snapshot::{Sharing, Transfer};
use store::{Departure, Engine, Revision, Settled, Store, fjall};

use super::place::{self, TikvPlace};
use super::word::{self, Intent, State};

/// Where the copy grows.
const INCOMING: &str = "store.incoming";
/// Where the server looks for it.
const STORE: &str = "store";

/// How TiKV is opened.
pub(crate) type Open = fn(&TikvPlace) -> anyhow::Result<Engine>;

/// A move that was begun.
pub(super) struct Departing {
    data: PathBuf,
    intent: Intent,
    departure: Departure,
    open: Open,
}

impl Departing {
    /// Leaves word that a move is under way.
    ///
    /// # Errors
    /// The directory holds another store, or cannot be written to.
    pub(super) fn intend(data: &Path, from: TikvPlace, host: &str, open: Open) -> anyhow::Result<Self> {
        place::clear_for(data, &from)?;
        let departure = Departure::begin(format!("the data directory {} of {host}", data.display()));
        let intent = Intent { from, token: hex::encode(departure.token) };
        intent.leave(data)?;
        Ok(Self { data: data.to_owned(), intent, departure, open })
    }

    /// Copies all that there is, while the store goes on.
    pub(super) async fn copy(&self, store: &Store) -> anyhow::Result<Transfer> {
        let directory = self.data.join(INCOMING);
        let opening = directory.clone();
        let engine = tokio::task::spawn_blocking(move || {
            place::make_private(&opening)?;
            Ok::<_, anyhow::Error>(fjall::open(&opening)?)
        });
        let context = || format!("cannot copy the state into {}", directory.display());
        let engine = engine.await?.with_context(context)?;
        store.transfer(engine, Sharing::Alone).await.with_context(context)
    }

    /// Stops the writes of all servers; says which revision stays the newest.
    pub(super) async fn seal(&self, store: &Store) -> anyhow::Result<Revision> {
        let sealed = store.seal(self.departure.clone()).await;
        sealed.with_context(|| format!("cannot stop the writes to {}", self.intent.from))
    }

    /// Makes the copy a store with everything up to that revision; the store that it is of was shut down.
    pub(super) async fn finish(&self, transfer: Transfer, newest: Revision) -> anyhow::Result<()> {
        let copied = transfer.finish().await.context("cannot finish the copy")?;
        ensure!(copied == newest, "the copy ends at revision {copied} and not at {newest}");
        Ok(())
    }

    /// From here on the state is in the data directory. Durable when it returns; whether it was done after an error, the
    /// next who looks will see.
    pub(super) fn leave_word(&self) -> anyhow::Result<()> {
        word::leave(&self.data, &State::Embedded(self.intent.clone()))
    }

    /// Brings it to its end, or takes back what was begun, as the word in the directory has it.
    pub(super) async fn settle(&self) -> anyhow::Result<()> {
        settle(&self.data, self.open).await
    }
}

/// Brings a move to its end that was broken off in a data directory, or takes it back. To be called before anything in the
/// directory is opened.
///
/// # Errors
/// It has to be taken back and TiKV cannot be reached; nothing is lost, and a later attempt may succeed.
pub(crate) async fn settle(data: &Path, open: Open) -> anyhow::Result<()> {
    let (incoming, store) = (data.join(INCOMING), data.join(STORE));
    let intent = Intent::read(data)?;
    let has_arrived = word::has_arrived(data, intent.as_ref())?;
    if has_arrived && incoming.exists() {
        std::fs::rename(&incoming, &store)
            .with_context(|| format!("cannot rename {} to {}", incoming.display(), store.display()))?;
        word::sync(data)?;
    }
    let Some(intent) = intent else { return Ok(()) };
    if has_arrived {
        let told = blocking(&intent, open, |engine, token| Ok(store::conclude(engine, token)?)).await;
        if let Err(error) = told {
            // The state is here all the same. The others wait, and the next start tells them.
            tracing::warn!(
                error = format!("{error:#}"),
                "cannot tell the cluster's other servers that the state has gone"
            );
            return Ok(());
        }
    } else {
        let from = intent.from.clone();
        let reopened = blocking(&intent, open, |engine, token| Ok(store::reopen(engine, Some(token))?)).await;
        let reopened =
            reopened.with_context(|| format!("cannot take back the move from {from} that was broken off"))?;
        ensure!(
            !matches!(reopened, Settled::Over(_)),
            "{from} was moved to {}, whose word about it is missing: put {} back",
            data.display(),
            data.join(word::WORD).display()
        );
        tracing::info!(%from, "a move that was broken off was taken back; the state is where it was");
        if incoming.exists() {
            std::fs::remove_dir_all(&incoming)
                .with_context(|| format!("cannot remove {}", incoming.display()))?;
        }
    }
    Intent::forget(data)
}

async fn blocking(
    intent: &Intent,
    open: Open,
    work: impl FnOnce(&Engine, [u8; 16]) -> anyhow::Result<Settled> + Send + 'static,
) -> anyhow::Result<Settled> {
    let intent = intent.clone();
    tokio::task::spawn_blocking(move || work(&open(&intent.from)?, intent.token()?)).await?
}

#[cfg(test)]
mod tests;
