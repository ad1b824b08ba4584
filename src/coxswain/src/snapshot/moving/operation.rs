//! The running server's part of `store move`: it copies its state while it serves, then begins anew over the copy.
//!
//! One move at a time, its taking back included: another that is asked for meanwhile is refused. Whoever asked sees a line
//! for each step. If they go away while everything is copied, the move is given up; once writes have stopped it is brought to
//! its end either way.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use apiserver::{Body, BoxError, Operation};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use store::Store;
use store::snapshot::Transfer;
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc};
use tokio_util::sync::CancellationToken;

use super::departing::{Departing, Open};
use super::place::{self, TikvPlace};
use super::word::{self, State};
use crate::snapshot::operation::{Pieces, refused};
use crate::snapshot::size;
use crate::store::StorePlace;

/// Where it is served.
pub(crate) const PATH: &str = "/coxswain/move";
/// What the last line of a move that succeeded begins with.
pub(super) const MOVED: &str = "moved";
/// Writes that may be left for the pause; copying so few takes moments.
const FEW: u64 = 200;
/// Rounds after which the pause begins however much is written: it will not get less.
const ROUNDS: usize = 20;

/// What is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Order {
    /// Into TiKV.
    Tikv(TikvPlace),
    /// Into the data directory, from the TiKV that is named, if one is.
    Embedded(Option<TikvPlace>),
}

/// Moves the state of a server.
#[derive(Clone)]
pub(crate) struct MoveOperation {
    pub(crate) store: Store,
    pub(crate) data: PathBuf,
    /// The server's name.
    pub(crate) host: String,
    /// Where the state is.
    pub(crate) place: StorePlace,
    /// Cancelled when the server is to begin anew.
    pub(crate) restart: CancellationToken,
    /// How TiKV is opened.
    pub(crate) open: Open,
    /// Held while a move is under way.
    pub(crate) turn: Arc<Mutex<()>>,
}

impl MoveOperation {
    /// `None` while another move is under way, and once the server is about to begin anew.
    fn take_turn(&self) -> Option<OwnedMutexGuard<()>> {
        let turn = self.turn.clone().try_lock_owned().ok()?;
        (!self.restart.is_cancelled()).then_some(turn)
    }
}

impl Operation for MoveOperation {
    fn answer(&self, request: Request<Body>) -> Response<Body> {
        if request.method() != http::Method::POST {
            return refused(StatusCode::METHOD_NOT_ALLOWED);
        }
        let Some(turn) = self.take_turn() else { return refused(StatusCode::CONFLICT) };
        let (lines, received) = mpsc::channel(16);
        let work = Work { server: self.clone(), lines: lines.clone() };
        tokio::spawn(async move {
            let moved = work.run(request.into_body()).await;
            drop(turn);
            if let Err(error) = moved {
                tracing::warn!(error = format!("{error:#}"), "the state was not moved");
                // Whoever asked may have gone.
                drop(lines.send(Ok(format!("error: {error:#}\n").into())).await);
            }
        });
        Response::new(Pieces(received).boxed_unsync())
    }
}

struct Work {
    server: MoveOperation,
    lines: mpsc::Sender<Result<Bytes, BoxError>>,
}

impl Work {
    async fn run(&self, body: Body) -> anyhow::Result<()> {
        let body = body.collect().await.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        let order = serde_json::from_slice(&body).context("the request is none of `store move`")?;
        match (order, &self.server.place) {
            (Order::Tikv(to), StorePlace::Embedded) => self.move_into_tikv(&to).await,
            (Order::Embedded(named), place @ StorePlace::Tikv { .. }) => {
                let from = TikvPlace::at(place.clone())?;
                let is_other = named.is_some_and(|named| !named.is_same(&from));
                ensure!(!is_other, "this server keeps its state under {from}, and the flags name another");
                self.move_into_directory(from).await
            }
            (Order::Tikv(_), StorePlace::Tikv { .. }) => bail!("the state is in TiKV already"),
            (Order::Embedded(_), StorePlace::Embedded) => bail!("the state is in the data directory already"),
        }
    }

    async fn move_into_tikv(&self, to: &TikvPlace) -> anyhow::Result<()> {
        let MoveOperation { store, data, restart, open, .. } = &self.server;
        let transfer = self.unless_they_go(async |cancel| {
            self.catch_up(super::begin_into(data, store, to, *open, cancel).await?).await
        });
        let transfer = transfer.await?;
        // From here on it is finished, or the server begins anew where it was.
        let _restart = restart.clone().drop_guard();
        self.say("writes pause").await;
        store.shutdown().await;
        let (bytes, revision) = (transfer.bytes(), transfer.finish().await?);
        word::leave(data, &State::Tikv(to.clone()))?;
        self.moved(revision, bytes, &format!("to {to}")).await;
        Ok(())
    }

    async fn move_into_directory(&self, from: TikvPlace) -> anyhow::Result<()> {
        let MoveOperation { store, data, host, restart, open, .. } = &self.server;
        let departing = Departing::intend(data, from, host, *open)?;
        let transfer =
            self.unless_they_go(async |cancel| self.catch_up(departing.copy(store, cancel).await?).await);
        let transfer = match transfer.await {
            Ok(transfer) => transfer,
            Err(error) => {
                departing.settle().await?;
                return Err(error);
            }
        };
        // From here on it is finished, or the server begins anew, settles it, and is where TiKV says.
        let _restart = restart.clone().drop_guard();
        self.say("writes pause").await;
        let newest = departing.seal(store).await?;
        store.shutdown().await;
        self.say(&format!("no server writes behind revision {newest}")).await;
        let bytes = transfer.bytes();
        departing.finish(transfer, newest).await?;
        self.say("all is copied").await;
        departing.conclude().await?;
        departing.leave_word()?;
        self.moved(newest, bytes, &format!("into {}", data.display())).await;
        Ok(())
    }

    /// Does it unless whoever asked goes away meanwhile. Nothing of it goes on when this returns.
    async fn unless_they_go(
        &self,
        work: impl AsyncFnOnce(CancellationToken) -> anyhow::Result<Transfer>,
    ) -> anyhow::Result<Transfer> {
        let cancel = CancellationToken::new();
        let mut work = pin!(work(cancel.clone()));
        tokio::select! {
            done = &mut work => return done,
            () = self.lines.closed() => cancel.cancel(),
        }
        // A copy is made by a thread that looks at the token; what it has made is let go of here.
        drop(work.await);
        bail!("whoever asked for it has gone")
    }

    /// Copies until little is left.
    async fn catch_up(&self, mut transfer: Transfer) -> anyhow::Result<Transfer> {
        for _ in 0..ROUNDS {
            self.say(&format!("copied up to revision {} ({})", transfer.copied(), size(transfer.bytes())))
                .await;
            let (caught_up, writes) = transfer.catch_up().await?;
            transfer = caught_up;
            if writes <= FEW {
                break;
            }
        }
        Ok(transfer)
    }

    async fn moved(&self, revision: store::Revision, bytes: u64, whither: &str) {
        tracing::info!(revision, "the state was moved {whither}; the server begins anew");
        self.say(&format!("{MOVED} revision {revision} ({}) {whither}; {}", size(bytes), place::ADVICE))
            .await;
    }

    /// Tells whoever asked; they may have gone.
    async fn say(&self, line: &str) {
        drop(self.lines.send(Ok(format!("{line}\n").into())).await);
    }
}

#[cfg(test)]
mod tests;
