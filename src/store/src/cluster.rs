//! Several servers over one engine: one owns the order of writes, the others follow it.
//!
//! ```text
//! commit → membership ─ owner here ──────────────► member: group → batch if m/tip is ours → publish → answer
//!                     └ elsewhere → link ═ TLS ═ door ──┘        │
//!                                     ▲                          ▼
//!                  follower's member: tail ◄── news ──────── engine: log, m/tip, m/owner
//! ```
//!
//! Safety rests on the engine alone: every batch is written under the condition that the tip is what its writer last
//! wrote, so of two servers that both believe to be the owner one fails, and nothing it held is acknowledged. Time and
//! connections only decide how soon somebody takes over ([`watchdog`]). What the parts may assume, and what happens when a
//! server dies at any point, stands in `docs/decisions/0018-ownership-is-a-condition.md`.

pub(crate) mod departure;
pub(crate) mod fall;
pub(crate) mod ledger;
pub(crate) mod member;
pub(crate) mod membership;
pub(crate) mod removal;
pub(crate) mod wire;

mod door;
mod frames;
mod link;
mod resolve;
mod secure;
#[cfg(test)]
mod simulation;
mod tail;
mod watchdog;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::shared::Shared;
use crate::{EngineError, compaction};
use door::Door;
use link::Link;
use member::{Input, Member, Real, Role, identity};
use membership::Membership;

/// How this server is reached by the others of its cluster.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Where to listen; port 0 takes any that is free, since the others learn it from the store.
    pub bind: SocketAddr,
    /// The address that the others reach it at.
    pub advertise: IpAddr,
}

/// Inputs that may wait for the member's thread.
const QUEUE: usize = 4096;
/// How often a member looks whether something is due.
const TICK: Duration = Duration::from_millis(250);
/// How long a server that joins waits to know its place before it serves reads without.
const PLACE: Duration = Duration::from_secs(30);

/// Begins to take part. Everything runs within `running` and ends with `cancel`; the thread ends when it is told to.
pub(crate) async fn join(
    shared: Arc<Shared>,
    time_ms: u64,
    peer: Peer,
    running: &TaskTracker,
    cancel: &CancellationToken,
) -> Result<Membership, EngineError> {
    let listener = TcpListener::bind(peer.bind).await.map_err(EngineError::new)?;
    let port = listener.local_addr().map_err(EngineError::new)?.port();
    let credentials = secure::credentials().map_err(EngineError::new)?;
    let secret: [u8; 32] = rand::random();
    let own = identity(SocketAddr::new(peer.advertise, port).to_string(), credentials.fingerprint, secret);
    let (inbox, inputs) = mpsc::channel(QUEUE);
    let (forwards, forwarded) = mpsc::channel(QUEUE);
    let (tell_role, role) = watch::channel(Role::default());
    let stopping = Arc::new(AtomicBool::new(false));
    let member =
        Member::new(shared.clone(), own, tell_role, time_ms, stopping.clone(), Box::new(Real::default()));
    let token = running.token();
    let run = move || {
        member.run(inputs);
        // The token goes last: whoever waits for it may rely on the engine being let go.
        drop(token);
    };
    std::thread::Builder::new().name("sequencer".to_owned()).spawn(run).map_err(EngineError::new)?;
    let acceptor = TlsAcceptor::from(credentials.server);
    let door = Door { shared: shared.clone(), inbox: inbox.clone(), role: role.clone(), secret, acceptor };
    running.spawn(door::serve(door, listener, running.clone(), cancel.clone()));
    let link = Link { role: role.clone(), inbox: inbox.clone(), forwards: forwarded };
    running.spawn(link.run(cancel.clone()));
    running.spawn(tick(inbox.clone(), cancel.clone()));
    running.spawn(compact(shared.clone(), role.clone(), cancel.clone()));
    find_place(role.clone()).await;
    Ok(Membership { shared, inbox, forwards, role, stopping, newest: Arc::default() })
}

async fn find_place(mut role: watch::Receiver<Role>) {
    if tokio::time::timeout(PLACE, role.wait_for(|role| *role != Role::Alone)).await.is_err() {
        tracing::warn!("no server owns the order of the store's writes, and this one could not take it");
    }
}

async fn tick(inbox: mpsc::Sender<Input>, cancel: CancellationToken) {
    let mut interval = tokio::time::interval(TICK);
    while !cancel.is_cancelled() && !inbox.is_closed() {
        tokio::select! {
            () = cancel.cancelled() => return,
            _ = interval.tick() => {}
        }
        // Where so much waits that there is no room, the member looks around anyway.
        drop(inbox.try_send(Input::Tick));
    }
}

/// Compacts while this server is the owner; what goes is decided under a condition of its own, so two may try.
async fn compact(shared: Arc<Shared>, mut role: watch::Receiver<Role>, cancel: CancellationToken) {
    const AGAIN: Duration = Duration::from_secs(1);
    while !cancel.is_cancelled() {
        tokio::select! {
            () = cancel.cancelled() => return,
            owned = role.wait_for(|role| matches!(role, Role::Owner(_))) => if owned.is_err() { return },
        }
        let ended = tokio::select! {
            () = cancel.cancelled() => return,
            ended = compact_for_now(&shared, role.clone()) => ended,
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "compacting");
            tokio::time::sleep(AGAIN).await;
        }
    }
}

async fn compact_for_now(shared: &Arc<Shared>, mut role: watch::Receiver<Role>) -> Result<(), EngineError> {
    let owned = role.borrow_and_update().clone();
    let worker = shared.clone();
    blocking(move || compaction::recount(&worker)).await?;
    // In another epoch of its own, too, it counts anew: others have compacted meanwhile.
    while matches!(owned, Role::Owner(_)) && *role.borrow_and_update() == owned {
        let worker = shared.clone();
        let next = blocking(move || compaction::forget_shared(&worker)).await?;
        tokio::select! {
            () = compaction::wait(shared, next) => {}
            changed = role.changed() => if changed.is_err() { break },
        }
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EngineError> + Send + 'static,
) -> Result<T, EngineError> {
    tokio::task::spawn_blocking(work).await.map_err(EngineError::new)?
}
