//! What goes wrong in the simulated cluster beside the network: connections break, processes die, what is late arrives, history is
//! forgotten; and how all of that is mended.

use rand::Rng;

use super::{MEMBERS, World};
use crate::cluster::departure::reopen;
use crate::cluster::fall::Fall;
use crate::cluster::member::{Input, Role};
use crate::cluster::watchdog::Link;
use crate::compaction::{self, Next};
use crate::record;
use crate::recovery::number;

impl World {
    pub(super) fn break_link(&mut self, at: usize) {
        let Role::Follower(owner) = self.servers[at].role.borrow().clone() else { return };
        let link = [Link::Broken, Link::Silent, Link::Up][self.random.random_range(0..3)];
        self.tell(at, vec![Input::Link(owner.epoch, link)]);
    }

    /// What was on its way arrives.
    pub(super) fn deliver(&mut self, at: usize) {
        let late = std::mem::take(&mut self.servers[at].way.state().late);
        for (condition, batch) in late {
            self.engine.write_if(&condition, batch).unwrap();
        }
        self.observe();
    }

    /// The process dies; what it had sent is still on its way.
    pub(super) fn restart(&mut self, at: usize) {
        let server = self.start();
        let old = std::mem::replace(&mut self.servers[at], server);
        let late = std::mem::take(&mut old.way.state().late);
        self.servers[at].way.state().late = late;
        self.watchers.iter_mut().for_each(|watcher| watcher.lose(at));
        self.check_shown(at);
    }

    /// A server gives up for one reason only: what it has missed was forgotten.
    pub(super) fn restart_fallen(&mut self, at: usize) {
        let horizon = number(&*self.engine.snapshot(), record::HORIZON_KEY).unwrap().unwrap();
        let shared = &self.servers[at].shared;
        assert!(horizon > shared.tip(), "{:?}", shared.poisoned());
        assert_eq!(*self.servers[at].role.borrow(), Role::Fallen(Fall::Behind));
        self.check_watches_end(at);
        self.restart(at);
    }

    /// Whoever believes to be the owner forgets what is old.
    pub(super) fn forget(&mut self, at: usize) {
        if !self.servers[at].is_owner() {
            return;
        }
        let shared = self.servers[at].shared.clone();
        // A failure is tried again by its caller, and here by one of the next steps.
        if self.random.random_bool(0.7) && compaction::recount(&shared).is_err() {
            return;
        }
        while let Ok(Next::Now) = compaction::forget_shared(&shared) {}
    }

    /// Faults end, what is late arrives, and somebody orders the writes again.
    pub(super) fn heal(&mut self) {
        if let Some((departure, _)) = self.departing.take() {
            reopen(&self.engine, Some(departure.token)).unwrap();
        }
        for at in 0..MEMBERS {
            let mut way = self.servers[at].way.state();
            (way.faults, way.cut) = (0, 0);
            drop(way);
            self.servers[at].asleep = 0;
            self.deliver(at);
        }
        for round in 0..400 {
            self.time.pass(100);
            self.mend_links();
            for at in 0..MEMBERS {
                self.tell(at, vec![Input::Tick]);
                if self.servers[at].shared.poisoned().is_some() {
                    self.restart_fallen(at);
                    self.servers[at].way.state().faults = 0;
                }
            }
            if round > 200 && self.is_healed() {
                return;
            }
        }
        panic!("nobody, or more than one, orders the writes after everything was mended");
    }

    fn is_healed(&self) -> bool {
        let owners = self.servers.iter().filter(|server| server.is_owner()).count();
        owners == 1 && self.servers.iter().all(|server| server.shared.tip() == self.log.tip())
    }

    /// Tells every follower whether the one it follows is there. What is new it hears once, as its connection is made, and
    /// what it does then may fail.
    fn mend_links(&mut self) {
        let roles: Vec<_> = self.servers.iter().map(|server| server.role.borrow().clone()).collect();
        for (at, role) in roles.iter().enumerate() {
            if let Role::Follower(owner) = role {
                let is_there = roles.contains(&Role::Owner(owner.epoch));
                let link = if is_there { Link::Up } else { Link::Broken };
                self.tell(at, vec![Input::Link(owner.epoch, link)]);
                if is_there && self.servers[at].hears.replace(owner.epoch) != Some(owner.epoch) {
                    // The next calls of this one fail, so many.
                    self.servers[at].way.state().cut = self.random.random_range(0..4);
                    self.tell(at, vec![Input::News]);
                }
            }
        }
    }
}
