//! One server of a cluster: a thread that either orders the writes or follows whoever does.
//!
//! Everything reaches it through one inbox: writes, the ticks of a clock, news of the connection to the owner. It alone
//! publishes, so a change of role is a change of what it does next and needs no lock. As owner it commits groups under
//! the tip's condition; when that fails it has been deposed and follows. It answers nothing whose outcome it does not
//! know, except with the truth that it does not know it, after it has given up ownership.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

mod following;
mod owning;
mod sealing;

use super::departure::Departure;
use super::fall::Fall;
use super::ledger::{Epoch, Owner, Tip};
use super::watchdog::{Link, Watchdog};
use crate::sequencer::{Fuse, Request, answer};
use crate::shared::Shared;
use crate::{CommitError, EngineError, Revision};

/// What the member is told.
pub(crate) enum Input {
    Commit(Request),
    /// Time has passed.
    Tick,
    /// The owner says that there is something new.
    News,
    /// The connection to the owner of an epoch has changed.
    Link(Epoch, Link),
    /// The state is to leave the engine: the writes of all servers stop. Answered with the revision that stays the newest.
    Seal(Departure, oneshot::Sender<Result<Revision, EngineError>>),
    Stop,
}

/// How time passes for a member: it decides nothing but when it tries something.
pub(crate) trait Pace: Send {
    /// Since some moment; never runs backwards.
    fn now(&self) -> Duration;
    fn pause(&self, duration: Duration);
}

/// The time of this machine.
pub(crate) struct Real(Instant);

impl Default for Real {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Pace for Real {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn pause(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// What a server is, as its other parts see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
    /// It does not know of an owner.
    #[default]
    Alone,
    Follower(Owner),
    Owner(Epoch),
    /// Nobody is the owner: the state leaves the engine, or has left it.
    Sealed(Departure),
    /// It follows no longer, for good.
    Fallen(Fall),
}

/// How long after a batch was begun its outcome may be unknown before the server gives up ownership instead: while it
/// doubts it answers the others' pings, and nobody takes over from it.
const DOUBT: Duration = Duration::from_secs(8);
/// Between two attempts to reach the engine.
const PAUSE: Duration = Duration::from_millis(100);
/// Epochs whose beginnings are remembered: nobody is in doubt about a batch for so many changes of ownership.
const EPOCHS: Epoch = 1000;
/// What a group may take over a network: a larger transaction's locks live longer, and so would those of a server that
/// is killed while it commits.
const GROUP_BYTES: usize = 256 << 10;

pub(crate) struct Member {
    shared: Arc<Shared>,
    /// As others are to reach this server; its epoch is filled in when it takes over.
    identity: Owner,
    role: watch::Sender<Role>,
    /// The tip as this server wrote it; `None` while it follows.
    tenure: Option<Tip>,
    watchdog: Watchdog,
    /// An epoch that it may have begun without having been told.
    attempted: Option<Epoch>,
    /// Whether it was told of something new and has not read it since.
    news: bool,
    /// When the tip was last written by this server.
    wrote: Duration,
    /// The time of the newest write.
    time_ms: u64,
    pace: Box<dyn Pace>,
    stopping: Arc<AtomicBool>,
}

impl Member {
    pub(crate) fn new(
        shared: Arc<Shared>,
        identity: Owner,
        role: watch::Sender<Role>,
        time_ms: u64,
        stopping: Arc<AtomicBool>,
        pace: Box<dyn Pace>,
    ) -> Self {
        let (seen, now) = (Tip { revision: shared.tip(), ..Tip::default() }, pace.now());
        Self {
            shared,
            identity,
            role,
            tenure: None,
            watchdog: Watchdog::new(seen, now),
            attempted: None,
            news: false,
            wrote: now,
            time_ms,
            pace,
            stopping,
        }
    }

    /// Runs until it is told to stop or nobody is left who could tell it anything.
    pub(crate) fn run(mut self, mut inbox: mpsc::Receiver<Input>) {
        let shared = self.shared.clone();
        let _fuse = Fuse(&shared);
        let mut waiting = Vec::new();
        let mut stopped = false;
        while !stopped && inbox.blocking_recv_many(&mut waiting, self.shared.options.group) > 0 {
            stopped = self.serve(&mut waiting);
        }
        self.release();
        inbox.close();
        while let Some(input) = inbox.blocking_recv() {
            if let Input::Commit(request) = input {
                answer(request.answer, Err(CommitError::Closed));
            }
        }
        self.role.send_replace(Role::Alone);
        self.shared.close();
    }

    fn now(&self) -> Duration {
        self.pace.now()
    }

    /// Takes in what waits, then acts on it; true when it was told to stop.
    pub(super) fn serve(&mut self, waiting: &mut Vec<Input>) -> bool {
        let (mut requests, mut stopped) = (Vec::new(), false);
        for input in waiting.drain(..) {
            match input {
                Input::Commit(request) => requests.push(request),
                Input::News => self.news = true,
                Input::Tick => {}
                Input::Link(epoch, link) if epoch == self.watchdog.seen().epoch => self.watchdog.link(link),
                // Of an owner that is none any more.
                Input::Link(..) => {}
                Input::Seal(departure, answer) => {
                    // Whoever asked may have gone; it is sealed all the same, and says for whom.
                    drop(answer.send(self.seal(&departure)));
                }
                Input::Stop => stopped = true,
            }
        }
        if self.tenure.is_none() && self.shared.poisoned().is_none() {
            self.follow();
        }
        self.commit(requests);
        self.beat();
        stopped
    }
}

/// The limits of a store that is reached over a network.
pub(crate) fn bounded(options: crate::Options) -> crate::Options {
    let group_bytes = options.group_bytes.min(GROUP_BYTES);
    crate::Options { group_bytes, ..options }
}

/// What a server publishes of itself before it owns anything.
pub(crate) fn identity(address: String, fingerprint: [u8; 32], secret: [u8; 32]) -> Owner {
    Owner { epoch: 0, address, fingerprint, secret }
}
