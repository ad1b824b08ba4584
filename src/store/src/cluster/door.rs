//! The owner's side of the connections between servers: takes forwarded writes, tells of news.
//!
//! Every server listens; one that does not own the order of writes closes what comes, so that a caller which is wrong
//! about the owner looks into the store again. Answers that are under way when ownership ends are still given.

use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf, split};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::frames;
use super::member::{Input, Role};
use super::wire::{Answer, Call, Forward, Reply};
use crate::sequencer::Request;
use crate::shared::Shared;
use crate::{CommitError, Revision};

/// How long a caller may take to say who it is, and an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest frame of a caller of whom nothing is known yet.
const HELLO: usize = 64;
/// Answers that may wait for one caller.
const QUEUE: usize = 1024;

/// What a connection needs.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) shared: Arc<Shared>,
    pub(crate) inbox: mpsc::Sender<Input>,
    pub(crate) role: watch::Receiver<Role>,
    pub(crate) secret: [u8; 32],
    pub(crate) acceptor: TlsAcceptor,
}

/// Accepts until it is cancelled.
pub(crate) async fn serve(
    door: Door,
    listener: TcpListener,
    running: TaskTracker,
    cancel: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = cancel.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, caller)) => {
                let (door, cancel) = (door.clone(), cancel.clone());
                running.spawn(async move {
                    if let Err(error) = door.answer(stream, cancel).await {
                        tracing::debug!(%caller, %error, "a connection of another server has ended");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a connection of another server");
                tokio::time::sleep(PATIENCE).await;
            }
        }
    }
}

impl Door {
    async fn answer(
        mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        cancel: CancellationToken,
    ) -> io::Result<()> {
        let mut stream = tokio::time::timeout(PATIENCE, self.acceptor.accept(stream)).await??;
        let hello = tokio::time::timeout(PATIENCE, frames::read_up_to(&mut stream, HELLO)).await??;
        if !matches!(Call::decode(hello), Some(Call::Hello(secret)) if is_equal(&secret, &self.secret)) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it does not know this server's secret",
            ));
        }
        let Role::Owner(epoch) = *self.role.borrow_and_update() else { return Ok(()) };
        let (reader, writer) = split(stream);
        let (replies, queue) = mpsc::channel(QUEUE);
        let writing = write_replies(writer, queue, self.shared.follow_tip());
        tokio::pin!(writing);
        let mut role = self.role.clone();
        let ended = tokio::select! {
            ended = self.read_calls(reader, &replies) => ended,
            ended = &mut writing => return ended,
            _ = role.wait_for(|role| *role != Role::Owner(epoch)) => Ok(()),
            () = cancel.cancelled() => Ok(()),
        };
        // The writer ends with the last answer that is under way.
        drop(replies);
        tokio::time::timeout(PATIENCE, writing).await??;
        ended
    }

    async fn read_calls(
        &self,
        mut reader: ReadHalf<impl AsyncRead + AsyncWrite + Unpin>,
        replies: &mpsc::Sender<Reply>,
    ) -> io::Result<()> {
        loop {
            let reply = match Call::decode(frames::read(&mut reader).await?) {
                Some(Call::Commit(id, forward)) => {
                    self.commit(id, forward, replies.clone()).await;
                    continue;
                }
                Some(Call::Ping) => Reply::Pong,
                Some(Call::Hello(_)) | None => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "not a call that this server knows",
                    ));
                }
            };
            if replies.send(reply).await.is_err() {
                return Ok(());
            }
        }
    }

    async fn commit(&self, id: u64, forward: Forward, replies: mpsc::Sender<Reply>) {
        let Forward { key, precondition, write } = forward;
        let attributes = (self.shared.options.extract)(&key, &write.value().preview());
        let (answer, outcome) = oneshot::channel();
        let request = Request { key, precondition, write, attributes, answer };
        let given = self.inbox.send(Input::Commit(request)).await;
        tokio::spawn(async move {
            let outcome = match given {
                Ok(()) => outcome
                    .await
                    .unwrap_or_else(|_| Err(CommitError::Unknown("the owner has ended".to_owned()))),
                Err(_) => Err(CommitError::Closed),
            };
            // The caller may have gone.
            drop(replies.send(Reply::Answer(id, Answer::of(outcome))).await);
        });
    }
}

/// Writes what is queued, and news whenever the tip has moved.
async fn write_replies(
    mut writer: WriteHalf<impl AsyncRead + AsyncWrite + Unpin>,
    mut queue: mpsc::Receiver<Reply>,
    mut tip: watch::Receiver<Revision>,
) -> io::Result<()> {
    loop {
        let reply = tokio::select! {
            reply = queue.recv() => match reply {
                Some(reply) => reply,
                None => return Ok(()),
            },
            Ok(()) = tip.changed() => Reply::News,
        };
        tokio::time::timeout(PATIENCE, frames::write(&mut writer, &reply.encode())).await??;
    }
}

/// Whether two secrets are the same; takes the same time wherever they differ.
fn is_equal(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.iter().zip(other).fold(0, |differences, (one, other)| differences | (one ^ other)) == 0
}
