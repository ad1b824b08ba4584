//! A list as a body: filled from the snapshot when the connection asks for more, in chunks just below one HTTP/2 frame.
//!
//! Protobuf says before a list how large it is, so that its items are made before the first byte leaves. As many of them as
//! fit are held, the others are made again when their turn comes: a long list takes time twice, but never its own size.

mod held;

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use machinery::Status;

use super::Found;
use super::items::Items;
use crate::body::BoxError;
use crate::negotiate::Shaper;
use crate::verbs::selection::Selection;
use held::Held;

/// With its frame header just below HTTP/2's 16 KiB.
const CHUNK: usize = 15_700;

/// A list on its way out.
pub(super) struct ListBody {
    items: Items,
    /// What is to be sent before the next item.
    ready: Bytes,
    after_all: &'static [u8],
    /// A chunk that was made already.
    pub(super) first: Option<Bytes>,
    /// Whether every item is in `ready` or sent.
    at_end: bool,
    done: bool,
}

impl ListBody {
    pub(super) async fn new(shaper: Shaper, found: Found, selection: Selection) -> Result<ListBody, Status> {
        let (meta, needs_size) = (found.meta, shaper.needs_size());
        let mut items = Items::new(shaper, found.source, selection);
        let held = if needs_size { Held::measure(&mut items).await? } else { Held::default() };
        let (mut ready, after_all) = items.frame(&meta, held.size);
        ready.extend_from_slice(&held.items);
        Ok(ListBody { items, ready: ready.into(), after_all, first: None, at_end: held.are_all, done: false })
    }

    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// The next chunk: what is ready, then items until it is full, then the list's end.
    pub(super) fn chunk(&mut self) -> Result<Bytes, Status> {
        if self.ready.len() >= CHUNK {
            return Ok(self.ready.split_to(CHUNK));
        }
        let mut chunk = Vec::with_capacity(CHUNK + 4096);
        chunk.extend_from_slice(&std::mem::take(&mut self.ready));
        if !self.at_end {
            self.at_end = self.items.fill(&mut chunk, CHUNK)?;
        }
        if self.at_end {
            chunk.extend_from_slice(self.after_all);
            self.after_all = b"";
        }
        let mut chunk = Bytes::from(chunk);
        self.ready = chunk.split_off(CHUNK.min(chunk.len()));
        self.done = self.at_end && self.ready.is_empty();
        Ok(chunk)
    }
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
        Poll::Ready(Some(self.chunk().map(Frame::data).map_err(BoxError::from)))
    }
}
