//! A component that runs alone: it finds its API server, ours or another, by a kubeconfig and speaks nothing but the public
//! API. Beside its work it serves health pages and metrics ([`serving`]).

mod requests;
pub(crate) mod serving;

use std::path::Path;

use anyhow::Context;
use client::Informers;
use kube::Client;
use kube::client::ClientBuilder;
use kube::config::KubeConfigOptions;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::parts::Parts;
use crate::{credentials, host};

/// A client that measures its requests.
pub(crate) fn connect(config: kube::Config) -> kube::Result<Client> {
    Ok(ClientBuilder::try_from(config)?.with_layer(&requests::Measured).build())
}

/// What every component has.
pub(crate) struct Component {
    /// How the API server is reached.
    pub(crate) config: kube::Config,
    /// A client as the kubeconfig's user.
    pub(crate) client: Client,
    /// What the component follows, as the same user.
    pub(crate) informers: Informers,
    /// This machine's name.
    pub(crate) host: String,
    /// Ends the component.
    pub(crate) cancel: CancellationToken,
}

impl Component {
    /// Reads the kubeconfig. The server itself need not be there yet.
    ///
    /// # Errors
    /// What is wrong with the kubeconfig.
    pub(crate) async fn new(kubeconfig: &Path) -> anyhow::Result<Self> {
        rustls::crypto::ring::default_provider().install_default().ok();
        let wrong = || format!("the kubeconfig {} cannot be used", kubeconfig.display());
        let read = credentials::read(kubeconfig).with_context(wrong)?;
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(read, &options).await.with_context(wrong)?;
        let client = connect(config.clone()).with_context(wrong)?;
        let cancel = CancellationToken::new();
        let informers = Informers::new(client.clone(), cancel.clone());
        Ok(Self { config, client, informers, host: host::name()?, cancel })
    }

    /// Runs until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// The part that failed.
    pub(crate) async fn run(&self, name: &str, mut parts: Parts) -> anyhow::Result<()> {
        let told = host::told_to_end()?;
        tokio::spawn(host::memory::settle());
        info!(component = name, server = %self.config.cluster_url, "runs");
        let outcome = tokio::select! {
            () = told => Ok(()),
            failed = parts.failed() => Err(failed),
        };
        let ended = parts.end().await;
        outcome.and(ended)
    }
}
