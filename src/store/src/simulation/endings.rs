//! How processes of the simulation end, and how the next one opens the store that they leave.

use rand::Rng;
use rand::rngs::StdRng;
use std::sync::Arc;
use tokio::sync::mpsc;

use super::disk::{Disk, Ending};
use super::faults::Fault;
use super::process::{Ends, Process};
use super::subjects::{covers, everything};
use super::{Server, World, events, state, survives};
use crate::engine::fjall::Sizes;
use crate::recovery::recover;
use crate::shared::Shared;
use crate::{Engine, OpenError, Options, Store};

impl World {
    /// In good order, unless something strikes.
    pub(super) fn close(&mut self) {
        let shared = self.server.shared.clone();
        if self.server.store.is_writable() && survives(|| shared.engine.sync().is_ok()) == Some(true) {
            return self.restart(Ending::PowerCut);
        }
        self.end();
    }

    pub(super) fn end(&mut self) {
        let ending = self.ending();
        self.restart(ending);
    }

    fn ending(&mut self) -> Ending {
        if self.random.random_bool(0.5) { Ending::Killed } else { Ending::PowerCut }
    }

    pub(super) fn restart(&mut self, ending: Ending) {
        self.disk = self.disk.end(ending);
        while self.random.random_bool(0.4) {
            self.fail_to_open();
        }
        self.begin(&format!("{ending:?}"));
    }

    /// A process that ends before anybody was served by it, or soon afterwards.
    fn fail_to_open(&mut self) {
        self.disk.arm(Fault::opening(&mut self.random));
        let was_adopting = self.disk.state().is_adopting();
        match survives(|| self.start().map(drop)) {
            None => {}
            Some(Ok(()) | Err(OpenError::Engine(_))) => {
                let is_adopting = self.disk.state().is_adopting();
                assert!(was_adopting || !is_adopting, "a file is left that nobody adopted");
            }
            Some(Err(refusal)) => panic!("{refusal}"),
        }
        let ending = self.ending();
        self.disk = self.disk.end(ending);
    }

    /// A bit of the journal flips while no process runs. Either that is found, and nothing is changed by finding it, or
    /// nothing was lost.
    pub(super) fn flip(&mut self) {
        self.disk = self.disk.end(Ending::Killed);
        let before = self.disk.state().clone();
        let Some(flipped) = self.disk.state().flip() else { return self.begin("nothing") };
        let evidence = self.disk.state().evidence();
        if self.start().is_err() {
            assert!(self.disk.state().evidence() == evidence, "the evidence is as it was");
            *self.disk.state() = before;
        }
        self.disk = self.disk.end(Ending::Killed);
        self.begin(&flipped);
    }

    fn start(&mut self) -> Result<Server, OpenError> {
        start(&self.disk, self.random.random(), self.sizes, &self.ends, &self.options)
    }

    /// Opens the store, which has everything that anybody knew of, and perhaps what nobody was told of.
    fn begin(&mut self, after: &str) {
        for watcher in &mut self.watchers {
            watcher.watch = None;
        }
        self.server = self.start().unwrap_or_else(|refusal| panic!("after {after}: {refusal}"));
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

/// Layers of a few dozen writes, or of a few.
pub(super) fn sizes(random: &mut StdRng) -> Sizes {
    Sizes {
        layer: random.random_range(1000..40_000),
        layers: random.random_range(0..4),
        stretch: random.random_range(0..8000),
    }
}

/// Opens the store as it is opened in production.
pub(super) fn start(
    disk: &Disk,
    seed: u64,
    sizes: Sizes,
    ends: &Ends,
    options: &Options,
) -> Result<Server, OpenError> {
    let process = Process::open(disk, seed, sizes, ends.clone())?;
    let engine = Engine::new(process.clone());
    let recovered = recover(&engine, options)?;
    let time_ms = recovered.time_ms;
    let shared = Arc::new(Shared::new(engine, options.clone(), false, recovered));
    let (commands, inbox) = mpsc::channel(64);
    Ok(Server { process, store: Store::driven(shared.clone(), commands), shared, inbox, time_ms })
}
