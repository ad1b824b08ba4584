//! A snapshot from a running server, over its API, with the credentials of a kubeconfig.

use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use kube::config::KubeConfigOptions;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::location::{broken_off, unless};
use super::operation;
use crate::credentials;

/// How long a connection may take, and then the first bytes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the server for a snapshot and gives it as it comes, until it is cancelled: then whoever reads is told at once.
///
/// # Errors
/// The server cannot be reached, or refuses.
pub(super) async fn open(
    kubeconfig: &Path,
    cancel: &CancellationToken,
) -> anyhow::Result<Box<dyn Read + Send>> {
    // Of the silence between two pieces: a large block of a slow disk.
    let request = Request::get(operation::PATH).body(Body::empty())?;
    let body = unless(cancel, send(kubeconfig, request, Some(6 * PATIENCE))).await?;
    Ok(Box::new(Source { handle: Handle::current(), cancel: cancel.clone(), body, chunk: Bytes::new() }))
}

/// Sends a request to be done by the server, and shows the lines of its answer.
///
/// # Errors
/// The server cannot be reached, refuses, or breaks off.
pub(super) async fn post(
    kubeconfig: &Path,
    path: &str,
    body: Vec<u8>,
    show: &mut impl FnMut(&str),
) -> anyhow::Result<()> {
    let request = Request::post(path).body(Body::from(body))?;
    let mut answer = send(kubeconfig, request, None).await?;
    let mut text = Vec::new();
    while let Some(frame) = answer.frame().await {
        text.extend_from_slice(&frame.context("the server broke off")?.into_data().unwrap_or_default());
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            show(&String::from_utf8_lossy(&text[..end]));
            text.drain(..=end);
        }
    }
    Ok(())
}

async fn send(kubeconfig: &Path, request: Request<Body>, silence: Option<Duration>) -> anyhow::Result<Body> {
    let path = kubeconfig.display();
    let contents = credentials::read(kubeconfig).with_context(|| format!("cannot read {path}"))?;
    let mut config = kube::Config::from_custom_kubeconfig(contents, &KubeConfigOptions::default()).await?;
    config.connect_timeout = Some(PATIENCE);
    config.read_timeout = silence;
    let asked = request.uri().clone();
    let answer = Client::try_from(config)?.send(request).await.context("the server does not answer")?;
    match answer.status() {
        StatusCode::OK => Ok(answer.into_body()),
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => bail!(
            "the user of {path} may not do this: it needs the right to the non-resource URL {asked}, as system:masters has"
        ),
        StatusCode::CONFLICT => bail!(
            "a move of this server's state is under way or has just been done: let it end, then look where the state is"
        ),
        status => bail!("the server answers {status} to a request for {asked}"),
    }
}

/// The body of an answer, read from a thread that may block.
struct Source {
    handle: Handle,
    cancel: CancellationToken,
    body: Body,
    chunk: Bytes,
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            let next = self.handle.block_on(self.cancel.run_until_cancelled(self.body.frame()));
            match next.ok_or_else(broken_off)? {
                None => return Ok(0),
                Some(frame) => {
                    let frame = frame.map_err(|error| {
                        io::Error::other(format!("the server broke the snapshot off: {error}"))
                    })?;
                    self.chunk = frame.into_data().unwrap_or_default();
                }
            }
        }
        let count = self.chunk.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.chunk.split_to(count));
        Ok(count)
    }
}
