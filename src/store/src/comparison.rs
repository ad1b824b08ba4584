//! Compares the current map with the engine, in the background: a record that rotted, or a bug, is to be found before a
//! restart finds it.
//!
//! A page at a time with a pause behind it, so that nobody notices; a whole round at most once per
//! [`crate::Options::comparison`], and only if something was written since the last. What differs is logged and counted
//! (`coxswain_store_differences_total`); nothing is repaired, since nobody knows which of the two is right.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::shared::Shared;
use crate::{Entry, Key, Range, ReadError, Revision, Sealing};

/// Entries compared at once.
const PAGE: usize = 256;
/// Between two pages.
const PAUSE: Duration = Duration::from_millis(50);

/// Runs until it is cancelled.
pub(crate) async fn run(shared: Arc<Shared>, cancel: CancellationToken) {
    let rounds = async {
        let mut compared: Revision = 0;
        loop {
            tokio::time::sleep(shared.options.comparison).await;
            // The sender lives in `shared`, so this ends only with a write.
            drop(shared.follow_tip().wait_for(|tip| *tip > compared).await);
            compared = shared.tip();
            round(&shared).await;
        }
    };
    tokio::select! {
        () = cancel.cancelled() => {}
        () = rounds => {}
    }
}

async fn round(shared: &Arc<Shared>) {
    for (collection, _) in shared.collections() {
        let (group, resource) = collection.split_once('/').unwrap_or(("", &collection));
        let mut next = Some((Range::resource(group, resource), None));
        while let Some((range, after)) = next.take() {
            let (worker, from) = (shared.clone(), after.clone());
            let compare = move || compare(&worker, &range, from.as_ref()).map(|end| (range, end));
            match tokio::task::spawn_blocking(compare).await {
                Ok(Ok((range, end))) => next = end.map(|end| (range, Some(end))),
                Ok(Err(error)) => return tracing::warn!(%error, "the current state could not be compared"),
                // The runtime is being shut down.
                Err(_) => return,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    shared.metrics.comparisons.inc();
}

/// Compares a page and gives the key that it ends with, if there may be more.
fn compare(shared: &Shared, range: &Range, after: Option<&Key>) -> Result<Option<Key>, ReadError> {
    // What is published now is in the engine's snapshot that is taken next; what comes later is told apart by its
    // revision. Should everything needed be compacted meanwhile, it is the next round's turn.
    let (revision, entries, _) = shared.entries(range);
    let snapshot = shared.engine.snapshot();
    shared.check_snapshot(&*snapshot, revision)?;
    let failed = |error: crate::EngineError| ReadError::Engine(error.to_string());
    let (stored, more) = shared.history(&*snapshot).list_at(range, revision, after, PAGE).map_err(failed)?;
    let end = stored.last().filter(|_| more).map(|entry| entry.key.clone());
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let to = end.as_ref().map_or(Bound::Unbounded, Bound::Included);
    let known = entries.range::<_, Key>((from, to)).map(|(_, entry)| entry);
    report(shared, differences(known, &stored));
    Ok(end)
}

/// The keys of which two ordered lists differ.
fn differences<'a>(known: impl Iterator<Item = &'a Arc<Entry>>, stored: &'a [Arc<Entry>]) -> Vec<&'a Key> {
    let mut stored = stored.iter().peekable();
    let mut differing = Vec::new();
    for entry in known {
        while let Some(surplus) = stored.next_if(|stored| stored.key < entry.key) {
            differing.push(&surplus.key);
        }
        match stored.next_if(|stored| stored.key == entry.key) {
            Some(stored) if is_same(entry, stored) => {}
            _ => differing.push(&entry.key),
        }
    }
    differing.extend(stored.map(|entry| &entry.key));
    differing
}

/// Keys for sealed values come and go; what cannot be read cannot be compared.
fn is_same(known: &Entry, stored: &Entry) -> bool {
    let is_unreadable = |entry: &Entry| matches!(entry.sealing, Sealing::Unreadable(_));
    let bytes_agree = known.bytes == stored.bytes || is_unreadable(known) || is_unreadable(stored);
    known.revision == stored.revision && known.created == stored.created && bytes_agree
}

fn report(shared: &Shared, differing: Vec<&Key>) {
    for key in differing {
        shared.metrics.differences.inc();
        tracing::error!(%key, "the current state in memory is not what the engine holds");
    }
}
