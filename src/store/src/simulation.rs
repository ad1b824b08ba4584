//! The embedded store as it is, on a simulated disk and clock, under a seed.
//!
//! One thread makes everything happen in an order that the seed decides: bursts of writes, compaction, lists of the past,
//! watches that come, go and resume, kills and power cuts at named points (`disk`), syncs that fail or take their time,
//! flipped bits. The production sequencer, compaction, recovery and watches do the work; `testing::history` judges what
//! was said and shown. `seeds` says which seeds.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use testing::history::{Call, Change, Log, Requires, Said, Window};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

mod disk;
mod reading;
pub(crate) mod seeds;
mod subjects;

use crate::compaction::{self, Next};
use crate::recovery::recover;
use crate::sequencer::{self, Command};
use crate::shared::Shared;
use crate::{
    Clock, CommitError, Committed, Engine, Item, OpenError, Options, Precondition, Range, Revision, Store,
    Watch, WatchError, Write,
};
use disk::{Crash, Disk, Ending, POINTS, Point};
use subjects::{change, covers, everything, key, poll, range, said, value};

const STEPS: usize = 150;
const WATCHERS: usize = 4;
const VALUE_LIMIT: usize = 3000;

#[test]
fn whatever_happens_to_the_disk_what_was_said_is_true() {
    seeds::run_all("embedded", |seed| World::new(seed).run());
}

/// The judge has to be able to condemn.
#[test]
fn a_disk_that_lies_about_its_syncs_is_found_out() {
    let lied_to = |seed| {
        let world = World::new(seed);
        world.disk.state().lies = true;
        world.run()
    };
    let found_out = (0..20).filter(|&seed| catch_unwind(|| lied_to(seed)).is_err()).count();
    assert!(found_out > 10, "of 20 lying disks {found_out} were found out");
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

type Answer = Pin<Box<dyn Future<Output = Result<Committed, CommitError>>>>;

struct World {
    random: StdRng,
    time: SimulatedTime,
    disk: Disk,
    options: Options,
    server: Server,
    log: Log,
    calls: Vec<Call>,
    next: u64,
    watchers: Vec<Watcher>,
    runtime: Runtime,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let time = SimulatedTime::default();
        let disk = Disk::new(random.random(), time.clone());
        let options = options(&mut random, &time);
        let server = start(&disk, &options).unwrap();
        let watchers = (0..WATCHERS).map(|_| Watcher { range: range(&mut random), watch: None, position: 1 });
        let watchers = watchers.collect();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        let (log, calls) = (Log::new(1), Vec::new());
        Self { random, time, disk, options, server, log, calls, next: 0, watchers, runtime }
    }

    /// Gives the number of writes that were done.
    fn run(mut self) -> usize {
        for _ in 0..STEPS {
            self.step();
        }
        self.restart(Ending::Killed);
        for at in 0..WATCHERS {
            self.watch(at);
        }
        self.log.check_calls(&self.calls);
        self.log.after(1).len()
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
            91..94 if self.server.store.is_writable() => self.disk.rotate(),
            94..96 => self.flip(),
            96..98 => self.close(),
            _ => self.end(),
        }
    }

    // Writing.

    /// Several callers at once.
    fn burst(&mut self) {
        let count = if self.random.random_bool(0.5) { 1 } else { self.random.random_range(2..9) };
        if self.random.random_bool(0.12) {
            let point = POINTS[self.random.random_range(0..POINTS.len())];
            self.disk.arm(point, self.random.random_range(0..3));
        }
        let since = self.log.tip();
        let mut asked: Vec<_> = (0..count).map(|_| self.ask()).collect();
        let early: Vec<_> = asked.iter_mut().map(|(_, answer)| poll(answer)).collect();
        if self.random.random_bool(0.05) {
            // A caller that does not wait.
            asked[0].1 = Box::pin(std::future::pending());
        }
        let mut died = self.serve();
        self.see();
        if !died && self.random.random_bool(0.02) {
            died = true; // Nobody is told.
            asked.iter_mut().for_each(|(_, answer)| *answer = Box::pin(std::future::pending()));
        }
        let window = Window { since, until: self.log.tip() };
        for ((mut call, mut answer), early) in asked.into_iter().zip(early) {
            let outcome = early.or_else(|| poll(&mut answer));
            call.said = outcome.map_or(Said::Unknown, |outcome| said(&outcome));
            self.calls.push(Call { window, ..call });
        }
        if died {
            self.end();
        }
    }

    /// A call and its answer to come.
    fn ask(&mut self) -> (Call, Answer) {
        self.next += 1;
        let write = self.next;
        let key = key(&mut self.random);
        let known = self.server.store.get(&key).map_or(7, |entry| entry.revision);
        let (precondition, requires) = [
            (Precondition::Any, Requires::Nothing),
            (Precondition::Absent, Requires::Absent),
            (Precondition::Present, Requires::Present),
            (Precondition::Revision(known), Requires::At(known)),
        ][self.random.random_range(0..4)];
        let deletes = requires != Requires::Absent && self.random.random_bool(0.25);
        let value = value(write, &mut self.random);
        let order = if deletes { Write::Delete(value) } else { Write::Put(value) };
        let window = Window { since: 0, until: 0 };
        let said = Said::Unknown;
        let call = Call { write, key: key.as_str().to_owned(), requires, deletes, window, said };
        let store = self.server.store.clone();
        (call, Box::pin(async move { store.commit(key, precondition, order).await }))
    }

    /// Lets the sequencer work; true when the process died of it.
    fn serve(&mut self) -> bool {
        let server = &mut self.server;
        let mut waiting = Vec::new();
        while let Ok(command) = server.inbox.try_recv() {
            waiting.push(command);
        }
        server.time_ms = sequencer::later(&server.shared, server.time_ms);
        survives(|| sequencer::serve(&server.shared, &mut waiting, server.time_ms)).is_none()
    }

    /// Takes what was published into the log.
    fn see(&mut self) {
        for change in events(&self.runtime, &self.server.store, self.log.tip()) {
            self.log.push(change);
        }
        assert!(self.disk.is_end(self.log.tip()), "half a group is to be seen");
    }

    fn compact(&mut self) {
        if self.random.random_bool(0.2) {
            let point = POINTS[self.random.random_range(0..POINTS.len())];
            self.disk.arm(point, self.random.random_range(0..2));
        }
        while self.server.store.is_writable() {
            match survives(|| compaction::forget(&self.server.shared)) {
                Some(Ok(Next::Now)) => {}
                Some(Ok(_)) => return,
                Some(Err(error)) => self.server.shared.poison(&error.to_string()),
                None => return self.end(),
            }
        }
    }

    // Ending and beginning anew.

    /// In good order.
    fn close(&mut self) {
        if self.server.store.is_writable() {
            self.server.shared.engine.sync().unwrap();
        }
        self.restart(Ending::PowerCut);
    }

    fn end(&mut self) {
        let ending = if self.random.random_bool(0.5) { Ending::Killed } else { Ending::PowerCut };
        self.restart(ending);
    }

    fn restart(&mut self, ending: Ending) {
        self.disk.reopen(ending, None).unwrap();
        if self.random.random_bool(0.5) {
            self.die_while_opening();
        }
        self.begin(&format!("{ending:?}"));
    }

    /// A process that ends before anybody was served by it.
    fn die_while_opening(&mut self) {
        let point = [Point::BeforeAdoption, Point::AfterAdoption][self.random.random_range(0..2)];
        self.disk.arm(point, 0);
        survives(|| start(&self.disk, &self.options).map(drop).unwrap());
        let ending = if self.random.random_bool(0.5) { Ending::Killed } else { Ending::PowerCut };
        self.disk.reopen(ending, None).unwrap();
    }

    /// A bit of the journal flips while no process runs. Either that is found, and nothing is changed by finding it, or
    /// nothing was lost.
    fn flip(&mut self) {
        let Some(at) = self.disk.any_byte() else { return };
        let before = self.disk.state().clone();
        let opened = self.disk.reopen(Ending::Killed, Some(at));
        let opened = opened.and_then(|()| start(&self.disk, &self.options).map(drop));
        if opened.is_err() {
            *self.disk.state() = before;
            self.disk.reopen(Ending::Killed, None).unwrap();
        }
        self.begin(&format!("a bit flipped at {at}"));
    }

    /// Opens the store, which has everything that anybody knew of, and perhaps what nobody was told of.
    fn begin(&mut self, after: &str) {
        for watcher in &mut self.watchers {
            watcher.watch = None;
        }
        self.server = start(&self.disk, &self.options).unwrap();
        let (store, known) = (&self.server.store, self.log.tip());
        assert!(store.revision() >= known, "{known} was known, {} is back after {after}", store.revision());
        let horizon = store.horizon();
        let past = events(&self.runtime, store, horizon);
        let known = usize::try_from(known - horizon).unwrap();
        assert_eq!(past[..known], *self.log.after(horizon), "the log is as it was");
        self.see();
        for range in everything() {
            let (revision, entries) = state(&self.server.store, &range);
            self.log.check_list(covers(&range), revision, &entries);
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

/// Opens the store with the production recovery.
fn start(disk: &Disk, options: &Options) -> Result<Server, OpenError> {
    let engine = Engine::new(disk.clone());
    let recovered = recover(&engine, options)?;
    let time_ms = recovered.time_ms;
    let shared = Arc::new(Shared::new(engine, options.clone(), false, recovered));
    let (commands, inbox) = mpsc::channel(64);
    Ok(Server { store: Store::driven(shared.clone(), commands), shared, inbox, time_ms })
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
