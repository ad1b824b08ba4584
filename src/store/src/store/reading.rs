//! The store as it is, as it was, and as it becomes: what readers call. The present comes from the current map, the past from
//! the ring or the engine.

use std::sync::Arc;

use super::{Page, Snapshot, Store};
use crate::watch::Watch;
use crate::{Entry, Key, Range, ReadError, Revision, WatchError};

impl Store {
    /// The newest published revision; 1 in a store that was never written to.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.shared.tip()
    }

    /// The current entry of a key.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.shared.get(key)
    }

    /// The present of a range; costs the same however much is in it.
    #[must_use]
    pub fn snapshot(&self, range: &Range) -> Snapshot {
        let (revision, entries, has_unreadable) = self.shared.entries(range);
        Snapshot::new(revision, entries, range.clone(), has_unreadable)
    }

    /// A range as it was at a revision: at most `limit` entries (0: all) behind the key `after`.
    ///
    /// # Errors
    /// When the revision was compacted or does not exist yet, or the engine fails.
    pub async fn list_at(
        &self,
        range: &Range,
        revision: Revision,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page, ReadError> {
        self.shared.check_readable(revision)?;
        let limit = if limit == 0 { usize::MAX } else { limit };
        if let Some(entries) = self.shared.entries_at(range, revision) {
            return Ok(Snapshot::new(revision, entries, range.clone(), true).page(after, limit));
        }
        let (range, after) = (range.clone(), after.cloned());
        let (entries, more) = self
            .shared
            .read_history(revision, move |history| history.list_at(&range, revision, after.as_ref(), limit))
            .await?;
        // Counting the rest would mean reading it.
        Ok(Page { entries, more, remaining: if more { None } else { Some(0) } })
    }

    /// The entry of a key as it was at a revision.
    ///
    /// # Errors
    /// As [`Store::list_at`].
    pub async fn get_at(&self, key: &Key, revision: Revision) -> Result<Option<Arc<Entry>>, ReadError> {
        self.shared.check_readable(revision)?;
        if let Some(entry) = self.shared.get(key).filter(|entry| entry.revision <= revision) {
            return Ok(Some(entry));
        }
        let range = Range::key(key);
        if let Some(entries) = self.shared.entries_at(&range, revision) {
            return Ok(entries.get(key).cloned());
        }
        let key = key.clone();
        self.shared.read_history(revision, move |history| history.get_at(&key, revision)).await
    }

    /// Returns once the given revision is published.
    pub async fn wait_for(&self, revision: Revision) {
        // The sender lives in `shared`, so this ends only when the revision is there.
        drop(self.shared.follow_tip().wait_for(|tip| *tip >= revision).await);
    }

    /// The events of a range behind a revision.
    ///
    /// # Errors
    /// When events behind the revision were compacted, or it does not exist yet.
    pub fn watch(&self, range: Range, after: Revision) -> Result<Watch, WatchError> {
        self.shared.check_readable(after)?;
        Ok(Watch::new(self.shared.clone(), range, after))
    }

    /// The oldest revision that can still be listed, and watched from.
    #[must_use]
    pub fn horizon(&self) -> Revision {
        self.shared.horizon()
    }
}
