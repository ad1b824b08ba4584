//! Events go some time after they were last written (upstream's `--event-ttl`), and watchers see them deleted.
//!
//! Follows the events in the store and sleeps until the next one's time has come; deletes that very version, so that one
//! that was written again meanwhile stays. Keeps nothing on the disk: what a server finds at its start goes by the times
//! that stand in it. Finalizers do not count, as upstream's leases do not ask for them.

use std::collections::{BTreeSet, HashMap};
use std::future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;
use store::{
    CommitError, Entry, EventKind, Item, Key, Precondition, Range, Revision, Value, WatchError, Write,
};
use tokio::time::{Instant, sleep, sleep_until};

use crate::server::Server;
use crate::write::Written;

/// Events deleted at once: a few groups of the store's, so that other writes come in between.
const STEP: usize = 64;
/// When a deletion that the store did not take is tried again, and a watch that was cut off is begun anew.
const RETRY: Duration = Duration::from_secs(10);

/// Deletes events `ttl` after their last write, for as long as the server lives.
pub(crate) async fn follow(server: Arc<Server>, ttl: Duration) {
    loop {
        match follow_once(&server, ttl).await {
            Ok(()) | Err(WatchError::Closed) => return,
            Err(error) => tracing::info!(%error, "the watch of events was cut off"),
        }
        tokio::select! {
            () = server.draining.cancelled() => return,
            () = sleep(RETRY) => {}
        }
    }
}

/// Returns when the server drains, or the watch ends.
async fn follow_once(server: &Server, ttl: Duration) -> Result<(), WatchError> {
    let range = Range::resource("", "events");
    let snapshot = server.store.snapshot(&range);
    let mut watch = server.store.watch(range, snapshot.revision)?;
    let mut deadlines = Deadlines::default();
    let now = Timestamp::now();
    for entry in snapshot.iter() {
        deadlines.set(&entry.key, entry.revision, Instant::now() + ttl.saturating_sub(age(entry, now)));
    }
    drop(snapshot);
    loop {
        tokio::select! {
            () = server.draining.cancelled() => return Ok(()),
            item = watch.next() => deadlines.note(item?, Instant::now() + ttl),
            () = until(deadlines.next()) => expire(server, &mut deadlines).await,
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => future::pending().await,
    }
}

/// How long ago an event was last written, as far as it tells itself. A time still to come counts as now; one that cannot
/// be read is as old as can be.
fn age(entry: &Entry, now: Timestamp) -> Duration {
    let Ok(event) = serde_json::from_slice::<Event>(&entry.bytes) else { return Duration::MAX };
    let series = event.series.and_then(|series| series.last_observed_time);
    let times = [event.metadata.creation_timestamp, event.first_timestamp, event.last_timestamp];
    let times = times.into_iter().flatten().map(|time| time.0);
    let newest = times.chain([event.event_time, series].into_iter().flatten().map(|time| time.0)).max();
    newest.map_or(Duration::MAX, |time| Duration::try_from(now.duration_since(time)).unwrap_or_default())
}

/// Deletes some of what is due.
async fn expire(server: &Server, deadlines: &mut Deadlines) {
    let due = deadlines.take_due(Instant::now());
    let outcomes = join_all(due.iter().map(|(key, revision)| delete(server, key, *revision))).await;
    for ((key, revision), outcome) in due.iter().zip(outcomes) {
        match outcome {
            // Written again or deleted by somebody: the watch tells.
            Ok(()) | Err(CommitError::Conflict(_) | CommitError::Missing | CommitError::Closed) => {}
            Err(error) => {
                tracing::warn!(%key, %error, "an event that has expired could not be deleted, will be tried again");
                deadlines.set(key, *revision, Instant::now() + RETRY);
            }
        }
    }
}

async fn delete(server: &Server, key: &Key, revision: Revision) -> Result<(), CommitError> {
    let Some(entry) = server.store.get(key) else { return Ok(()) };
    let kind = server.registry.of::<Event>();
    let last = match Written::stored_as(&entry).object(kind) {
        Ok(event) => {
            let (head, tail) = kind.encode(&event);
            Value::new(head.into(), tail.into())
        }
        // It was logged, and goes as it is.
        Err(_) => Value::whole(entry.bytes.clone()),
    };
    let precondition = Precondition::Revision(revision);
    server.store.commit(key.clone(), precondition, Write::Delete(last)).await.map(drop)
}

/// Which version of which event goes when; one deadline for each event.
#[derive(Default)]
struct Deadlines {
    of: HashMap<Key, (Instant, Revision)>,
    in_order: BTreeSet<(Instant, Key)>,
}

impl Deadlines {
    /// What has happened, seen `ttl` before `deadline`.
    fn note(&mut self, item: Item, deadline: Instant) {
        let Item::Events(events) = item else { return };
        for event in events {
            match event.kind {
                EventKind::Created | EventKind::Updated => {
                    self.set(&event.entry.key, event.entry.revision, deadline);
                }
                EventKind::Deleted => self.forget(&event.entry.key),
            }
        }
    }

    fn set(&mut self, key: &Key, revision: Revision, deadline: Instant) {
        self.forget(key);
        self.of.insert(key.clone(), (deadline, revision));
        self.in_order.insert((deadline, key.clone()));
    }

    fn forget(&mut self, key: &Key) {
        if let Some((deadline, _)) = self.of.remove(key) {
            self.in_order.remove(&(deadline, key.clone()));
        }
    }

    fn next(&self) -> Option<Instant> {
        self.in_order.first().map(|(deadline, _)| *deadline)
    }

    /// Takes out what is due, the oldest first, at most one [`STEP`].
    fn take_due(&mut self, now: Instant) -> Vec<(Key, Revision)> {
        let mut due = Vec::new();
        while due.len() < STEP && self.next().is_some_and(|deadline| deadline <= now) {
            let Some((_, key)) = self.in_order.pop_first() else { break };
            if let Some((_, revision)) = self.of.remove(&key) {
                due.push((key, revision));
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};
    use store::Attributes;

    use super::*;

    fn key(number: usize) -> Key {
        Key::new("", "events", "default", &number.to_string())
    }

    #[tokio::test]
    async fn a_later_write_puts_the_end_off_and_a_deletion_needs_none() {
        let (start, mut deadlines) = (Instant::now(), Deadlines::default());
        let after = |seconds| start + Duration::from_secs(seconds);
        deadlines.set(&key(1), 10, after(1));
        deadlines.set(&key(2), 11, after(2));
        deadlines.set(&key(3), 12, after(3));
        deadlines.set(&key(1), 13, after(4));
        deadlines.forget(&key(2));
        assert_eq!(deadlines.next(), Some(after(3)));
        assert_eq!(deadlines.take_due(after(3)), [(key(3), 12)]);
        assert_eq!(deadlines.take_due(after(3)), []);
        assert_eq!(deadlines.take_due(after(4)), [(key(1), 13)]);
        assert_eq!((deadlines.next(), deadlines.of.len()), (None, 0));
    }

    #[tokio::test]
    async fn what_is_due_is_taken_in_steps() {
        let (start, mut deadlines) = (Instant::now(), Deadlines::default());
        (0..STEP + 1).for_each(|number| deadlines.set(&key(number), 1, start));
        assert_eq!(deadlines.take_due(start).len(), STEP);
        assert_eq!(deadlines.take_due(start).len(), 1);
    }

    fn seconds(event: Value) -> u64 {
        let entry = Entry {
            key: key(1),
            revision: 2,
            created: 2,
            bytes: Bytes::from(event.to_string()),
            attributes: Attributes::default(),
            sealing: store::Sealing::Plain,
        };
        age(&entry, "2026-01-01T01:00:00Z".parse().unwrap()).as_secs()
    }

    #[test]
    fn an_event_is_as_old_as_the_newest_of_its_times() {
        let made = json!({"creationTimestamp": "2026-01-01T00:00:00Z"});
        assert_eq!(seconds(json!({"metadata": made})), 3600);
        assert_eq!(seconds(json!({"metadata": made, "lastTimestamp": "2025-01-01T00:00:00Z"})), 3600);
        assert_eq!(seconds(json!({"metadata": made, "lastTimestamp": "2026-01-01T00:59:00Z"})), 60);
        let series = json!({"count": 2, "lastObservedTime": "2026-01-01T00:59:30.000000Z"});
        assert_eq!(seconds(json!({"metadata": made, "series": series})), 30);
        assert_eq!(seconds(json!({"metadata": made, "eventTime": "2027-01-01T00:00:00.000000Z"})), 0);
        assert_eq!(seconds(json!("no event")), u64::MAX);
    }
}
