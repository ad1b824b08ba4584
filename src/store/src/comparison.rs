//! Compares the current map with the engine, in the background: a record that rotted, or a bug, is to be found before a
//! restart finds it.
//!
//! A page at a time with a pause behind it, so that nobody notices; a whole round once per [`crate::Options::comparison`],
//! whether anything was written or not. What differs is logged and counted (`coxswain_store_differences_total`), and so
//! is a record that is not what was written; nothing is repaired, since nobody knows which of the two is right.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::engine::Snapshot;
use crate::history::Unread;
use crate::shared::Shared;
use crate::{EngineError, Entry, Key, Range, ReadError, Sealing, record};

/// Entries compared at once.
const PAGE: usize = 256;
/// Between two pages.
const PAUSE: Duration = Duration::from_millis(50);

/// Runs until it is cancelled.
pub(crate) async fn run(shared: Arc<Shared>, cancel: CancellationToken) {
    let rounds = async {
        loop {
            tokio::time::sleep(shared.options.comparison).await;
            match round(&shared).await {
                Ok(()) => shared.metrics.comparisons.inc(),
                Err(error) => tracing::warn!(%error, "the current state could not be compared"),
            }
        }
    };
    tokio::select! {
        () = cancel.cancelled() => {}
        () = rounds => {}
    }
}

async fn round(shared: &Arc<Shared>) -> Result<(), ReadError> {
    let stored = |shared: &Shared| Ok(stored_collections(&*shared.engine.snapshot())?);
    let mut collections = shared.blocking(stored).await?;
    collections.extend(shared.collections().into_iter().map(|(name, _)| name.into_string()));
    for collection in collections {
        let (group, resource) = collection.split_once('/').unwrap_or(("", &collection));
        let range = Range::resource(group, resource);
        let mut after = None;
        loop {
            let (range, from) = (range.clone(), after);
            after = shared.blocking(move |shared| compare(shared, &range, from.as_ref())).await?;
            tokio::time::sleep(PAUSE).await;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(())
}

/// The resources that the engine has records of; looks at one record of each.
fn stored_collections(snapshot: &dyn Snapshot) -> Result<BTreeSet<String>, EngineError> {
    let mut found = BTreeSet::new();
    let mut from = record::DATA.0.to_vec();
    while let Some(pair) = snapshot.scan(&from, record::DATA.1).next() {
        let (name, _) = pair?;
        let key = record::parse_data_key(&name).and_then(|(path, _)| Key::parse(path));
        from = match key {
            Some(key) => {
                let range = Range::resource(key.group(), key.resource());
                found.insert(key.collection().to_owned());
                record::data_range(&range, None).1
            }
            // Of no resource: whoever checks the store is told; the next record comes right behind it.
            None => [&name[..], &[0]].concat(),
        };
    }
    Ok(found)
}

/// Compares a page and gives the key that it ends with, if there may be more.
fn compare(shared: &Shared, range: &Range, after: Option<&Key>) -> Result<Option<Key>, ReadError> {
    // What is published now is in the engine's snapshot that is taken next; what comes later is told apart by its
    // revision. Should everything needed be compacted meanwhile, it is the next round's turn.
    let (revision, entries, _) = shared.entries(range);
    let snapshot = shared.engine.snapshot();
    shared.check_snapshot(&*snapshot, revision)?;
    let (mut stored, mut damaged, mut end) = (Vec::new(), Vec::new(), None);
    for found in shared.history(&*snapshot).newest_at(range, revision, after) {
        match found {
            Ok(entry) => stored.push(entry),
            Err(Unread::Record { name, key }) => damaged.push((name, key)),
            Err(Unread::Engine(error)) => return Err(error.into()),
        }
        if stored.len() == PAGE {
            end = stored.last().map(|entry| entry.key.clone());
            break;
        }
    }
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let to = end.as_ref().map_or(Bound::Unbounded, Bound::Included);
    let known = entries.range::<_, Key>((from, to)).map(|(_, entry)| entry);
    for key in differences(known, &stored) {
        shared.metrics.differences.inc();
        tracing::error!(%key, "the current state in memory is not what the engine holds");
    }
    for (name, key) in damaged {
        // What is known of its key differs from nothing, and was counted as that.
        let is_counted = key.is_some_and(|key| entries.contains_key(&key));
        shared.metrics.differences.inc_by(u64::from(!is_counted));
        tracing::error!(record = %name.escape_ascii(), "a record of the current state is not what was written");
    }
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
