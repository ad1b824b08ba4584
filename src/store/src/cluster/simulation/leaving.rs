//! The simulated state leaves the engine, or begins to, and that is given up.

use rand::Rng;
use tokio::sync::oneshot;

use super::World;
use crate::cluster::departure::{Departure, Settled, reopen};
use crate::cluster::ledger;
use crate::cluster::member::Input;

impl World {
    pub(super) fn depart(&mut self, at: usize) {
        if let Some((departure, _)) = self.departing.take() {
            assert_eq!(reopen(&self.engine, Some(departure.token)).unwrap(), Settled::Done);
            return;
        }
        let departure = Departure { token: self.random.random(), ..Departure::begin("elsewhere".to_owned()) };
        let (answer, mut sealed) = oneshot::channel();
        self.tell(at, vec![Input::Seal(departure.clone(), answer)]);
        match sealed.try_recv().unwrap() {
            Ok(revision) => {
                assert_eq!(revision, self.servers[at].shared.tip(), "whoever seals has everything");
                self.departing = Some((departure, revision));
            }
            // Whether it was done or still is on its way: from here on it is neither.
            Err(_) => drop(reopen(&self.engine, Some(departure.token)).unwrap()),
        }
    }

    /// Nothing is written to what is sealed, and nothing is sealed that nobody wants sealed.
    pub(super) fn check_sealed(&self) {
        let ledger = ledger::read(&*self.engine.snapshot()).unwrap();
        let sealed = ledger.departure.map(|departure| (departure, ledger.tip.revision));
        assert_eq!(sealed, self.departing);
    }
}
