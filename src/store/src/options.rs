//! What the opener of a store decides: limits, how attributes are extracted, whose clock is read.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{Attributes, Key, Seal, Unsealed};

/// Gives the attributes of an object; pure, and fast, since it runs once for every version written.
///
/// A version that is about to be written is shown with `0` in the place of its revision.
pub type Extract = dyn Fn(&Key, &[u8]) -> Attributes + Send + Sync;

/// Where the store takes the time of day from. It is recorded with every write and decides what is old enough to be
/// compacted; it never decides the order of writes.
pub trait Clock: Send + Sync + 'static {
    /// The time since the Unix epoch.
    fn now(&self) -> Duration;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        // A clock before 1970 is wrong anyway; treating it as the epoch keeps history rather than dropping it.
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

/// What the opener of a store decides. The defaults suit one node.
#[derive(Clone)]
pub struct Options {
    /// Extracts labels, selectable fields and identity. Default: nothing.
    pub extract: Arc<Extract>,
    /// Encrypts what is stored. Default: nothing.
    pub seal: Arc<dyn Seal>,
    /// The time of day. Default: the machine's.
    pub clock: Arc<dyn Clock>,
    /// How long every revision stays listable and watchable. Default: five minutes.
    pub horizon: Duration,
    /// How much older than [`Options::horizon`] history may grow before it is compacted, so that compaction comes in
    /// batches. Default: 15 seconds.
    pub compaction_slack: Duration,
    /// Bytes of history (values and log) beyond which it is compacted although it is younger than the horizon, so
    /// that no load fills the disk. Default: 2 GiB.
    pub history_limit: u64,
    /// The largest value in bytes. Default: 1.5 MiB, etcd's limit of a request.
    pub value_limit: usize,
    /// Recent events kept in memory, so that watches and lists of the recent past need no disk. Default: 4096.
    pub ring: usize,
    /// Bytes of recent events kept in memory at most. Default: 4 MiB.
    pub ring_bytes: usize,
    /// Events that may wait for one watcher before it is cut off. Default: 8192.
    pub watch_backlog: usize,
    /// Bytes of events that may wait for one watcher before it is cut off. Default: 16 MiB.
    pub watch_backlog_bytes: usize,
    /// The least time between two [`crate::Item::Progress`] of one watch. Default: one minute.
    pub progress: Duration,
    /// How often the current state in memory is compared with the engine at most. Default: one hour.
    pub comparison: Duration,
    /// Writes that go to the engine as one batch at most. Default: 512.
    pub group: usize,
    /// Bytes of values in one group at most (a single larger value is a group of its own). Default: 4 MiB.
    pub group_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        const MIB: usize = 1 << 20;
        Self {
            extract: Arc::new(|_, _| Attributes::default()),
            seal: Arc::new(Unsealed),
            clock: Arc::new(SystemClock),
            horizon: Duration::from_secs(5 * 60),
            compaction_slack: Duration::from_secs(15),
            history_limit: 2 << 30,
            value_limit: 3 * MIB / 2,
            ring: 4096,
            ring_bytes: 4 * MIB,
            watch_backlog: 8192,
            watch_backlog_bytes: 16 * MIB,
            progress: Duration::from_secs(60),
            comparison: Duration::from_secs(60 * 60),
            group: 512,
            group_bytes: 4 * MIB,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Options")
            .field("horizon", &self.horizon)
            .field("history_limit", &self.history_limit)
            .field("value_limit", &self.value_limit)
            .field("ring", &self.ring)
            .field("watch_backlog", &self.watch_backlog)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}
