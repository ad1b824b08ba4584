//! A server as a case sees it: requests as they were written, answers as they came.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Request};
use http_body_util::BodyExt;
use kube::Config;
use kube::client::{Body, Client};
use kube::config::{KubeConfigOptions, Kubeconfig};

use super::answer::Answer;
use super::case::As;

/// How long an answer may take before the run fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server to send requests to.
#[derive(Clone)]
pub struct Server {
    admin: Client,
    anonymous: Client,
    /// Host and port as the server may show them.
    pub(super) port: String,
}

/// One request, ready to be sent.
pub(super) struct Sent<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) user: &'a As,
    pub(super) events: Option<usize>,
}

impl Server {
    /// The server that a kubeconfig names.
    ///
    /// # Errors
    /// Where the file, the certificates in it or the TLS set-up cannot be used.
    pub async fn open(kubeconfig: &Path) -> anyhow::Result<Server> {
        let file = Kubeconfig::read_from(kubeconfig)?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        let port = config.cluster_url.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
        let mut anonymous = config.clone();
        anonymous.auth_info = kube::config::AuthInfo::default();
        Ok(Server { admin: Client::try_from(config)?, anonymous: Client::try_from(anonymous)?, port })
    }

    /// Sends a request and reads the answer.
    pub(super) async fn send(&self, sent: Sent<'_>) -> anyhow::Result<Answer> {
        tokio::time::timeout(PATIENCE, self.exchange(sent)).await.context("no answer")?
    }

    async fn exchange(&self, sent: Sent<'_>) -> anyhow::Result<Answer> {
        let mut request =
            Request::builder().method(sent.method).uri(sent.path).body(Body::from(sent.body))?;
        for (name, value) in &sent.headers {
            request.headers_mut().append(HeaderName::try_from(name)?, HeaderValue::from_str(value)?);
        }
        let client = match sent.user {
            As::Admin => &self.admin,
            As::Anonymous => &self.anonymous,
        };
        let (parts, body) = client.send(request).await?.into_parts();
        let body = match sent.events {
            Some(wanted) if parts.status == 200 => lines(body, wanted).await?,
            _ => body.collect().await?.to_bytes(),
        };
        Answer::read(parts.status.as_u16(), &parts.headers, &body, sent.events.is_some())
    }
}

/// Reads a stream until it has so many lines, or ends.
async fn lines(mut body: Body, wanted: usize) -> anyhow::Result<Bytes> {
    let mut read = BytesMut::new();
    while read.iter().filter(|byte| **byte == b'\n').count() < wanted {
        let Some(frame) = body.frame().await else { break };
        if let Ok(data) = frame?.into_data() {
            read.extend_from_slice(&data);
        }
    }
    Ok(read.freeze())
}
