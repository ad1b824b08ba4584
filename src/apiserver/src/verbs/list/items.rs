//! The items of a list one after the other, as the client wants them, as many at a time as are asked for.

use std::sync::Arc;

use machinery::Status;
use machinery::table::ListMeta;
use store::{Entry, Key};

use super::Source;
use crate::negotiate::Shaper;
use crate::verbs::selection::Selection;

/// Where in a list one stands.
pub(super) struct Items {
    shaper: Shaper,
    source: Source,
    selection: Selection,
    place: Place,
}

/// What was shown already.
#[derive(Clone, Default)]
pub(super) struct Place {
    /// The last key.
    last: Option<Key>,
    /// Whether there were any.
    begun: bool,
}

impl Items {
    pub(super) fn new(shaper: Shaper, source: Source, selection: Selection) -> Items {
        Items { shaper, source, selection, place: Place::default() }
    }

    /// What stands before and after the items, which are `size` bytes where that is said.
    pub(super) fn frame(&self, meta: &ListMeta, size: usize) -> (Vec<u8>, &'static [u8]) {
        self.shaper.list_frame(meta, size)
    }

    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    pub(super) fn go_back(&mut self, place: Place) {
        self.place = place;
    }

    /// Appends items until `out` has at least `enough` bytes; whether that were the last ones.
    pub(super) fn fill(&mut self, out: &mut Vec<u8>, enough: usize) -> Result<bool, Status> {
        let Items { shaper, source, selection, place } = self;
        let after = place.last.clone();
        let mut add = |entry: &Arc<Entry>| -> Result<bool, Status> {
            shaper.item(&entry.bytes, !place.begun, out)?;
            place.begun = true;
            place.last = Some(entry.key.clone());
            Ok(out.len() < enough)
        };
        match source {
            Source::Page(entries) => {
                let at = after.map_or(0, |after| entries.partition_point(|entry| entry.key <= after));
                until_full(entries[at..].iter(), &mut add)
            }
            Source::Present(snapshot) => {
                let chosen = |entry: &&Arc<Entry>| selection.matches(entry);
                match after {
                    None => until_full(snapshot.iter().filter(chosen), &mut add),
                    Some(after) => until_full(snapshot.iter_after(&after).filter(chosen), &mut add),
                }
            }
        }
    }
}

/// Adds entries until one says that it is enough; whether all were added.
fn until_full<'a>(
    entries: impl Iterator<Item = &'a Arc<Entry>>,
    add: &mut impl FnMut(&Arc<Entry>) -> Result<bool, Status>,
) -> Result<bool, Status> {
    for entry in entries {
        if !add(entry)? {
            return Ok(false);
        }
    }
    Ok(true)
}
