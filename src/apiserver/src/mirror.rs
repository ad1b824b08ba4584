//! A decoded view of some of the store, for look-ups that every request makes (RBAC's rules, what a node's pods use).
//!
//! It follows the store by watches that it drains on each look, so a look sees every write that was answered before it
//! and costs nothing where nothing changed. It never waits and never writes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::{EventKind, Item, Range, Revision, Store, Watch, WatchError};

/// What is made of the entries.
pub(crate) trait Index: Default {
    /// An entry is there, or another version of it.
    fn put(&mut self, entry: &store::Entry);
    /// An entry is gone.
    fn remove(&mut self, key: &store::Key);
}

/// The view: an index and the watches that keep it true.
pub(crate) struct Mirror<I> {
    store: Store,
    ranges: Vec<Range>,
    state: Mutex<Option<State<I>>>,
}

struct State<I> {
    index: I,
    watches: Vec<Watch>,
}

impl<I: Index> Mirror<I> {
    /// A view of `ranges`; built on the first look.
    pub(crate) fn new(store: Store, ranges: Vec<Range>) -> Arc<Mirror<I>> {
        Arc::new(Mirror { store, ranges, state: Mutex::new(None) })
    }

    /// Looks at the index as of now.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&I) -> R) -> R {
        let mut state = self.lock();
        let current = match state.take().and_then(follow) {
            Some(current) => current,
            None => self.build(),
        };
        look(&state.insert(current).index)
    }

    /// A panic while the index was changed leaves `None` behind (the state is taken out meanwhile), so that the next look
    /// builds it anew.
    fn lock(&self) -> MutexGuard<'_, Option<State<I>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn build(&self) -> State<I> {
        let mut state = State { index: I::default(), watches: Vec::with_capacity(self.ranges.len()) };
        for range in &self.ranges {
            let (snapshot, watch) = loop {
                let snapshot = self.store.snapshot(range);
                match begin(&self.store, range, snapshot.revision) {
                    // So much was written in between that the snapshot is history already.
                    Err(WatchError::Compacted { .. } | WatchError::Lagged) => {}
                    // A store that is closed changes no more.
                    watch => break (snapshot, watch.ok()),
                }
            };
            snapshot.iter().for_each(|entry| state.index.put(entry));
            state.watches.extend(watch);
        }
        state
    }
}

/// A live watch of what follows the newest revision; `Lagged` when `after` is that no longer.
///
/// What was written since may be in memory no longer, and `try_next` never reads the log: a watch that begins before that
/// would stand still for ever.
fn begin(store: &Store, range: &Range, after: Revision) -> Result<Watch, WatchError> {
    let watch = store.watch(range.clone(), after)?;
    if store.revision() == after { Ok(watch) } else { Err(WatchError::Lagged) }
}

/// Applies what has happened; `None` when a watch was cut off and the index has to be built anew.
fn follow<I: Index>(mut state: State<I>) -> Option<State<I>> {
    for watch in &mut state.watches {
        while let Some(item) = watch.try_next().ok()? {
            let Item::Events(events) = item else { continue };
            for event in events {
                match event.kind {
                    EventKind::Created | EventKind::Updated => state.index.put(&event.entry),
                    EventKind::Deleted => state.index.remove(&event.entry.key),
                }
            }
        }
    }
    Some(state)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bytes::Bytes;
    use store::{Key, Options, Precondition, Value, Write};

    use super::*;

    #[derive(Default)]
    struct Keys(BTreeSet<Key>);

    impl Index for Keys {
        fn put(&mut self, entry: &store::Entry) {
            self.0.insert(entry.key.clone());
        }

        fn remove(&mut self, key: &Key) {
            self.0.remove(key);
        }
    }

    async fn write(store: &Store, name: &str) {
        let value = Value::new(Bytes::from_static(b"{\"rv\":"), Bytes::from_static(b"}"));
        let key = Key::new("", "pods", "default", name);
        store.commit(key, Precondition::Absent, Write::Put(value)).await.unwrap();
    }

    /// The store keeps no recent events, so a watch that has missed one as it begins would never go on.
    #[tokio::test]
    async fn a_view_follows_only_by_watches_that_go_on() {
        let options = Options { ring: 0, ..Options::default() };
        let store = Store::open(store::memory::new(), options).await.unwrap();
        let range = Range::resource("", "pods");
        write(&store, "a").await;
        let before = store.snapshot(&range).revision;
        write(&store, "b").await;
        assert!(matches!(begin(&store, &range, before), Err(WatchError::Lagged)));
        begin(&store, &range, store.revision()).unwrap();
        let view = Mirror::<Keys>::new(store.clone(), vec![range]);
        assert_eq!(view.read(|keys| keys.0.len()), 2);
        write(&store, "c").await;
        assert_eq!(view.read(|keys| keys.0.len()), 3);
        store.shutdown().await;
    }
}
