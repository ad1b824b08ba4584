//! The members of a cluster, as they are, on a simulated engine, clock and network, under a seed.
//!
//! One thread makes everything happen in an order that the seed decides: writes to any member, ticks, news, broken
//! connections, members that stop for a while, that die and come back, batches that are lost, late, or done without an answer. A reference
//! model checks what was said: acknowledged writes are in the log at their revision, refused and turned-away ones are
//! not, refusals are true at the moment, every member's watchers see the log and nothing else.
//!
//! Which seeds, `crate::simulation::seeds` says.

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

mod judging;
mod way;

use super::departure::{Departure, Settled, reopen};
use super::member::{Input, Member, Pace, Role, identity};
use super::watchdog::Link;
use crate::history::History;
use crate::recovery::recover_shared;
use crate::sequencer::{Outcome, Request};
use crate::shared::Shared;
use crate::simulation::seeds;
use crate::watch::{Item, Watch};
use crate::{
    Attributes, Clock, CommitError, Engine, Event, Key, Options, Precondition, Range, Revision, Value, Write,
    memory,
};
use way::{Way, WayState};

const MEMBERS: usize = 3;
const STEPS: usize = 400;

#[test]
fn whatever_fails_what_was_said_is_true() {
    seeds::run_all("cluster", |seed| World::new(seed).run());
}

/// Time as the simulation makes it pass.
#[derive(Clone, Default)]
struct SimulatedTime(Arc<AtomicU64>);

impl SimulatedTime {
    fn pass(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Pace for SimulatedTime {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    fn pause(&self, duration: Duration) {
        self.pass(u64::try_from(duration.as_millis()).unwrap());
    }
}

impl Clock for SimulatedTime {
    fn now(&self) -> Duration {
        Pace::now(self)
    }
}

struct Server {
    way: Way,
    shared: Arc<Shared>,
    member: Member,
    role: watch::Receiver<Role>,
    /// Sees everything behind the revision at which the server was started.
    watch: Watch,
    began: Revision,
    /// So many steps the process is stopped and everything around it goes on.
    asleep: u32,
    seen: Vec<Arc<Event>>,
    /// Sees one key only, and how many of its events it has told of.
    narrow: Watch,
    told: Vec<Arc<Event>>,
}

impl Server {
    fn see(&mut self) {
        while let Some(Item::Events(events)) = self.watch.try_next().unwrap() {
            self.seen.extend(events);
        }
        while let Some(Item::Events(events)) = self.narrow.try_next().unwrap() {
            self.told.extend(events);
        }
    }

    /// The clients' connections break, and they come back with the position that they were told.
    fn resume(&mut self) {
        self.watch = Watch::new(self.shared.clone(), everything(), self.watch.position());
        self.narrow = Watch::new(self.shared.clone(), Range::key(&key(0)), self.narrow.position());
    }

    fn tell(&mut self, inputs: Vec<Input>) {
        let mut inputs = inputs;
        self.member.serve(&mut inputs);
        self.see();
    }
}

/// A write with a value that no other has.
#[derive(Clone)]
struct Attempt {
    id: u64,
    key: Key,
    precondition: Precondition,
    deletes: bool,
}

struct World {
    random: StdRng,
    time: SimulatedTime,
    engine: Engine,
    servers: Vec<Server>,
    next: u64,
    /// By identity of the write: the revision it was acknowledged at.
    acknowledged: HashMap<u64, Revision>,
    /// Writes of which was said that they were not done.
    void: Vec<u64>,
    /// The departure that is under way, and the revision that stays the newest until it is given up.
    departing: Option<(Departure, Revision)>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            random: StdRng::seed_from_u64(seed),
            time: SimulatedTime::default(),
            engine: memory::new(),
            servers: Vec::new(),
            next: 0,
            acknowledged: HashMap::new(),
            void: Vec::new(),
            departing: None,
        };
        world.time.pass(1_000_000);
        for _ in 0..MEMBERS {
            let server = world.start();
            world.servers.push(server);
        }
        world
    }

    fn start(&mut self) -> Server {
        let way = Way(Arc::new(Mutex::new(WayState {
            engine: self.engine.clone(),
            random: StdRng::seed_from_u64(self.random.random()),
            faults: 0,
            cut: 0,
            late: Vec::new(),
        })));
        let options = Options { clock: Arc::new(self.time.clone()), ring: 1 << 20, ..Options::default() };
        let engine = Engine::new(way.clone());
        let recovered = recover_shared(&engine, &options).unwrap();
        let (began, time_ms) = (recovered.tip, recovered.time_ms);
        let shared = Arc::new(Shared::new(engine, options, true, recovered));
        way.0.lock().unwrap().faults = 12;
        let (tell_role, role) = watch::channel(Role::default());
        let own = identity("nowhere".to_owned(), [0; 32], self.random.random());
        let pace = Box::new(self.time.clone());
        let member = Member::new(shared.clone(), own, tell_role, time_ms, Arc::default(), pace);
        let watch = Watch::new(shared.clone(), everything(), began);
        let narrow = Watch::new(shared.clone(), Range::key(&key(0)), began);
        let (seen, told) = (Vec::new(), Vec::new());
        Server { way, shared, member, role, watch, began, asleep: 0, seen, narrow, told }
    }

    /// Gives the number of acknowledged writes.
    fn run(mut self) -> usize {
        for _ in 0..STEPS {
            self.step();
            self.check_sealed();
        }
        self.heal();
        self.check();
        self.acknowledged.len()
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
        match self.random.random_range(0..112) {
            0..45 => {
                let count = if self.random.random_bool(0.7) { 1 } else { self.random.random_range(2..6) };
                self.write(at, count);
            }
            45..75 => {
                let ms = self.random.random_range(20..500);
                self.time.pass(ms);
                self.servers[at].tell(vec![Input::Tick]);
            }
            75..83 => self.servers[at].tell(vec![Input::News]),
            83..90 => self.break_link(at),
            90..94 => self.deliver(at),
            94..96 => self.servers[at].asleep = self.random.random_range(10..60),
            96..98 => self.servers[at].way.0.lock().unwrap().cut = self.random.random_range(2..90),
            98..100 => self.restart(at),
            100..102 => self.depart(at),
            102..106 => self.servers[at].resume(),
            _ => self.list(at),
        }
    }

    /// The state begins to leave the engine, or that is given up.
    fn depart(&mut self, at: usize) {
        if let Some((departure, _)) = self.departing.take() {
            assert_eq!(reopen(&self.engine, Some(departure.token)).unwrap(), Settled::Done);
            return;
        }
        let departure = Departure { token: self.random.random(), ..Departure::begin("elsewhere".to_owned()) };
        let (answer, mut sealed) = oneshot::channel();
        self.servers[at].tell(vec![Input::Seal(departure.clone(), answer)]);
        match sealed.try_recv().unwrap() {
            Ok(revision) => {
                assert_eq!(revision, self.servers[at].shared.tip(), "whoever seals has everything");
                self.departing = Some((departure, revision));
            }
            // Whether it was done or still is on its way: from here on it is neither.
            Err(_) => drop(reopen(&self.engine, Some(departure.token)).unwrap()),
        }
    }

    fn break_link(&mut self, at: usize) {
        let Role::Follower(owner) = self.servers[at].role.borrow().clone() else { return };
        let link = [Link::Broken, Link::Silent, Link::Up][self.random.random_range(0..3)];
        self.servers[at].tell(vec![Input::Link(owner.epoch, link)]);
    }

    fn deliver(&mut self, at: usize) {
        let late = std::mem::take(&mut self.servers[at].way.0.lock().unwrap().late);
        for (condition, batch) in late {
            self.engine.write_if(&condition, batch).unwrap();
        }
    }

    /// The process dies; what it had sent is still on its way.
    fn restart(&mut self, at: usize) {
        let server = self.start();
        let old = std::mem::replace(&mut self.servers[at], server);
        let late = std::mem::take(&mut old.way.0.lock().unwrap().late);
        self.servers[at].way.0.lock().unwrap().late = late;
        self.check_seen(&old);
    }

    fn write(&mut self, at: usize, count: usize) {
        let attempts: Vec<_> = (0..count).map(|_| self.attempt(at)).collect();
        let before = self.current(&attempts[0].key);
        let (requests, answers): (Vec<_>, Vec<_>) = attempts.iter().map(request).unzip();
        self.servers[at].tell(requests.into_iter().map(Input::Commit).collect());
        for (attempt, mut answer) in attempts.iter().zip(answers) {
            let outcome = answer.try_recv().expect("a member answers before it turns to something else");
            self.heard(attempt, &outcome, (count == 1).then_some(before));
        }
    }

    fn attempt(&mut self, at: usize) -> Attempt {
        self.next += 1;
        let key = key(self.random.random_range(0..4));
        let known = self.servers[at].shared.get(&key).map_or(9, |entry| entry.revision);
        let precondition =
            [Precondition::Any, Precondition::Absent, Precondition::Present, Precondition::Revision(known)]
                [self.random.random_range(0..4)];
        Attempt { id: self.next, key, precondition, deletes: self.random.random_bool(0.2) }
    }

    /// The revision of a key in what the engine holds now.
    fn current(&self, key: &Key) -> Option<Revision> {
        let snapshot = self.engine.snapshot();
        let options = Options::default();
        let history = History { snapshot: &*snapshot, options: &options, tip: Revision::MAX };
        history.get_at(key, Revision::MAX - 1).unwrap().map(|entry| entry.revision)
    }

    /// Notes what was said. `before` is the truth at the moment of asking, where nothing else was asked with it.
    fn heard(&mut self, attempt: &Attempt, outcome: &Outcome, before: Option<Option<Revision>>) {
        match outcome {
            Ok(committed) => {
                self.acknowledged.insert(attempt.id, committed.entry.revision);
            }
            Err(CommitError::Unknown(_)) => {}
            Err(CommitError::Unavailable(_)) => self.void.push(attempt.id),
            Err(refusal) => {
                self.void.push(attempt.id);
                if let Some(before) = before {
                    let is_true = match refusal {
                        CommitError::Missing => before.is_none(),
                        CommitError::Exists(met) | CommitError::Conflict(met) => Some(met.revision) == before,
                        refusal => panic!("{refusal}"),
                    };
                    assert!(is_true, "{refusal} was said of {}, which was at {before:?}", attempt.key);
                }
            }
        }
    }

    /// Faults end, what is late arrives, and somebody orders the writes again.
    fn heal(&mut self) {
        if let Some((departure, _)) = self.departing.take() {
            reopen(&self.engine, Some(departure.token)).unwrap();
        }
        for at in 0..MEMBERS {
            let mut way = self.servers[at].way.0.lock().unwrap();
            (way.faults, way.cut) = (0, 0);
            drop(way);
            self.deliver(at);
        }
        for round in 0..400 {
            self.time.pass(100);
            self.mend_links();
            for server in &mut self.servers {
                server.tell(vec![Input::Tick, Input::News]);
            }
            let owners: Vec<_> = self
                .servers
                .iter()
                .filter(|server| matches!(*server.role.borrow(), Role::Owner(_)))
                .map(|server| server.shared.tip())
                .collect();
            if round > 200
                && owners.len() == 1
                && self.servers.iter().all(|server| server.shared.tip() == owners[0])
            {
                return;
            }
        }
        panic!("nobody, or more than one, orders the writes after everything was mended");
    }

    /// Tells every follower whether the one it follows is there.
    fn mend_links(&mut self) {
        let roles: Vec<_> = self.servers.iter().map(|server| server.role.borrow().clone()).collect();
        for (server, role) in self.servers.iter_mut().zip(&roles) {
            if let Role::Follower(owner) = role {
                let is_there = roles.contains(&Role::Owner(owner.epoch));
                let link = if is_there { Link::Up } else { Link::Broken };
                server.tell(vec![Input::Link(owner.epoch, link)]);
            }
        }
    }
}

fn key(number: u32) -> Key {
    Key::new("", "things", "", &format!("k{number}"))
}

fn everything() -> Range {
    Range::resource("", "things")
}

fn request(attempt: &Attempt) -> (Request, oneshot::Receiver<Outcome>) {
    let value = Value::whole(Bytes::copy_from_slice(&attempt.id.to_be_bytes()));
    let write = if attempt.deletes { Write::Delete(value) } else { Write::Put(value) };
    let (answer, outcome) = oneshot::channel();
    let request = Request {
        key: attempt.key.clone(),
        precondition: attempt.precondition,
        write,
        attributes: Attributes::default(),
        answer,
    };
    (request, outcome)
}

fn identity_of(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().unwrap())
}
