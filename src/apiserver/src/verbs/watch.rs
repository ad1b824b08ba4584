//! GET of a collection with `watch`: what is there, then what happens, until the client goes, its time is up, or the
//! server drains.
//!
//! Events are the stored bytes in a frame; everything that is pending leaves as one. An error after the start is an event
//! of type ERROR, as upstream's.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use machinery::Status;
use rand::Rng;
use store::{Entry, Event, EventKind, Item, Snapshot, WatchError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Target;
use super::get::reach;
use super::list::narrowed;
use super::options::ListOptions;
use super::selection::Selection;
use crate::body::{Body, BoxError};
use crate::negotiate::{self, Encoding, JSON, Shaper};

/// Upstream's `--min-request-timeout`: watches without a limit last between one and two of these.
const MIN_SECONDS: u64 = 1800;
/// Initial events leave in frames of about this size.
const CHUNK: usize = 64 * 1024;
/// More than any client waits for, and still a time that the clock can express.
const MAX_SECONDS: u64 = 366 * 24 * 60 * 60;

/// Answers with a stream of events.
pub(crate) async fn watch(target: Target) -> Result<Response<Body>, Status> {
    let accept = negotiate::list(&target.call)?;
    if accept.encoding != Encoding::Json {
        return Err(Status::not_acceptable(&[JSON]));
    }
    let options = ListOptions::read(&target.call.query, true)?;
    let mut selection = Selection::read(&target.call.query, &target.kind)?;
    if target.call.info.verb_in_path && !target.name().is_empty() {
        selection.require_name(target.name());
    }
    let shaper = Shaper::new(target.kind.clone(), accept.shape, target.call.now);
    let watching = match start(&target, &options, &selection).await {
        Ok(source) => Watching::new(&target, &options, selection, shaper, source),
        Err(status) => Watching::refused(&target, &options, selection, shaper, &status),
    };
    let frames = stream::unfold(watching, |mut watching| async move {
        let frame = watching.frame().await?;
        Some((Ok::<_, BoxError>(Frame::data(Bytes::from(frame))), watching))
    });
    Ok(negotiate::stream(&target.call, StreamBody::new(frames).boxed_unsync(), 0))
}

/// Where the events come from.
struct Source {
    /// What is there at the start, to be sent first.
    initial: Option<Snapshot>,
    /// Whether a bookmark tells the end of that.
    bookmark_after_initial: bool,
    events: store::Watch,
}

async fn start(target: &Target, options: &ListOptions, selection: &Selection) -> Result<Source, Status> {
    let store = &target.call.server.store;
    let version = options.resource_version.unwrap_or(0);
    reach(store, version).await?;
    let range = narrowed(target, selection);
    let from_past = version > 0 && options.send_initial_events != Some(true);
    let wants_initial = match options.send_initial_events {
        Some(wanted) => wanted,
        None => version == 0,
    };
    let too_old = |error: WatchError| match error {
        WatchError::Compacted { horizon } => {
            Status::expired(format!("too old resource version: {version} ({horizon})"))
        }
        error => {
            tracing::error!(%error, "the store cannot watch");
            Status::internal("the store cannot watch")
        }
    };
    if from_past {
        let events = store.watch(range, version).map_err(too_old)?;
        return Ok(Source { initial: None, bookmark_after_initial: false, events });
    }
    let snapshot = store.snapshot(&range);
    let events = store.watch(range, snapshot.revision).map_err(too_old)?;
    Ok(Source {
        initial: wants_initial.then_some(snapshot),
        bookmark_after_initial: options.send_initial_events == Some(true) && options.allow_bookmarks,
        events,
    })
}

/// A watch as it goes on.
struct Watching {
    selection: Selection,
    shaper: Shaper,
    stage: Stage,
    bookmarks: bool,
    /// A table says its columns in the first event only.
    columns: bool,
    deadline: Instant,
    draining: CancellationToken,
}

enum Stage {
    /// Sending what was there, behind this key.
    Initial(Source, Option<store::Key>),
    /// Sending what happens.
    Live(store::Watch),
    /// Telling why it ends.
    Last(Vec<u8>),
    Ended,
}

impl Watching {
    fn new(
        target: &Target,
        options: &ListOptions,
        selection: Selection,
        shaper: Shaper,
        source: Source,
    ) -> Self {
        let stage = if source.initial.is_some() || source.bookmark_after_initial {
            Stage::Initial(source, None)
        } else {
            Stage::Live(source.events)
        };
        let asked =
            options.timeout_seconds.and_then(|seconds| u64::try_from(seconds).ok()).filter(|s| *s > 0);
        let seconds = asked.unwrap_or_else(|| rand::rng().random_range(MIN_SECONDS..2 * MIN_SECONDS));
        Watching {
            selection,
            shaper,
            stage,
            bookmarks: options.allow_bookmarks,
            columns: true,
            deadline: Instant::now() + Duration::from_secs(seconds.min(MAX_SECONDS)),
            draining: target.call.server.draining.clone(),
        }
    }

    /// A watch that only tells why it could not begin.
    fn refused(
        target: &Target,
        options: &ListOptions,
        selection: Selection,
        shaper: Shaper,
        status: &Status,
    ) -> Watching {
        Watching {
            selection,
            shaper,
            stage: Stage::Last(error_event(status)),
            bookmarks: options.allow_bookmarks,
            columns: true,
            deadline: Instant::now(),
            draining: target.call.server.draining.clone(),
        }
    }

    /// The next bytes to send; `None` at the end.
    async fn frame(&mut self) -> Option<Vec<u8>> {
        loop {
            let mut out = Vec::new();
            match std::mem::replace(&mut self.stage, Stage::Ended) {
                Stage::Ended => return None,
                Stage::Last(bytes) => return Some(bytes),
                Stage::Initial(source, last) => self.stage = self.initial(source, last, &mut out),
                Stage::Live(events) => self.stage = self.live(events, &mut out).await,
            }
            if !out.is_empty() {
                return Some(out);
            }
        }
    }

    /// Adds some of what was there at the start.
    fn initial(&mut self, source: Source, last: Option<store::Key>, out: &mut Vec<u8>) -> Stage {
        let mut sent = None;
        if let Some(snapshot) = &source.initial {
            let rest: Box<dyn Iterator<Item = &Arc<Entry>> + Send> = match &last {
                None => Box::new(snapshot.iter()),
                Some(last) => Box::new(snapshot.iter_after(last)),
            };
            for entry in rest {
                if self.selection.matches(&entry.attributes) {
                    self.event("ADDED", &entry.bytes, out);
                }
                if out.len() >= CHUNK {
                    sent = Some(entry.key.clone());
                    break;
                }
            }
        }
        if sent.is_some() {
            return Stage::Initial(source, sent);
        }
        if source.bookmark_after_initial {
            self.bookmark(source.events.position(), true, out);
        }
        Stage::Live(source.events)
    }

    /// Waits for something to happen and adds it.
    async fn live(&mut self, mut events: store::Watch, out: &mut Vec<u8>) -> Stage {
        let next = tokio::select! {
            biased;
            () = self.draining.cancelled() => return Stage::Ended,
            () = tokio::time::sleep_until(self.deadline) => {
                if self.bookmarks {
                    self.bookmark(events.position(), false, out);
                }
                return Stage::Ended;
            }
            next = events.next() => next,
        };
        match next {
            Ok(Item::Events(batch)) => batch.iter().for_each(|event| self.happened(event, out)),
            Ok(Item::Progress(revision)) if self.bookmarks => self.bookmark(revision, false, out),
            Ok(Item::Progress(_)) => {}
            Err(WatchError::Closed) => return Stage::Ended,
            Err(error) => {
                tracing::info!(%error, "a watch was cut off");
                let position = events.position();
                out.extend(error_event(&Status::expired(format!(
                    "too old resource version: {position} ({error})"
                ))));
                return Stage::Ended;
            }
        }
        Stage::Live(events)
    }

    /// Adds an event as the selection sees it: what enters it is added, what leaves it is deleted.
    fn happened(&mut self, event: &Event, out: &mut Vec<u8>) {
        let before =
            event.previous.as_ref().filter(|entry| self.selection.matches(&entry.attributes)).cloned();
        let after = event.kind != EventKind::Deleted && self.selection.matches(&event.entry.attributes);
        match (before, after) {
            (None, false) => {}
            (None, true) => self.event("ADDED", &event.entry.bytes, out),
            (Some(_), true) => self.event("MODIFIED", &event.entry.bytes, out),
            (Some(_), false) if event.kind == EventKind::Deleted => {
                self.event("DELETED", &event.entry.bytes, out);
            }
            // It left the selection: clients see its last state inside, at the revision at which it left.
            (Some(previous), false) => {
                let bytes = at_revision(&previous.bytes, previous.revision, event.entry.revision);
                self.event("DELETED", &bytes, out);
            }
        }
    }

    fn event(&mut self, kind: &str, stored: &[u8], out: &mut Vec<u8>) {
        let columns = std::mem::replace(&mut self.columns, false);
        match self.shaper.object(stored, columns) {
            Ok(object) => write_event(kind, &object, out),
            Err(status) => out.extend(error_event(&status)),
        }
    }

    fn bookmark(&self, revision: u64, initial_events_end: bool, out: &mut Vec<u8>) {
        write_event("BOOKMARK", &self.shaper.bookmark(revision, initial_events_end), out);
    }
}

fn write_event(kind: &str, object: &[u8], out: &mut Vec<u8>) {
    out.reserve(object.len() + 40);
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
    out.extend_from_slice(object);
    out.extend_from_slice(b"}\n");
}

fn error_event(status: &Status) -> Vec<u8> {
    let mut out = Vec::new();
    write_event("ERROR", &status.to_json(), &mut out);
    out
}

/// An object's bytes with another revision. The metadata's `resourceVersion` is the first in canonical JSON, since labels
/// and annotations come after it and quotes within strings are escaped.
fn at_revision(bytes: &[u8], from: u64, to: u64) -> Vec<u8> {
    let old = format!("\"resourceVersion\":\"{from}\"");
    let Some(at) = bytes.windows(old.len()).position(|window| window == old.as_bytes()) else {
        return bytes.to_vec();
    };
    let new = format!("\"resourceVersion\":\"{to}\"");
    [&bytes[..at], new.as_bytes(), &bytes[at + old.len()..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_revision_of_an_object_is_replaced_where_it_stands() {
        let bytes = br#"{"metadata":{"name":"a","resourceVersion":"7","labels":{"resourceVersion":"7"}}}"#;
        let expected =
            br#"{"metadata":{"name":"a","resourceVersion":"12","labels":{"resourceVersion":"7"}}}"#;
        assert_eq!(at_revision(bytes, 7, 12), expected);
    }
}
