//! The members of a cluster, as they are, on a simulated engine, clock and network, under a seed.
//!
//! One thread makes everything happen in an order that the seed decides: writes to any member, ticks, news, broken
//! connections, members that stop for a while, that die and come back, batches that are lost, late, done twice, without an
//! answer or with a refusal, reads that fail half-way, compaction, clients that watch one member and go on at another. The production member,
//! tail, recovery, compaction, watches and linearizable reads do the work; `testing::history` judges what was said and shown
//! by the log, which is what the engine has.
//!
//! Which seeds, `crate::simulation::seeds` says.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::time::Duration;
use testing::history::{Call, Log};
use tokio::runtime::Runtime;

mod failing;
mod judging;
mod leaving;
mod mishaps;
mod reading;
mod server;
mod succession;
mod watching;
mod way;
mod writing;

use super::departure::Departure;
use super::member::Input;
use crate::simulation::seeds;
use crate::{Engine, Key, Options, Range, Revision, memory};
use server::{Server, SimulatedTime};
use watching::Watcher;

const MEMBERS: usize = 3;
const WATCHERS: usize = 6;
const STEPS: usize = 400;

#[test]
fn whatever_fails_what_was_said_is_true() {
    seeds::run_all("cluster", |seed| World::new(seed).run());
}

struct World {
    random: StdRng,
    time: SimulatedTime,
    engine: Engine,
    options: Options,
    servers: Vec<Server>,
    watchers: Vec<Watcher>,
    runtime: Runtime,
    next: u64,
    calls: Vec<Call>,
    /// What the engine has had until now.
    log: Log,
    /// The first revision of the group that each write of the log is of.
    groups: Vec<Revision>,
    /// The departure that is under way, and the revision that stays the newest until it is given up.
    departing: Option<(Departure, Revision)>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let time = SimulatedTime::default();
        time.pass(1_000_000);
        let options = options(&mut random, &time);
        let watchers = (0..WATCHERS).map(|at| Watcher::new(range(&mut random), at % MEMBERS)).collect();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        let mut world = Self {
            random,
            time,
            engine: memory::new(),
            options,
            servers: Vec::new(),
            watchers,
            runtime,
            next: 0,
            calls: Vec::new(),
            log: Log::new(1),
            groups: Vec::new(),
            departing: None,
        };
        for _ in 0..MEMBERS {
            let server = world.start();
            world.servers.push(server);
        }
        world
    }

    /// Gives the number of writes that were done.
    fn run(mut self) -> usize {
        for _ in 0..STEPS {
            self.step();
            self.check_sealed();
        }
        self.heal();
        for at in 0..WATCHERS {
            self.watch(at);
        }
        self.check();
        self.log.after(1).len()
    }

    fn step(&mut self) {
        // It takes seconds; what follows shall not be about that only.
        if self.departing.is_some() && self.random.random_bool(0.1) {
            return self.depart(0);
        }
        let at = self.random.random_range(0..MEMBERS);
        if self.servers[at].asleep > 0 {
            self.servers[at].asleep -= 1;
            return;
        }
        if self.servers[at].shared.poisoned().is_some() {
            return self.restart_fallen(at);
        }
        match self.random.random_range(0..136) {
            0..45 => self.burst(at),
            45..75 => {
                let ms = self.random.random_range(20..500);
                self.time.pass(ms);
                self.tell(at, vec![Input::Tick]);
            }
            75..83 => self.tell(at, vec![Input::News]),
            83..90 => self.break_link(at),
            90..94 => self.deliver(at),
            94..96 => self.servers[at].asleep = self.random.random_range(10..60),
            96..98 => {
                let calls = self.random.random_range(2..90);
                self.servers[at].way.state().cut = calls;
            }
            98..100 => self.restart(at),
            100..102 => self.depart(at),
            102..106 => self.forget(at),
            106..124 => {
                let watcher = self.random.random_range(0..WATCHERS);
                self.watch(watcher);
            }
            124..130 => self.list(at),
            _ => self.read(at),
        }
    }

    /// Lets a member work, and looks at what came of it.
    fn tell(&mut self, at: usize, mut inputs: Vec<Input>) {
        self.servers[at].member.serve(&mut inputs);
        self.observe();
        self.check_shown(at);
    }
}

fn options(random: &mut StdRng, time: &SimulatedTime) -> Options {
    Options {
        clock: Arc::new(time.clone()),
        horizon: Duration::from_millis(random.random_range(2000..30_000)),
        compaction_slack: Duration::ZERO,
        ring: [0, 3, 10, 1000][random.random_range(0..4)],
        watch_backlog: random.random_range(3..20),
        group: random.random_range(1..8),
        ..Options::default()
    }
}

fn key(random: &mut StdRng) -> Key {
    let namespace = ["", "n"][random.random_range(0..2)];
    Key::new("", "things", namespace, &format!("k{}", random.random_range(0..2)))
}

fn everything() -> Range {
    Range::resource("", "things")
}

fn range(random: &mut StdRng) -> Range {
    let key = key(random);
    match random.random_range(0..3) {
        0 => Range::key(&key),
        1 => Range::namespace(key.group(), key.resource(), key.namespace()),
        _ => everything(),
    }
}
