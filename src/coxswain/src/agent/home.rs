//! What a node keeps between its runs, in its data directory: which cluster it is of (`agent.json`, `pki/ca.crt`) and by
//! which certificates it is known there (`pki/kubelet-client.pem`, `pki/kubelet-serving.pem`).

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};

use super::authority;
use super::certificate::Certificate;
use super::connection::Endpoint;
use crate::datadir::DataDir;
use crate::pki::write_private;

/// The files of a node.
#[derive(Clone, Debug)]
pub(super) struct Home {
    record: PathBuf,
    pki: PathBuf,
}

/// A node of a cluster.
pub(super) struct Member {
    /// Where the API is, one at least.
    pub(super) servers: Vec<Endpoint>,
    pub(super) node_name: String,
    /// The cluster's authority, PEM.
    pub(super) authority: String,
    /// By which the node is known.
    pub(super) certificate: Certificate,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    server: String,
    /// The cluster's other servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    others: Vec<String>,
    node_name: String,
}

impl Home {
    pub(super) fn of(data: &DataDir) -> anyhow::Result<Self> {
        Ok(Self { record: data.join("agent.json"), pki: data.private("pki")? })
    }

    pub(super) fn client_certificate(&self) -> PathBuf {
        self.pki.join("kubelet-client.pem")
    }

    pub(super) fn serving_certificate(&self) -> PathBuf {
        self.pki.join("kubelet-serving.pem")
    }

    fn authority(&self) -> PathBuf {
        self.pki.join("ca.crt")
    }

    /// The node that the machine is; `None` where it has not joined.
    ///
    /// # Errors
    /// A file is damaged: it is named.
    pub(super) fn member(&self) -> anyhow::Result<Option<Member>> {
        if !self.record.exists() {
            return Ok(None);
        }
        let failed = || format!("cannot read {}", self.record.display());
        let record: Record = serde_json::from_slice(&std::fs::read(&self.record).with_context(failed)?)
            .with_context(failed)?;
        let file = self.authority();
        let authority =
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let certificate = Certificate::read(&self.client_certificate())?
            .with_context(|| format!("{} is missing", self.client_certificate().display()))?;
        let servers = [record.server].into_iter().chain(record.others).map(|server| server.parse());
        let servers = servers.collect::<anyhow::Result<_>>().with_context(failed)?;
        Ok(Some(Member { servers, node_name: record.node_name, authority, certificate }))
    }

    /// Keeps a node that has joined. The record comes last: without it, nothing has happened.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(super) fn keep(&self, member: &Member) -> anyhow::Result<()> {
        write_private(&self.authority(), member.authority.as_bytes())?;
        member.certificate.write(&self.client_certificate())?;
        self.keep_record(&member.servers, &member.node_name)
    }

    /// Keeps where the API is.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn keep_record(&self, servers: &[Endpoint], node_name: &str) -> anyhow::Result<()> {
        let mut servers = servers.iter().map(ToString::to_string);
        let server = servers.next().context("a node has at least one server")?;
        let record = Record { server, others: servers.collect(), node_name: node_name.to_owned() };
        write_private(&self.record, &serde_json::to_vec_pretty(&record)?)
    }
}

impl Member {
    /// How the node connects.
    pub(super) fn client_tls(&self) -> anyhow::Result<Arc<ClientConfig>> {
        authority::client_tls(&self.authority, Some(&self.certificate))
    }
}
