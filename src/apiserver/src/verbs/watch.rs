//! GET of a collection with `watch`: what is there, then what happens, until the client goes, its time is up, or the
//! server drains.
//!
//! Events are the stored bytes in a frame; everything that is pending leaves as one. An error after the start is an event
//! of type ERROR, as upstream's.

mod frames;

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
use crate::encryption;
use crate::negotiate;
use frames::Frames;

/// Upstream's `--min-request-timeout`: watches without a limit last between one and two of these.
const MIN_SECONDS: u64 = 1800;
/// Initial events leave in frames of about this size.
const CHUNK: usize = 64 * 1024;
/// More than any client waits for, and still a time that the clock can express.
const MAX_SECONDS: u64 = 366 * 24 * 60 * 60;

/// Answers with a stream of events.
pub(crate) async fn watch(target: Target) -> Result<Response<Body>, Status> {
    let (accept, stream_type) = negotiate::watch(&target.call, &target.kind)?;
    let options = ListOptions::read(&target.call.query, true)?;
    let mut selection = Selection::read(&target.call.query, &target.kind)?;
    if target.call.info.verb_in_path && !target.name().is_empty() {
        selection.require_name(target.name());
    }
    let frames = Frames::new(&target, &accept);
    let watching = match start(&target, &options, &selection).await {
        Ok(source) => Watching::new(&target, &options, selection, frames, source),
        Err(status) => Watching::refused(&target, &options, selection, frames, &status),
    };
    let body = stream::unfold(watching, |mut watching| async move {
        let frame = watching.frame().await?;
        Some((Ok::<_, BoxError>(Frame::data(Bytes::from(frame))), watching))
    });
    Ok(negotiate::stream(&target.call, StreamBody::new(body).boxed_unsync(), 0, stream_type))
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
    encryption::all_readable(&snapshot)?;
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
    frames: Frames,
    stage: Stage,
    bookmarks: bool,
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
        frames: Frames,
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
            frames,
            stage,
            bookmarks: options.allow_bookmarks,
            deadline: Instant::now() + Duration::from_secs(seconds.min(MAX_SECONDS)),
            draining: target.call.server.draining.clone(),
        }
    }

    /// A watch that only tells why it could not begin.
    fn refused(
        target: &Target,
        options: &ListOptions,
        selection: Selection,
        frames: Frames,
        status: &Status,
    ) -> Watching {
        let mut last = Vec::new();
        frames.error(status, &mut last);
        Watching {
            selection,
            frames,
            stage: Stage::Last(last),
            bookmarks: options.allow_bookmarks,
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
                if self.selection.matches(entry) {
                    self.frames.object("ADDED", &entry.bytes, out);
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
            self.frames.bookmark(source.events.position(), true, out);
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
                    self.frames.bookmark(events.position(), false, out);
                }
                return Stage::Ended;
            }
            next = events.next() => next,
        };
        match next {
            Ok(Item::Events(batch)) => {
                for event in batch.iter() {
                    if let Err(status) = encryption::readable(&event.entry) {
                        self.frames.error(&status, out);
                        return Stage::Ended;
                    }
                    self.happened(event, out);
                }
            }
            Ok(Item::Progress(revision)) if self.bookmarks => self.frames.bookmark(revision, false, out),
            Ok(Item::Progress(_)) => {}
            Err(WatchError::Closed) => return Stage::Ended,
            Err(error) => {
                tracing::info!(%error, "a watch was cut off");
                let position = events.position();
                let why = format!("too old resource version: {position} ({error})");
                self.frames.error(&Status::expired(why), out);
                return Stage::Ended;
            }
        }
        Stage::Live(events)
    }

    /// Adds an event as the selection sees it: what enters it is added, what leaves it is deleted.
    fn happened(&mut self, event: &Event, out: &mut Vec<u8>) {
        let before = event.previous.as_ref().filter(|entry| self.selection.matches(entry));
        let after = event.kind != EventKind::Deleted && self.selection.matches(&event.entry);
        match (before, after) {
            (None, false) => {}
            (None, true) => self.frames.event("ADDED", &event.entry, out),
            (Some(_), true) => self.frames.event("MODIFIED", &event.entry, out),
            (Some(_), false) if event.kind == EventKind::Deleted => {
                self.frames.event("DELETED", &event.entry, out);
            }
            // It left the selection: clients see its last state inside, at the revision at which it left.
            (Some(previous), false) => self.frames.departure(previous, event.entry.revision, out),
        }
    }
}
