//! One process of the simulated cluster: a member, the face of its store, and the time that passes for all.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

use super::World;
use super::way::Way;
use crate::cluster::ledger::Epoch;
use crate::cluster::member::{Input, Member, Pace, Role, identity};
use crate::cluster::membership::Membership;
use crate::recovery::recover_shared;
use crate::shared::Shared;
use crate::{Clock, Engine, ReadError, Revision, Store};

/// Time as the simulation makes it pass.
#[derive(Clone, Default)]
pub(super) struct SimulatedTime(Arc<AtomicU64>);

impl SimulatedTime {
    pub(super) fn pass(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Pace for SimulatedTime {
    fn now(&self) -> Duration {
        Duration::from_millis(self.now_ms())
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

pub(super) struct Server {
    pub(super) way: Way,
    pub(super) shared: Arc<Shared>,
    pub(super) member: Member,
    pub(super) role: watch::Receiver<Role>,
    /// What readers and watchers see of it.
    pub(super) store: Store,
    pub(super) membership: Membership,
    inbox: mpsc::Receiver<Input>,
    /// So many steps the process is stopped and everything around it goes on.
    pub(super) asleep: u32,
    /// The epoch whose owner has told it of what is new, since everything was mended.
    pub(super) hears: Option<Epoch>,
    /// Up to here what it shows was looked at.
    pub(super) shown: Revision,
}

impl Server {
    pub(super) fn is_owner(&self) -> bool {
        matches!(*self.role.borrow(), Role::Owner(_))
    }

    /// As a request that needs the newest: what it tells the member reaches it.
    pub(super) async fn catch_up(&mut self) -> Result<(), ReadError> {
        let Self { membership, inbox, member, .. } = self;
        let serve = async {
            while let Some(input) = inbox.recv().await {
                member.serve(&mut vec![input]);
            }
        };
        tokio::select! {
            caught_up = membership.catch_up() => caught_up,
            () = serve => panic!("the inbox was closed"),
        }
    }
}

impl World {
    /// A process that joins, by the production recovery, over a network that has no faults until then.
    pub(super) fn start(&mut self) -> Server {
        let way =
            Way::new(self.engine.clone(), self.time.clone(), StdRng::seed_from_u64(self.random.random()));
        let engine = Engine::new(way.clone());
        let recovered = recover_shared(&engine, &self.options).unwrap();
        let (shown, time_ms) = (0, recovered.time_ms);
        let shared = Arc::new(Shared::new(engine, self.options.clone(), true, recovered));
        way.state().faults = 12;
        let (tell_role, role) = watch::channel(Role::default());
        let own = identity("nowhere".to_owned(), [0; 32], self.random.random());
        let pace = Box::new(self.time.clone());
        let member = Member::new(shared.clone(), own, tell_role, time_ms, Arc::default(), pace);
        let (tell, inbox) = mpsc::channel(16);
        let membership = Membership {
            shared: shared.clone(),
            inbox: tell,
            forwards: mpsc::channel(1).0,
            role: role.clone(),
            stopping: Arc::default(),
            newest: Arc::default(),
        };
        let store = Store::driven(shared.clone(), mpsc::channel(1).0);
        Server { way, shared, member, role, store, membership, inbox, asleep: 0, hears: None, shown }
    }
}
