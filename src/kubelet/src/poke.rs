//! How a pod's worker is told that something about its pod may have changed.
//!
//! A poke says nothing about what changed: the worker looks itself. Pokes while it is busy are one poke afterwards.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

#[derive(Debug)]
pub(crate) struct Poke {
    count: watch::Sender<u64>,
    objects_changed: AtomicBool,
}

impl Default for Poke {
    fn default() -> Self {
        Self { count: watch::Sender::new(0), objects_changed: AtomicBool::new(false) }
    }
}

impl Poke {
    /// Something about the pod's containers may have changed.
    pub(crate) fn poke(&self) {
        self.count.send_modify(|count| *count += 1);
    }

    /// A config map or secret that the pod refers to changed.
    pub(crate) fn objects_changed(&self) {
        self.objects_changed.store(true, Ordering::Release);
        self.poke();
    }

    /// Whether objects changed since this was asked last.
    pub(crate) fn take_objects_changed(&self) -> bool {
        self.objects_changed.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }
}
