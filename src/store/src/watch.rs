//! One watch: every event of a range behind a revision, in order, once each, none left out.
//!
//! It begins in the past (log, then ring) and becomes live once it has caught up; from then on events come through its
//! subscriber's queue. The reader of a watch is never waited for: when too much waits for it the watch ends with
//! `Lagged`, and a new one may go on from its position. Nothing here writes.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::fanout::{End, Subscriber, Ticket};
use crate::history::Stretch;
use crate::shared::{CatchUp, Shared};
use crate::{Event, Range, ReadError, Revision, WatchError};

/// Records of the log that a watch reads at once while it catches up.
const STRETCH: usize = 1024;

/// What a watch yields.
#[derive(Clone, Debug)]
pub enum Item {
    /// Events of the range, in order; at least one.
    Events(Vec<Arc<Event>>),
    /// Every event of the range up to this revision was delivered: a later watch may begin here.
    Progress(Revision),
}

/// A watch; dropping it ends it.
pub struct Watch {
    shared: Arc<Shared>,
    range: Range,
    /// Every event of the range up to here was delivered.
    position: Revision,
    /// The newest revision that whoever reads this watch has seen.
    told: Revision,
    stage: Stage,
    /// Rings when progress may be told; made by the first wait, which is in a runtime.
    timer: Option<Pin<Box<Sleep>>>,
}

enum Stage {
    /// What follows `position` has to be fetched.
    Past,
    /// What follows `position` comes through the subscriber.
    Live(Arc<Subscriber>, Ticket),
}

/// Why a live watch stopped waiting.
enum Woken {
    ByEvents,
    ByTimer,
}

impl Watch {
    pub(crate) fn new(shared: Arc<Shared>, range: Range, after: Revision) -> Self {
        shared.watches.fetch_add(1, Ordering::Relaxed);
        let mut watch = Self { shared, range, position: after, told: after, stage: Stage::Past, timer: None };
        watch.catch_up();
        watch
    }

    /// Everything pending, in order; waits when nothing is. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// When the watch has ended; it then stays so.
    pub async fn next(&mut self) -> Result<Item, WatchError> {
        loop {
            if let Some(item) = self.pending()? {
                return Ok(item);
            }
            match self.stage {
                Stage::Past => {
                    let stretch = self.read_log().await?;
                    if let Some(item) = self.advance(stretch.events, stretch.end) {
                        return Ok(item);
                    }
                }
                Stage::Live(..) => match poll_fn(|context| self.poll_woken(context)).await {
                    Woken::ByEvents => {}
                    Woken::ByTimer => {
                        if let Some(item) = self.progress() {
                            return Ok(item);
                        }
                    }
                },
            }
        }
    }

    /// As [`Watch::next`], without waiting: `None` when nothing is pending in memory. What a watch of the distant past
    /// has missed is only read by `next`.
    ///
    /// # Errors
    /// As [`Watch::next`].
    pub fn try_next(&mut self) -> Result<Option<Item>, WatchError> {
        self.pending()
    }

    /// Every event of the range up to this revision was delivered.
    #[must_use]
    pub fn position(&self) -> Revision {
        self.position
    }

    /// What can be had from memory.
    fn pending(&mut self) -> Result<Option<Item>, WatchError> {
        self.catch_up();
        let Stage::Live(subscriber, _) = &self.stage else { return Ok(None) };
        let events = subscriber.take().map_err(|end| match end {
            End::CutOff => WatchError::Lagged,
            End::Closed => WatchError::Closed,
        })?;
        let end = events.last().map_or(self.position, |event| event.entry.revision);
        Ok(self.advance(events, end))
    }

    /// Becomes live if what it has missed is still in memory.
    fn catch_up(&mut self) {
        if let Stage::Past = self.stage
            && let CatchUp::Live { subscriber, ticket, position } =
                self.shared.catch_up(&self.range, self.position)
        {
            self.position = position;
            self.stage = Stage::Live(subscriber, ticket);
        }
    }

    /// Notes that everything up to `end` is delivered with these events.
    fn advance(&mut self, events: Vec<Arc<Event>>, end: Revision) -> Option<Item> {
        self.position = self.position.max(end);
        self.told = events.last().map_or(self.told, |event| event.entry.revision);
        (!events.is_empty()).then_some(Item::Events(events))
    }

    async fn read_log(&self) -> Result<Stretch, ReadError> {
        let (range, after) = (self.range.clone(), self.position);
        self.shared.read_history(after, move |history| history.events(&range, after, STRETCH)).await
    }

    fn poll_woken(&mut self, context: &mut Context<'_>) -> Poll<Woken> {
        if let Stage::Live(subscriber, _) = &self.stage
            && subscriber.wake(context.waker())
        {
            return Poll::Ready(Woken::ByEvents);
        }
        // The timer also runs where nothing is written: waking every idle watch at a write elsewhere would cost more.
        let progress = self.shared.options.progress;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + progress)));
        timer.as_mut().poll(context).map(|()| {
            timer.as_mut().reset(Instant::now() + progress);
            Woken::ByTimer
        })
    }

    fn progress(&mut self) -> Option<Item> {
        let Stage::Live(subscriber, _) = &self.stage else { return None };
        self.position = self.shared.tip_if_drained(subscriber)?;
        let news = self.position > self.told;
        self.told = self.position;
        news.then_some(Item::Progress(self.position))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.watches.fetch_sub(1, Ordering::Relaxed);
        if let Stage::Live(_, ticket) = &self.stage {
            self.shared.unregister(&self.range, ticket);
        }
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut watch = formatter.debug_struct("Watch");
        watch.field("range", &self.range).field("position", &self.position).finish_non_exhaustive()
    }
}
