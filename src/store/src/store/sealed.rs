//! What follows from entries being stored in sealed form: which are sealed otherwise than they would be now, and those that
//! could not be opened.

use std::sync::Arc;

use super::Store;
use crate::current::is_unreadable;
use crate::record;
use crate::seal::Sealing;
use crate::shared::Shared;
use crate::{EngineError, Entry, Key, ReadError};

impl Store {
    /// Whether an entry would be sealed otherwise if it were written now, so that writing it changes what is stored although
    /// the object is the same.
    #[must_use]
    pub fn is_stale(&self, entry: &Entry) -> bool {
        Sealing::of(self.shared.options.seal.current(&entry.key)) != entry.sealing
    }

    /// The entries whose stored form could not be opened.
    #[must_use]
    pub fn unreadable(&self) -> Vec<Arc<Entry>> {
        self.shared.unreadable()
    }

    /// The current entries that are wanted. `of` is asked once for each resource, by the key of any entry of it, and gives what
    /// tells the wanted ones; `None` where there is none.
    #[must_use]
    pub fn select<W: Fn(&Entry) -> bool>(&self, of: impl Fn(&Key) -> Option<W>) -> Vec<Arc<Entry>> {
        self.shared.select(of)
    }

    /// Tries anew to open the entries that could not be opened, after [`crate::Options::seal`] has got other keys. Gives
    /// the number of those that still cannot be read.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn open_unreadable(&self) -> Result<usize, ReadError> {
        self.shared.blocking(|shared| Ok(open_unreadable(shared)?)).await
    }
}

fn open_unreadable(shared: &Shared) -> Result<usize, EngineError> {
    let mut unreadable = shared.unreadable();
    if unreadable.is_empty() {
        return Ok(0);
    }
    let snapshot = shared.engine.snapshot();
    let mut opened = Vec::new();
    for entry in unreadable.drain(..) {
        let name = record::data_key(&entry.key, entry.revision);
        // What was replaced meanwhile may have been compacted.
        let Some(bytes) = snapshot.get(&name)? else { continue };
        let Some(version) = record::decode_data(&bytes, entry.revision) else { continue };
        let again = version.into_entry(entry.key.clone(), entry.revision, &shared.options);
        if !is_unreadable(&again) {
            opened.push(Arc::new(again));
        }
    }
    shared.opened(opened);
    Ok(shared.unreadable().len())
}
