//! The embedded store as it is, on a simulated disk and clock, under a seed.
//!
//! One thread makes everything happen in an order that the seed decides: bursts of writes, compaction, lists of the past,
//! watches that come, go and resume, kills and power cuts at named points (`faults`), calls that fail or take their time, a
//! full disk, flipped bits. The production sequencer, compaction, recovery, watches and the whole embedded engine, journal,
//! layers and flushing, do the work, over simulated files (`disk`) and `tables`; `testing::history` judges what was said and
//! shown. `seeds` says which seeds. Here is the world and what happens in it; `writing`, `reading` and `endings` are how.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testing::history::{Call, Change, Log};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

mod content;
mod disk;
mod endings;
mod faults;
mod process;
mod reading;
mod remains;
pub(crate) mod seeds;
pub(crate) mod subjects;
mod system;
mod tables;
mod writing;

use crate::engine::fjall::Sizes;
use crate::sequencer::Command;
use crate::shared::Shared;
use crate::{Clock, Item, Options, Range, Revision, Store, Watch, WatchError};
use disk::{Crash, Disk, Ending};
use endings::{sizes, start};
use faults::{Fault, Point, Strike};
use process::{Ends, Process};
use subjects::{change, everything, range};

const STEPS: usize = 150;
const WATCHERS: usize = 4;
const VALUE_LIMIT: usize = 3000;

#[test]
fn whatever_happens_to_the_disk_what_was_said_is_true() {
    let struck = Mutex::new(BTreeSet::new());
    let seeds = seeds::run_all("embedded", |seed| {
        let (done, by) = World::new(seed, None).run();
        struck.lock().unwrap().extend(by);
        done
    });
    let struck = struck.into_inner().unwrap();
    println!("{} ways in which a call failed", struck.len());
    if seeds < seeds::SEEDS {
        return; // Too few to meet everything.
    }
    for point in faults::points() {
        let strikes = |strike: &[Strike]| strike.iter().any(|strike| struck.contains(&(point, *strike)));
        assert!(
            strikes(&[Strike::DiesBefore, Strike::DiesWithin, Strike::DiesAfter]),
            "none dies at {point:?}"
        );
        assert!(strikes(&[Strike::Fails]), "{point:?} never fails");
    }
}

/// The judge has to be able to condemn: each sync there is, left out, and a table that is not durable when its file of the
/// journal goes, is found out.
#[test]
fn whatever_is_not_made_durable_is_found_out() {
    for point in faults::NEEDED {
        let lied_to = |seed| catch_unwind(|| World::new(seed, Some(point)).run());
        let found_out = (0..300).find(|&seed| lied_to(seed).is_err());
        let seed = found_out.unwrap_or_else(|| panic!("nobody needs {point:?}"));
        println!("without {point:?}, seed {seed} fails");
        // By its lie, and by nothing else.
        World::new(seed, None).run();
    }
}

/// Time as the simulation makes it pass.
#[derive(Clone, Default)]
struct SimulatedTime(Arc<AtomicU64>);

impl SimulatedTime {
    fn pass(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for SimulatedTime {
    fn now(&self) -> Duration {
        Duration::from_millis(1_000_000 + self.0.load(Ordering::Relaxed))
    }
}

/// One process over the disk.
struct Server {
    process: Process,
    shared: Arc<Shared>,
    store: Store,
    inbox: mpsc::Receiver<Command>,
    time_ms: u64,
}

struct Watcher {
    range: Range,
    watch: Option<Watch>,
    position: Revision,
}

struct World {
    random: StdRng,
    time: SimulatedTime,
    disk: Disk,
    options: Options,
    sizes: Sizes,
    ends: Ends,
    server: Server,
    log: Log,
    calls: Vec<Call>,
    next: u64,
    watchers: Vec<Watcher>,
    runtime: Runtime,
}

impl World {
    /// A store that is opened for the first time. `left_out`: what the disk says to have made durable and has not.
    fn new(seed: u64, left_out: Option<Point>) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let time = SimulatedTime::default();
        let disk = Disk::new(random.random(), time.clone(), left_out);
        let options = options(&mut random, &time);
        let (sizes, ends) = (sizes(&mut random), Ends::default());
        let server = start(&disk, random.random(), sizes, &ends, &options).unwrap();
        ends.lock().unwrap().insert(1);
        let watchers = (0..WATCHERS).map(|_| Watcher { range: range(&mut random), watch: None, position: 1 });
        let watchers = watchers.collect();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        let (log, calls) = (Log::new(1), Vec::new());
        Self { random, time, disk, options, sizes, ends, server, log, calls, next: 0, watchers, runtime }
    }

    /// Gives the number of writes that were done, and what has struck.
    fn run(mut self) -> (usize, BTreeSet<(Point, Strike)>) {
        for _ in 0..STEPS {
            self.step();
        }
        self.restart(Ending::Killed);
        for at in 0..WATCHERS {
            self.watch(at);
        }
        self.log.check_calls(&self.calls);
        (self.log.after(1).len(), std::mem::take(&mut self.disk.state().struck))
    }

    fn step(&mut self) {
        if !self.server.store.is_writable() && self.random.random_bool(0.3) {
            return self.end();
        }
        match self.random.random_range(0..100) {
            0..40 => self.burst(),
            40..47 => self.time.pass(self.random.random_range(10..2000)),
            47..57 => self.compact(),
            57..77 => {
                let at = self.random.random_range(0..WATCHERS);
                self.watch(at);
            }
            77..87 => self.list(),
            87..91 => self.read(),
            91..94 => self.flush(),
            94..96 => self.flip(),
            96..98 => self.close(),
            _ => self.end(),
        }
    }

    /// Takes what was published into the log.
    fn see(&mut self) {
        for change in events(&self.runtime, &self.server.store, self.log.tip()) {
            self.log.push(change);
        }
        assert!(self.ends.lock().unwrap().contains(&self.log.tip()), "half a group is to be seen");
    }

    fn arm(&mut self, chance: f64) {
        if self.random.random_bool(chance) {
            self.disk.arm(Fault::serving(&mut self.random));
        }
    }
}

fn options(random: &mut StdRng, time: &SimulatedTime) -> Options {
    Options {
        clock: Arc::new(time.clone()),
        horizon: Duration::from_millis(random.random_range(500..8000)),
        compaction_slack: Duration::ZERO,
        history_limit: if random.random_bool(0.3) { 20_000 } else { 2 << 30 },
        value_limit: VALUE_LIMIT,
        ring: [0, 3, 10, 1000][random.random_range(0..4)],
        watch_backlog: random.random_range(3..20),
        group: 512,
        group_bytes: random.random_range(1000..10_000),
        ..Options::default()
    }
}

/// All events behind a revision, of all ranges.
fn events(runtime: &Runtime, store: &Store, after: Revision) -> Vec<Change> {
    let mut events = Vec::new();
    for range in everything() {
        let mut watch = store.watch(range, after).unwrap();
        while let Some(item) = next(runtime, &mut watch, 1) {
            let Item::Events(more) = item.unwrap() else { continue };
            events.extend(more.iter().map(|event| change(event)));
        }
    }
    events.sort_by_key(|change| change.revision);
    events
}

/// What a watch yields within so many milliseconds.
fn next(runtime: &Runtime, watch: &mut Watch, patience_ms: u64) -> Option<Result<Item, WatchError>> {
    let patience = Duration::from_millis(patience_ms);
    runtime.block_on(async { tokio::time::timeout(patience, watch.next()).await.ok() })
}

fn state(store: &Store, range: &Range) -> (Revision, Vec<(String, Revision)>) {
    let snapshot = store.snapshot(range);
    let entries = snapshot.iter().map(|entry| (entry.key.as_str().to_owned(), entry.revision));
    (snapshot.revision, entries.collect())
}

/// What the process did; nothing when it died of it.
fn survives<T>(run: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(done) => Some(done),
        Err(cause) if cause.is::<Crash>() => None,
        Err(cause) => resume_unwind(cause),
    }
}
