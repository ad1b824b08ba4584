//! A list as a body: filled from the snapshot when the connection asks for more, in chunks just below one HTTP/2 frame.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use machinery::Status;
use store::{Entry, Key};

use super::{Found, Source};
use crate::body::BoxError;
use crate::negotiate::Shaper;
use crate::verbs::selection::Selection;

/// With its frame header just below HTTP/2's 16 KiB.
const CHUNK: usize = 15_700;

/// A list on its way out.
pub(super) struct ListBody {
    shaper: Shaper,
    source: Source,
    selection: Selection,
    /// What is to be sent before the next item: the list's beginning, or what did not fit into the last chunk.
    before: Vec<u8>,
    after_all: &'static [u8],
    /// The last key sent, or for a page the number of entries sent.
    last: Option<Key>,
    sent: usize,
    /// A chunk that was made already.
    pub(super) first: Option<Bytes>,
    done: bool,
}

impl ListBody {
    pub(super) fn new(shaper: Shaper, found: Found, selection: Selection) -> ListBody {
        let (before, after_all) = shaper.list_frame(&found.meta);
        ListBody {
            shaper,
            source: found.source,
            selection,
            before,
            after_all,
            last: None,
            sent: 0,
            first: None,
            done: false,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// The next chunk: items until it is full, then the list's end.
    pub(super) fn chunk(&mut self) -> Result<Vec<u8>, Status> {
        if self.before.len() >= CHUNK {
            let rest = self.before.split_off(CHUNK);
            return Ok(std::mem::replace(&mut self.before, rest));
        }
        let mut chunk = Vec::with_capacity(CHUNK + 4096);
        chunk.append(&mut self.before);
        let ListBody { shaper, source, selection, last, sent, .. } = self;
        let mut add = |entry: &Arc<Entry>| -> Result<bool, Status> {
            if *sent > 0 {
                chunk.push(b',');
            }
            shaper.item(&entry.bytes, &mut chunk)?;
            *sent += 1;
            Ok(chunk.len() < CHUNK)
        };
        let finished = match source {
            Source::Page(entries) => {
                let at = last.as_ref().map_or(0, |last| entries.partition_point(|entry| entry.key <= *last));
                fill(entries[at..].iter(), last, &mut add)?
            }
            Source::Present(snapshot) => {
                let chosen = |entry: &&Arc<Entry>| selection.matches(&entry.attributes);
                match last.clone() {
                    None => fill(snapshot.iter().filter(chosen), last, &mut add)?,
                    Some(after) => fill(snapshot.iter_after(&after).filter(chosen), last, &mut add)?,
                }
            }
        };
        if finished {
            chunk.extend_from_slice(self.after_all);
            self.done = true;
        } else {
            self.before = chunk.split_off(CHUNK.min(chunk.len()));
        }
        Ok(chunk)
    }
}

/// Adds entries until one says that it is enough; whether all were added.
fn fill<'a>(
    entries: impl Iterator<Item = &'a Arc<Entry>>,
    last: &mut Option<Key>,
    add: &mut impl FnMut(&Arc<Entry>) -> Result<bool, Status>,
) -> Result<bool, Status> {
    for entry in entries {
        let room = add(entry)?;
        *last = Some(entry.key.clone());
        if !room {
            return Ok(false);
        }
    }
    Ok(true)
}

impl http_body::Body for ListBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if self.done {
            return Poll::Ready(None);
        }
        let chunk = self.chunk().map(|chunk| Frame::data(Bytes::from(chunk)));
        Poll::Ready(Some(chunk.map_err(BoxError::from)))
    }
}
