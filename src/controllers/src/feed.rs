//! From changes to keys: the wiring between informers and work queues.

use std::{
    hash::Hash,
    panic::{AssertUnwindSafe, catch_unwind},
};

use client::{Change, Informer, Key, Object, Queue};

/// Hands every change to `observe`, until the informer stops. A panic costs that change only: its sight must not end the
/// sight of all others.
pub(crate) fn observe<K: Object>(
    informer: &Informer<K>,
    observe: impl Fn(Change<K>) + Send + Sync + 'static,
) {
    let mut changes = informer.subscribe();
    tokio::spawn(async move {
        while let Some(change) = changes.next().await {
            if catch_unwind(AssertUnwindSafe(|| observe(change))).is_err() {
                tracing::error!(kind = %K::kind(&()), "a change could not be taken in");
            }
        }
    });
}

/// For every change, adds the keys that `keys` derives from it to `queue`, until the informer stops.
pub(crate) fn feed<K, T, I>(
    informer: &Informer<K>,
    queue: &Queue<T>,
    keys: impl Fn(&Change<K>) -> I + Send + Sync + 'static,
) where
    K: Object,
    T: Eq + Hash + Clone + Send + 'static,
    I: IntoIterator<Item = T>,
{
    let queue = queue.clone();
    observe(informer, move |change| keys(&change).into_iter().for_each(|key| queue.add(key)));
}

/// Adds the key of every changed object.
pub(crate) fn feed_own<K: Object>(informer: &Informer<K>, queue: &Queue<Key>) {
    feed(informer, queue, |change| [Key::of(&**change.object())]);
}
