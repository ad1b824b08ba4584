//! The informers of one process: one per kind and selection, started on first use, shared by everybody.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex},
};

use kube::Client;
use tokio_util::sync::CancellationToken;

use crate::informer::{Informer, Object, Selection};

/// Hands out the shared informers; clones share them.
#[derive(Clone)]
pub struct Informers {
    client: Client,
    cancel: CancellationToken,
    started: Arc<Mutex<Started>>,
}

type Started = HashMap<(TypeId, Selection), Box<dyn Any + Send>>;

impl Informers {
    /// Informers that list and watch through `client` until `cancel`. Needs a tokio runtime when one is first used.
    pub fn new(client: Client, cancel: CancellationToken) -> Self {
        Self { client, cancel, started: Arc::default() }
    }

    /// The informer of all objects of a kind.
    pub fn of<K: Object>(&self) -> Informer<K> {
        self.selected(Selection::default())
    }

    /// The informer of a part of a kind, shared by those who ask for the same part.
    pub fn selected<K: Object>(&self, selection: Selection) -> Informer<K> {
        let mut started = self.started.lock().expect("no panic happens while the informers are locked");
        let informer = started.entry((TypeId::of::<K>(), selection.clone())).or_insert_with(|| {
            Box::new(Informer::<K>::start(self.client.clone(), None, selection, self.cancel.clone()))
        });
        informer.downcast_ref::<Informer<K>>().expect("the key holds the type").clone()
    }

    /// The token that ends them all.
    pub fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }
}

impl fmt::Debug for Informers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Informers").finish_non_exhaustive()
    }
}
