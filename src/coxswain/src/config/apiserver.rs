//! What an API server is told, alone or within `coxswain server`: where it listens, what the cluster is like, where the
//! state is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use ipnet::Ipv4Net;
use network::Backend;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::encryption::EncryptionPlace;
use super::{Config, DATA_DIR};
use crate::host;
use crate::snapshot::schedule::ScheduleOptions;
use crate::store::StoreOptions;

/// The arguments of `coxswain apiserver`, which `coxswain server` has, too; the config file has the same names.
#[derive(Args, Deserialize, Default, Debug)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct ApiserverOptions {
    /// Where the cluster keeps its state [default: /var/lib/coxswain]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// The address to listen on; also the node's address when it is not 0.0.0.0 or loopback [default: 0.0.0.0]
    #[arg(long)]
    bind_address: Option<IpAddr>,
    /// The port of the API [default: 6443]
    #[arg(long, visible_alias = "secure-port")]
    port: Option<u16>,
    /// The range that pods get their addresses from [default: 10.244.0.0/16]
    #[arg(long)]
    cluster_cidr: Option<Ipv4Net>,
    /// The range that services get their addresses from [default: 10.96.0.0/16]
    #[arg(long, visible_alias = "service-cluster-ip-range")]
    service_cidr: Option<Ipv4Net>,
    /// The cluster's DNS domain [default: cluster.local]
    #[arg(long)]
    cluster_domain: Option<String>,
    /// How pods of different nodes reach each other: routes (nodes in one network) or vxlan [default: routes]
    #[arg(long)]
    pod_network: Option<Backend>,
    /// More names and addresses under which the API is reached, for its certificate; may be repeated
    #[arg(long = "tls-san")]
    #[serde(rename = "tls-san")]
    tls_sans: Vec<String>,
    /// In the config file: `store:` with `kind`, `endpoints`, `ca`, `cert`, `key`, `prefix` and `peer-port` below it
    #[command(flatten)]
    store: StoreOptions,
    /// A file (an EncryptionConfiguration) that says what is encrypted in the store, and how [default: nothing is]
    #[arg(long, value_name = "FILE")]
    encryption_provider_config: Option<PathBuf>,
    /// Take over changes of that file while running
    #[arg(long)]
    encryption_provider_config_automatic_reload: bool,
    /// In the config file: `snapshots:` with `to`, `every`, `keep` and `passphrase-file` below it
    #[command(flatten)]
    snapshots: ScheduleOptions,
    /// A YAML file with the same names as these flags
    #[arg(long)]
    #[serde(skip)]
    config: Option<PathBuf>,
}

/// As in a config file of `coxswain apiserver`, where nothing else may stand.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct File {
    #[serde(flatten)]
    options: ApiserverOptions,
}

impl ApiserverOptions {
    /// The configuration of an API server alone.
    ///
    /// # Errors
    /// As [`super::ServerOptions::resolve`].
    pub(crate) fn resolve(self) -> anyhow::Result<Config> {
        let file: File = self.file()?;
        let config = self.over(file.options)?;
        config.check()?;
        Ok(config)
    }

    /// What the config file says, where one is given.
    pub(super) fn file<T: DeserializeOwned + Default>(&self) -> anyhow::Result<T> {
        let Some(path) = &self.config else { return Ok(T::default()) };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the config file {}", path.display()))?;
        serde_saphyr::from_str(&text).with_context(|| format!("the config file {} is wrong", path.display()))
    }

    /// These flags, the file where they say nothing, and defaults.
    pub(super) fn over(self, file: Self) -> anyhow::Result<Config> {
        let bind = self.bind_address.or(file.bind_address).unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let range = |given: Option<Ipv4Net>, default: &str| given.unwrap_or_else(|| cidr(default));
        Ok(Config {
            data_dir: self.data_dir.or(file.data_dir).unwrap_or_else(|| DATA_DIR.into()),
            bind: SocketAddr::new(bind, self.port.or(file.port).unwrap_or(6443)),
            host: host::name()?.to_lowercase(),
            cluster_cidr: range(self.cluster_cidr.or(file.cluster_cidr), "10.244.0.0/16"),
            service_cidr: range(self.service_cidr.or(file.service_cidr), "10.96.0.0/16"),
            cluster_domain: self
                .cluster_domain
                .or(file.cluster_domain)
                .unwrap_or_else(|| "cluster.local".to_owned()),
            pod_network: self.pod_network.or(file.pod_network).unwrap_or_default(),
            tls_sans: self.tls_sans.into_iter().chain(file.tls_sans).collect(),
            store: self.store.or(file.store).resolve()?,
            encryption: EncryptionPlace::new(
                self.encryption_provider_config.or(file.encryption_provider_config),
                self.encryption_provider_config_automatic_reload
                    || file.encryption_provider_config_automatic_reload,
            )?,
            snapshots: self.snapshots.or(file.snapshots).resolve()?,
            loops: None,
            node: None,
        })
    }
}

fn cidr(text: &str) -> Ipv4Net {
    text.parse().expect("the default range is well formed")
}
