//! A simulated disk under the embedded engine: names and files, in a kernel's memory and on the disk.
//!
//! The production code does everything that happens to them (`engine/fjall`), by the calls that are in `system`. What was
//! written reaches the kernel's memory; what was synced survives a power cut, the rest does by chance, a sector and a name at
//! a time. A sync that fails loses what it did not write, and the kernel does not know it. Faults strike at named points,
//! when they are armed (`faults`). A process that dies does so by unwinding; from then on nobody may call in its name.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::SimulatedTime;
use super::content::Content;
use super::faults::{Fault, Point, Strike};
use super::system::Kind;
use super::tables::Stack;

/// Where the store is.
pub(super) const STORE: &str = "/store";

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// What it had written is there.
    Killed,
    /// The machine goes with it.
    PowerCut,
}

/// What unwinds through the process that dies.
pub(super) struct Crash;

/// The system as one process sees it.
#[derive(Clone)]
pub(super) struct Disk {
    state: Arc<Mutex<State>>,
    process: u64,
}

#[derive(Clone)]
pub(super) struct State {
    time: SimulatedTime,
    pub(super) random: StdRng,
    /// The process that there is.
    process: u64,
    /// What is in files, by a number that is nobody else's.
    pub(super) contents: BTreeMap<u64, Content>,
    next: u64,
    /// What is there by what name, in the kernel's memory and on the disk.
    pub(super) names: BTreeMap<PathBuf, Node>,
    pub(super) durable_names: BTreeMap<PathBuf, Node>,
    /// What the sync of a directory is for: the last that was done to a name in it.
    named: BTreeMap<PathBuf, Point>,
    pub(super) tables: Stack,
    armed: Option<Fault>,
    /// Whether there is no room for anything more.
    pub(super) is_full: bool,
    /// What has struck.
    pub(super) struck: BTreeSet<(Point, Strike)>,
    /// What it says to have made durable and has not.
    pub(super) left_out: Option<Point>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Directory,
    File(u64),
}

impl Disk {
    pub(super) fn new(seed: u64, time: SimulatedTime, left_out: Option<Point>) -> Self {
        let state = State {
            time,
            random: StdRng::seed_from_u64(seed),
            process: 0,
            contents: BTreeMap::new(),
            next: 0,
            names: BTreeMap::from([(PathBuf::from("/"), Node::Directory)]),
            durable_names: BTreeMap::from([(PathBuf::from("/"), Node::Directory)]),
            named: BTreeMap::new(),
            tables: Stack::default(),
            armed: None,
            is_full: false,
            struck: BTreeSet::new(),
            left_out,
        };
        Self { state: Arc::new(Mutex::new(state)), process: 0 }
    }

    /// Whether the process that sees it has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.process != self.state().process
    }

    /// Everything, for whoever is no process.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn arm(&self, fault: Fault) {
        self.state().armed = Some(fault);
    }

    /// The process ends; gives the disk as the next one sees it.
    pub(super) fn end(&self, ending: Ending) -> Self {
        let mut state = self.state();
        state.armed = None;
        state.is_full = false;
        state.process += 1;
        if ending == Ending::PowerCut {
            state.lose_memory();
        }
        Self { state: self.state.clone(), process: state.process }
    }

    /// Does what a process asks for, with what strikes it. `act` does all of it, or a part; that is told by a chance.
    pub(super) fn call<T>(
        &self,
        name: impl FnOnce(&State) -> Point,
        act: impl FnOnce(&mut State, f64) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.state();
        assert_eq!(self.process, state.process, "a process goes on behind its end");
        let point = name(&state);
        match state.strikes(point) {
            None => act(&mut state, 1.0),
            Some(Strike::IsSlow) => {
                state.time.pass(1500);
                act(&mut state, 1.0)
            }
            Some(Strike::IsFull) => {
                state.is_full = true;
                act(&mut state, 1.0)
            }
            Some(Strike::DiesBefore) => die(state),
            Some(Strike::DiesWithin) => {
                let chance = state.random.random_range(0.0..1.0);
                // It dies of whatever became of it.
                act(&mut state, chance).ok();
                die(state)
            }
            Some(Strike::DiesAfter) => {
                act(&mut state, 1.0).ok();
                die(state)
            }
            Some(Strike::Fails) => {
                let chance = [0.0, 0.5, 1.0][state.random.random_range(0..3)];
                act(&mut state, chance)?;
                Err(io::Error::other(format!("{point:?} failed")))
            }
        }
    }

    /// As [`Self::call`], for the tables.
    pub(super) fn ingest(&self, act: impl FnOnce(&mut Stack)) -> io::Result<()> {
        self.call(
            |_| Point::Ingest,
            |state, chance| {
                state.check_room()?;
                if state.happens(chance) {
                    act(&mut state.tables);
                }
                Ok(())
            },
        )
    }
}

fn die(mut state: MutexGuard<'_, State>) -> ! {
    state.process += 1;
    drop(state);
    // Not a panic that anybody should read about.
    resume_unwind(Box::new(Crash))
}

impl State {
    fn strikes(&mut self, point: Point) -> Option<Strike> {
        let fault = self.armed.as_mut().filter(|fault| fault.point == point)?;
        if fault.calls_before > 0 {
            fault.calls_before -= 1;
            return None;
        }
        let strike = fault.strike;
        self.armed = None;
        self.struck.insert((point, strike));
        Some(strike)
    }

    /// Whether what is done whole or not at all is done.
    pub(super) fn happens(&mut self, chance: f64) -> bool {
        chance == 1.0 || self.random.random_bool(chance)
    }

    pub(super) fn check_room(&self) -> io::Result<()> {
        if self.is_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    pub(super) fn node(&self, path: &Path) -> io::Result<Node> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn file(&self, path: &Path) -> io::Result<u64> {
        match self.node(path)? {
            Node::File(file) => Ok(file),
            Node::Directory => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    pub(super) fn content(&mut self, file: u64) -> &mut Content {
        self.contents.get_mut(&file).expect("files that are open are kept")
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<u64> {
        self.check_room()?;
        let directory = path.parent().expect("no file is called /");
        self.node(directory)?;
        if self.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.next += 1;
        self.contents.insert(self.next, Content::default());
        self.names.insert(path.to_owned(), Node::File(self.next));
        Ok(self.next)
    }

    /// Something is done to a name, which a sync of its directory is for from then on.
    pub(super) fn name(&mut self, path: &Path, keep: Point) {
        self.named.insert(path.parent().unwrap_or(path).to_owned(), keep);
    }

    /// What the sync of a directory is for.
    pub(super) fn named(&self, directory: &Path) -> Point {
        self.named.get(directory).copied().unwrap_or(Point::KeepDirectory)
    }

    /// What a file is for, by its name.
    pub(super) fn kind(&self, file: u64) -> Kind {
        let named = self.names.iter().find(|(_, node)| **node == Node::File(file));
        named.map_or(Kind::Removed, |(path, _)| Kind::of(path))
    }
}
