//! The running server's part of `store move`: it copies its state into TiKV while it serves, then begins anew over it.
//!
//! Whoever asked sees a line for each step. If they go away while everything is copied, the move is given up; once writes
//! have stopped it is brought to its end either way.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use apiserver::{Body, BoxError, Operation};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use store::Store;
use store::snapshot::Transfer;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::place::{self, TikvPlace};
use crate::snapshot::operation::{Pieces, refused_method};
use crate::snapshot::size;

/// Where it is served.
pub(crate) const PATH: &str = "/coxswain/move";
/// What the last line of a move that succeeded begins with.
pub(super) const MOVED: &str = "moved";
/// Writes that may be left for the pause; copying so few takes moments.
const FEW: u64 = 200;
/// Rounds after which the pause begins however much is written: it will not get less.
const ROUNDS: usize = 20;

/// Moves the state of a server that keeps it in its data directory.
pub(crate) struct MoveOperation {
    pub(crate) store: Store,
    pub(crate) data: PathBuf,
    /// Whether the state is in TiKV already.
    pub(crate) is_shared: bool,
    /// Cancelled when the server is to begin anew.
    pub(crate) restart: CancellationToken,
}

impl Operation for MoveOperation {
    fn answer(&self, request: Request<Body>) -> Response<Body> {
        if request.method() != http::Method::POST {
            return refused_method();
        }
        let (lines, received) = mpsc::channel(16);
        let work = Work {
            store: self.store.clone(),
            data: self.data.clone(),
            is_shared: self.is_shared,
            restart: self.restart.clone(),
            lines: lines.clone(),
        };
        tokio::spawn(async move {
            if let Err(error) = work.run(request.into_body()).await {
                tracing::warn!(error = format!("{error:#}"), "the state was not moved");
                // Whoever asked may have gone.
                drop(lines.send(Ok(format!("error: {error:#}\n").into())).await);
            }
        });
        Response::new(Pieces(received).boxed_unsync())
    }
}

struct Work {
    store: Store,
    data: PathBuf,
    is_shared: bool,
    restart: CancellationToken,
    lines: mpsc::Sender<Result<Bytes, BoxError>>,
}

impl Work {
    async fn run(&self, body: Body) -> anyhow::Result<()> {
        ensure!(!self.is_shared, "the state is in TiKV already");
        let body = body.collect().await.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        let to: TikvPlace = serde_json::from_slice(&body).context("the request is none of `store move`")?;
        let transfer = tokio::select! {
            copied = self.copy(&to) => copied?,
            () = self.lines.closed() => anyhow::bail!("whoever asked for it has gone"),
        };
        // From here on it is finished, or the server begins anew where it was.
        let _restart = self.restart.clone().drop_guard();
        self.say("writes pause").await;
        self.store.shutdown().await;
        let (bytes, revision) = (transfer.bytes(), transfer.finish().await?);
        place::leave_word(&self.data, Some(&to))?;
        tracing::info!(%to, revision, "the state was moved; the server begins anew");
        self.say(&format!("{MOVED} revision {revision} ({}) to {to}; {}", size(bytes), place::ADVICE)).await;
        Ok(())
    }

    /// Copies until little is left.
    async fn copy(&self, to: &TikvPlace) -> anyhow::Result<Transfer> {
        let mut transfer = super::begin_into(&self.store, to).await?;
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

    /// Tells whoever asked; they may have gone.
    async fn say(&self, line: &str) {
        drop(self.lines.send(Ok(format!("{line}\n").into())).await);
    }
}
