//! Entries that are written again as they are, so that they are sealed with what is in use now.
//!
//! Clients write their own objects again. What servers keep beside the API (group `coxswain.io`: the cluster's keys,
//! reservations of node ports) no client can reach, so that is done here: at the start, after each change of the
//! configuration, and when a plugin has another key. Only the server that orders the writes does it, since the rules that
//! seal are its own; two servers with different files would undo each other's work. What cannot be read is never written.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use store::{CommitError, Entry, Key, Precondition, Sealing, Store, Value, Write};

/// What servers share beside the API.
pub(super) const GROUP: &str = "coxswain.io";

/// Between two looks: a plugin's key may have changed, or this server orders the writes now.
const LOOK: Duration = Duration::from_secs(60);
/// As long as something could not be written.
const SOON: Duration = Duration::from_secs(10);
/// Writes at a time, so that the store commits them in few groups.
const AT_A_TIME: usize = 64;

/// Keeps what servers share sealed as it would be now, for as long as it is polled.
pub(super) async fn keep(store: Store) {
    loop {
        let is_done = store.orders_writes() && write(&store, stale(&store).await).await;
        tokio::time::sleep(if is_done { LOOK } else { SOON }).await;
    }
}

/// What servers share and is sealed otherwise than it would be now.
pub(super) async fn stale(store: &Store) -> Vec<Arc<Entry>> {
    let is_stale = |store: &Store, entry: &Entry| {
        !matches!(entry.sealing, Sealing::Unreadable(_)) && store.is_stale(entry)
    };
    select(store, move |store| {
        store.select(|any| (any.group() == GROUP).then_some(|entry: &Entry| is_stale(store, entry)))
    })
    .await
}

/// Looks at all objects where that holds nobody up.
pub(super) async fn select(
    store: &Store,
    look: impl FnOnce(&Store) -> Vec<Arc<Entry>> + Send + 'static,
) -> Vec<Arc<Entry>> {
    let store = store.clone();
    let looking = tokio::task::spawn_blocking(move || look(&store));
    looking.await.expect("looking does not panic, and ends before the runtime does")
}

/// Writes entries again, unless they have changed since. Gives whether nothing was left undone.
pub(super) async fn write(store: &Store, entries: Vec<Arc<Entry>>) -> bool {
    let writing = futures::stream::iter(entries).map(|entry| write_one(store, entry));
    let written: Vec<_> = writing.buffer_unordered(AT_A_TIME).collect().await;
    let failures: Vec<_> = written.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    let count = written.len() - failures.len();
    if count > 0 {
        tracing::info!(count, "objects were encrypted anew");
    }
    if let Some(error) = failures.first() {
        tracing::warn!(count = failures.len(), %error, "objects could not be encrypted anew yet");
    }
    failures.is_empty()
}

async fn write_one(store: &Store, entry: Arc<Entry>) -> Result<(), CommitError> {
    let write = Write::Put(Value::whole(entry.bytes.clone()));
    match store.commit(entry.key.clone(), Precondition::Revision(entry.revision), write).await {
        // Whoever was quicker has had it sealed by the same rules, or the next look finds it.
        Ok(_) | Err(CommitError::Conflict(_) | CommitError::Missing) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Returns once every write is published that was ordered before: one that is refused waits for its turn all the same.
pub(super) async fn fence(store: &Store) {
    let nothing = Key::new(GROUP, "fences", "", "none");
    let write = Write::Delete(Value::whole(Bytes::new()));
    // Whatever else the store answers, it takes no writes any more.
    drop(store.commit(nothing, Precondition::Present, write).await);
}
