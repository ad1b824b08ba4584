//! `coxswain controller-manager`: the controllers alone, at whichever API server their kubeconfig names; flags as
//! kube-controller-manager's.

mod accounts;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use clap::Args;
use client::Election;
use controllers::{ClientFor, Selection, Signer};
use ipnet::IpNet;
use jiff::SignedDuration;
use serde_json::json;

use crate::component::Component;
use crate::component::serving::{self, Pages, ServingOptions};
use crate::config;
use crate::leader_election::{self, CONTROLLER_MANAGER, LeaderElectionOptions};
use crate::parts::Parts;

use accounts::Accounts;

/// The arguments of `coxswain controller-manager`.
#[derive(Args, Debug)]
pub(crate) struct ControllerManagerOptions {
    /// How the API server is reached, and as whom; upstream's user is system:kube-controller-manager
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,
    /// The controllers to run, separated by commas: `*` for all, `name`, or `*,-name` for all but one
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true, default_value = "*")]
    controllers: Vec<String>,
    /// Let each controller act as its own service account of kube-system, with that account's rights only
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    use_service_account_credentials: bool,
    /// Give each node its part of --cluster-cidr
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    allocate_node_cidrs: bool,
    /// The range that pods get their addresses from
    #[arg(long)]
    cluster_cidr: Option<IpNet>,
    /// The authority that pods verify the API server by; a PEM file [default: the kubeconfig's]
    #[arg(long, value_name = "FILE")]
    root_ca_file: Option<PathBuf>,
    /// The authority that signs certificates which nodes and users request; a PEM file. Without it none are signed
    #[arg(long, value_name = "FILE", requires = "cluster_signing_key_file")]
    cluster_signing_cert_file: Option<PathBuf>,
    /// Its key; a PEM file
    #[arg(long, value_name = "FILE", requires = "cluster_signing_cert_file")]
    cluster_signing_key_file: Option<PathBuf>,
    /// How long such certificates are valid [default: 8760h]
    #[arg(long)]
    cluster_signing_duration: Option<SignedDuration>,
    /// So long a node may be silent before it counts as unreachable [default: 50s]
    #[arg(long)]
    node_monitor_grace_period: Option<SignedDuration>,
    #[command(flatten)]
    leader_election: LeaderElectionOptions,
    #[command(flatten)]
    serving: ServingOptions,
}

/// Upstream's.
const PORT: u16 = 10257;

/// Runs the controllers until SIGTERM or SIGINT.
///
/// # Errors
/// What is wrong with the arguments.
pub(crate) async fn run(options: ControllerManagerOptions) -> anyhow::Result<()> {
    let component = Component::new(&options.kubeconfig).await?;
    let election =
        options.leader_election.election(&CONTROLLER_MANAGER, component.client.clone(), &component.host)?;
    let mut parts = Parts::new(component.cancel.clone());
    options.serving.start(PORT, options.pages(election.as_ref(), &component), &component, &mut parts).await?;
    keep(&mut parts, election, options.context(&component)?);
    component.run("controller-manager", parts).await
}

/// Keeps the controllers running wherever this process leads.
pub(crate) fn keep(parts: &mut Parts, election: Option<Election>, context: controllers::Context) {
    parts.lead("controllers", election, move |cancel| {
        controllers::run(controllers::Context { cancel, ..context.clone() })
    });
}

impl ControllerManagerOptions {
    fn pages(&self, election: Option<&Election>, component: &Component) -> Pages {
        let elected = || election.map(leader_election::check);
        let config = json!({
            "apiVersion": "kubecontrollermanager.config.k8s.io/v1alpha1",
            "kind": "KubeControllerManagerConfiguration",
            "Generic": {
                "ClientConnection": {"kubeconfig": self.kubeconfig},
                "LeaderElection": self.leader_election.shown(&CONTROLLER_MANAGER),
                "Controllers": self.controllers,
                "Port": self.serving.port(PORT),
                "Address": self.serving.bind_address.to_string(),
            },
        });
        Pages {
            health: elected().into_iter().collect(),
            ready: elected().into_iter().chain([serving::shutdown(component.cancel.clone())]).collect(),
            config: ("kubecontrollermanager.config.k8s.io", config),
        }
    }

    fn context(&self, component: &Component) -> anyhow::Result<controllers::Context> {
        Ok(controllers::Context {
            informers: component.informers.clone(),
            client_for: self.clients(component)?,
            cluster_cidr: self.node_ranges()?,
            root_ca: self.root_ca(&component.config)?,
            signer: self.signer()?,
            node_monitor_grace_period: config::grace_period(self.node_monitor_grace_period)?,
            host: component.host.clone(),
            selection: Selection::new(self.controllers.clone()).context("--controllers")?,
            cancel: component.cancel.clone(),
        })
    }

    /// The client of each controller.
    fn clients(&self, component: &Component) -> anyhow::Result<ClientFor> {
        if !self.use_service_account_credentials {
            let client = component.client.clone();
            return Ok(Arc::new(move |_| client.clone()));
        }
        let accounts = Accounts::new(&component.config, component.client.clone())?;
        Ok(Arc::new(move |account| accounts.client(account)))
    }

    fn node_ranges(&self) -> anyhow::Result<Option<IpNet>> {
        ensure!(
            !self.allocate_node_cidrs || self.cluster_cidr.is_some(),
            "--allocate-node-cidrs needs --cluster-cidr: the range to give parts of"
        );
        Ok(self.cluster_cidr.filter(|_| self.allocate_node_cidrs))
    }

    fn root_ca(&self, config: &kube::Config) -> anyhow::Result<String> {
        match (&self.root_ca_file, &config.root_cert) {
            (Some(file), _) => read(file),
            (None, Some(certificates)) => Ok(pem(certificates)),
            (None, None) => {
                bail!(
                    "the kubeconfig names no authority that pods could verify the API server by: give --root-ca-file"
                )
            }
        }
    }

    fn signer(&self) -> anyhow::Result<Option<Signer>> {
        let (Some(certificate), Some(key)) =
            (&self.cluster_signing_cert_file, &self.cluster_signing_key_file)
        else {
            return Ok(None);
        };
        let duration = config::signing_duration(self.cluster_signing_duration)?;
        Ok(Some(Signer { certificate: read(certificate)?, key: read(key)?, duration }))
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// Certificates (DER) as a file has them.
fn pem(certificates: &[Vec<u8>]) -> String {
    certificates.iter().map(|der| pem::encode(&pem::Pem::new("CERTIFICATE", der.clone()))).collect()
}
