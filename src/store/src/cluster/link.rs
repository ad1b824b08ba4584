//! A follower's connection to the owner: forwards writes, hears of news, and notices when the owner is gone.
//!
//! Told by the member whom to connect to, it tells the member what becomes of the connection. A write that was not sent
//! is answered with that; one that was sent and not answered has an unknown outcome, which is the answer then.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::ledger::{Epoch, Owner};
use super::member::{Input, Role};
use super::watchdog::Link as State;
use super::wire::{Answer, Call, Forward, Reply};
use super::{frames, secure};

/// A write that waits for the owner's answer.
pub(crate) struct Forwarded {
    pub(crate) forward: Forward,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(2);
/// Between two attempts.
const AGAIN: Duration = Duration::from_millis(250);
const PING: Duration = Duration::from_secs(1);
/// How long nothing may be heard of an owner that is pinged.
const SILENCE: Duration = Duration::from_secs(3);

pub(crate) struct Link {
    pub(crate) role: watch::Receiver<Role>,
    pub(crate) inbox: mpsc::Sender<Input>,
    pub(crate) forwards: mpsc::Receiver<Forwarded>,
}

impl Link {
    /// Keeps a connection to whoever is the owner, until it is cancelled.
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        while !cancel.is_cancelled() {
            let role = self.role.borrow_and_update().clone();
            match role {
                Role::Follower(owner) => {
                    let ended = tokio::select! {
                        () = cancel.cancelled() => return,
                        ended = self.attend(&owner) => ended,
                    };
                    self.tell(owner.epoch, ended).await;
                    self.pause(&cancel, Some(AGAIN)).await;
                }
                Role::Alone | Role::Owner(_) | Role::Sealed(_) | Role::Fallen(_) => {
                    self.pause(&cancel, None).await;
                }
            }
        }
    }

    async fn tell(&self, epoch: Epoch, state: State) {
        // The member has ended when this fails, and everything else ends too.
        drop(self.inbox.send(Input::Link(epoch, state)).await);
    }

    /// Waits for another owner, or for a while; writes are turned away.
    async fn pause(&mut self, cancel: &CancellationToken, at_most: Option<Duration>) {
        let until = Instant::now() + at_most.unwrap_or(Duration::MAX / 4);
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                changed = self.role.changed() => return drop(changed),
                () = tokio::time::sleep_until(until), if at_most.is_some() => return,
                Some(forwarded) = self.forwards.recv() => turn_away(forwarded),
            }
        }
    }

    /// Connects and stays until the connection ends or another owner is known.
    async fn attend(&mut self, owner: &Owner) -> State {
        let stream = match timeout(CONNECT, connect(owner)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(address = owner.address, %error, "connecting to the store's owner");
                return State::Broken;
            }
            Err(_) => return State::Silent,
        };
        let (reader, writer) = split(stream);
        let talk = Talk::default();
        let mut role = self.role.clone();
        let inbox = self.inbox.clone();
        tokio::select! {
            error = talk.listen(reader, &inbox, owner.epoch) => {
                tracing::debug!(%error, "the connection to the store's owner has ended");
                State::Broken
            }
            state = talk.speak(writer, &mut self.forwards) => state,
            _ = role.wait_for(|role| !matches!(role, Role::Follower(other) if other == owner)) => State::Broken,
        }
    }
}

async fn connect(owner: &Owner) -> io::Result<impl AsyncRead + AsyncWrite + Unpin + use<>> {
    let connector = TlsConnector::from(secure::client(owner.fingerprint).map_err(io::Error::other)?);
    let stream = TcpStream::connect(&owner.address).await?;
    stream.set_nodelay(true)?;
    let mut stream = connector.connect(secure::name(), stream).await?;
    frames::write(&mut stream, &Call::Hello(owner.secret).encode()).await?;
    Ok(stream)
}

fn turn_away(forwarded: Forwarded) {
    let why = "there is no connection to the server that owns the order of writes".to_owned();
    drop(forwarded.answer.send(Answer::Unavailable(why)));
}

/// One connection's memory.
struct Talk {
    waiting: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
    heard: Mutex<Instant>,
}

impl Default for Talk {
    fn default() -> Self {
        Self { waiting: Mutex::default(), heard: Mutex::new(Instant::now()) }
    }
}

impl Talk {
    /// Takes what the owner says. It is known to be the owner, and not only a process, by its first word.
    async fn listen(
        &self,
        mut reader: ReadHalf<impl AsyncRead + AsyncWrite + Unpin>,
        inbox: &mpsc::Sender<Input>,
        epoch: Epoch,
    ) -> io::Error {
        let mut greeted = false;
        loop {
            let reply = match frames::read(&mut reader).await.map(Reply::decode) {
                Ok(Some(reply)) => reply,
                Ok(None) => {
                    return io::Error::new(io::ErrorKind::InvalidData, "not a reply that this server knows");
                }
                Err(error) => return error,
            };
            *lock(&self.heard) = Instant::now();
            if !std::mem::replace(&mut greeted, true) {
                drop(inbox.send(Input::Link(epoch, State::Up)).await);
                // What was written before the connection stood is news too.
                drop(inbox.send(Input::News).await);
            }
            match reply {
                Reply::Pong => {}
                Reply::News => drop(inbox.send(Input::News).await),
                Reply::Answer(id, answer) => {
                    if let Some(waiting) = lock(&self.waiting).remove(&id) {
                        drop(waiting.send(answer));
                    }
                }
            }
        }
    }

    /// Forwards and pings; ends when nothing has been heard for too long.
    async fn speak(
        &self,
        mut writer: WriteHalf<impl AsyncRead + AsyncWrite + Unpin>,
        forwards: &mut mpsc::Receiver<Forwarded>,
    ) -> State {
        let mut ping = tokio::time::interval(PING);
        for id in 0.. {
            let forwarded = tokio::select! {
                _ = ping.tick() => None,
                Some(forwarded) = forwards.recv() => Some(forwarded),
            };
            if lock(&self.heard).elapsed() > SILENCE {
                // Nothing of it was sent.
                forwarded.into_iter().for_each(turn_away);
                break;
            }
            let call = match forwarded {
                None => Call::Ping,
                Some(Forwarded { forward, answer }) => {
                    lock(&self.waiting).insert(id, answer);
                    Call::Commit(id, forward)
                }
            };
            match timeout(SILENCE, frames::write(&mut writer, &call.encode())).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return State::Broken,
                Err(_) => break,
            }
        }
        State::Silent
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
