//! A state out of TiKV into a data directory, while its servers go on until the last moment.
//!
//! ```text
//! intend ─► copy ─► seal ─► finish ─► conclude ─► leave word ─► the copy is the store
//!   what is to be taken back ◄──┘         └─► from here on the state is in the directory
//! ```
//!
//! The copy grows in a directory of its own that no server opens. One record decides where the state is: the one in TiKV
//! that the move is over, which is written once the copy is complete and durable, unless the move was taken back or given up
//! before. Whoever is killed asks it ([`settle`]) and serves nothing until it has answered; the word in the data directory
//! only spares the question. What stays behind in TiKV is never changed, except that it says where it went.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use store::snapshot::{Sharing, Transfer};
use store::{Departure, Engine, Revision, Settled, Store, fjall};
use tokio_util::sync::CancellationToken;

pub(super) mod gone;

use super::place::{self, TikvPlace};
use super::word::{self, Intent, State};

/// The way on that a person has to choose.
const IF_GONE: &str =
    "if that TiKV is gone for good, `coxswain store move --to embedded --tikv-is-gone` goes on with the copy";
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
    /// Another is, or the directory holds another store, or cannot be written to.
    pub(super) fn intend(data: &Path, from: TikvPlace, host: &str, open: Open) -> anyhow::Result<Self> {
        Intent::must_not_be(data)?;
        place::clear_for(data, &from)?;
        let departure = Departure::begin(format!("the data directory {} of {host}", data.display()));
        let intent = Intent { from, token: hex::encode(departure.token) };
        intent.leave(data)?;
        Ok(Self { data: data.to_owned(), intent, departure, open })
    }

    /// Copies all that there is, while the store goes on and nobody cancels.
    pub(super) async fn copy(&self, store: &Store, cancel: CancellationToken) -> anyhow::Result<Transfer> {
        let directory = self.data.join(INCOMING);
        let opening = directory.clone();
        let engine = tokio::task::spawn_blocking(move || {
            place::make_private(&opening)?;
            Ok::<_, anyhow::Error>(fjall::open(&opening)?)
        });
        let context = || format!("cannot copy the state into {}", directory.display());
        let engine = engine.await?.with_context(context)?;
        store.transfer(engine, Sharing::Alone, cancel).await.with_context(context)
    }

    /// Stops the writes of all servers; says which revision stays the newest.
    pub(super) async fn seal(&self, store: &Store) -> anyhow::Result<Revision> {
        let sealed = store.seal(self.departure.clone()).await;
        sealed.with_context(|| format!("cannot stop the writes to {}", self.intent.from))
    }

    /// Makes the copy a durable store with everything up to that revision; the store that it is of was shut down.
    pub(super) async fn finish(&self, transfer: Transfer, newest: Revision) -> anyhow::Result<()> {
        let copied = transfer.finish().await.context("cannot finish the copy")?;
        ensure!(copied == newest, "the copy ends at revision {copied} and not at {newest}");
        Ok(())
    }

    /// From here on the state is in the data directory.
    ///
    /// # Errors
    /// It was given up meanwhile, and the copy is worth nothing; or TiKV failed, and [`Departing::settle`] finds out.
    pub(super) async fn conclude(&self) -> anyhow::Result<()> {
        let from = &self.intent.from;
        let concluded =
            blocking(&self.intent, self.open, |engine, token| Ok(store::conclude(engine, token)?)).await;
        let concluded = concluded
            .with_context(|| format!("cannot say in {from} that the state has gone; the next start looks"))?;
        ensure!(concluded == Settled::Done, "the move was given up meanwhile: the state stays in {from}");
        Ok(())
    }

    /// Says in the data directory, too, where the state is. Durable when it returns.
    pub(super) fn leave_word(&self) -> anyhow::Result<()> {
        word::leave(&self.data, &State::Embedded(self.intent.clone()))
    }

    /// As [`settle`].
    pub(super) async fn settle(&self) -> anyhow::Result<bool> {
        settle(&self.data, self.open).await
    }
}

/// Brings a move to its end that was broken off in a data directory, or takes it back; whether the state has arrived by it.
/// To be called before anything in the directory is opened.
///
/// # Errors
/// TiKV has to be asked and cannot be reached: where the state is, is not known then. Nothing is lost, and a later attempt
/// may succeed.
pub(crate) async fn settle(data: &Path, open: Open) -> anyhow::Result<bool> {
    let Some(intent) = Intent::read(data)? else { return Ok(false) };
    let has_arrived = word::has_arrived(data, &intent)? || has_gone(data, &intent, open).await?;
    if has_arrived {
        let (incoming, store) = (data.join(INCOMING), data.join(STORE));
        if incoming.exists() {
            std::fs::rename(&incoming, &store)
                .with_context(|| format!("cannot rename {} to {}", incoming.display(), store.display()))?;
        }
    } else {
        remove_copy(data)?;
    }
    // Where the copy is has to be durable before what was to be done with it is forgotten.
    word::sync(data)?;
    Intent::forget(data)?;
    Ok(has_arrived)
}

/// Whether the state has gone from TiKV, of which word is left then; otherwise this move takes it nowhere any more.
async fn has_gone(data: &Path, intent: &Intent, open: Open) -> anyhow::Result<bool> {
    let from = &intent.from;
    let reopened = blocking(intent, open, |engine, token| Ok(store::reopen(engine, Some(token))?)).await;
    let reopened = reopened.with_context(|| {
        format!(
            "a move from {from} was broken off, and whether it had succeeded is known there only; {IF_GONE}"
        )
    })?;
    // Somebody removed it since, and the copy may be all that there is.
    ensure!(
        reopened != Settled::Empty,
        "there is nothing any more under {from}, which a move was to take here; {IF_GONE}"
    );
    if !matches!(reopened, Settled::Over(_)) {
        tracing::info!(%from, "a move that was broken off was taken back; the state is where it was");
        return Ok(false);
    }
    let incoming = data.join(INCOMING);
    ensure!(
        incoming.exists(),
        "the state of {from} was moved into {}, and it is not there: put it back",
        incoming.display()
    );
    word::leave(data, &State::Embedded(intent.clone()))?;
    tracing::info!(%from, "a move that was broken off had succeeded; the state is in the data directory");
    Ok(true)
}

fn remove_copy(data: &Path) -> anyhow::Result<()> {
    let incoming = data.join(INCOMING);
    match std::fs::remove_dir_all(&incoming) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", incoming.display()))
        }
        _ => Ok(()),
    }
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
