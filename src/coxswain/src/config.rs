//! What `coxswain server` is told: flags win over the config file, which wins over the defaults.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use controllers::Selection;
use ipnet::Ipv4Net;
use jiff::SignedDuration;
use network::Backend;
use serde::Deserialize;

use crate::host;
use crate::settings::Settings;
use crate::store::{StoreOptions, StorePlace};

/// The Kubernetes version that the API serves, with our own version as build metadata.
pub(crate) const VERSION: &str = concat!("v1.36.3+coxswain", env!("CARGO_PKG_VERSION"));
/// Where a cluster keeps its state unless told otherwise.
pub(crate) const DATA_DIR: &str = "/var/lib/coxswain";

/// The arguments of `coxswain server`; the config file has the same names.
#[derive(Args, Deserialize, Default, Debug)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct ServerOptions {
    /// Where the cluster keeps its state [default: /var/lib/coxswain]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// The address to listen on; also the node's address when it is not 0.0.0.0 or loopback [default: 0.0.0.0]
    #[arg(long)]
    bind_address: Option<IpAddr>,
    /// The port of the API [default: 6443]
    #[arg(long)]
    port: Option<u16>,
    /// The node's name [default: the host name]
    #[arg(long)]
    node_name: Option<String>,
    /// Run the control plane only
    #[arg(long)]
    without_node: bool,
    /// The range that pods get their addresses from [default: 10.244.0.0/16]
    #[arg(long)]
    cluster_cidr: Option<Ipv4Net>,
    /// The range that services get their addresses from [default: 10.96.0.0/16]
    #[arg(long)]
    service_cidr: Option<Ipv4Net>,
    /// The cluster's DNS domain [default: cluster.local]
    #[arg(long)]
    cluster_domain: Option<String>,
    /// Registries to speak plain HTTP to (host or host:port; loopback needs no mention); may be repeated
    #[arg(long = "plain-http-registry")]
    #[serde(rename = "plain-http-registry")]
    plain_http_registries: Vec<String>,
    /// How pods of different nodes reach each other: routes (nodes in one network) or vxlan [default: routes]
    #[arg(long)]
    pod_network: Option<Backend>,
    /// More names and addresses under which the API is reached, for its certificate; may be repeated
    #[arg(long = "tls-san")]
    #[serde(rename = "tls-san")]
    tls_sans: Vec<String>,
    /// How long certificates are valid that nodes and users request [default: 8760h]
    #[arg(long)]
    cluster_signing_duration: Option<SignedDuration>,
    /// The controllers to run, separated by commas: `*` for all, `name`, or `*,-name` for all but one [default: *]
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true)]
    controllers: Option<Vec<String>>,
    /// So long a node may be silent before it counts as unreachable [default: 50s]
    #[arg(long)]
    node_monitor_grace_period: Option<SignedDuration>,
    /// In the config file: `store:` with `kind`, `endpoints`, `ca`, `cert`, `key`, `prefix` and `peer-port` below it
    #[command(flatten)]
    store: StoreOptions,
    /// A YAML file with the same names as these flags
    #[arg(long)]
    #[serde(skip)]
    config: Option<PathBuf>,
}

/// The resolved configuration of a server.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) bind: SocketAddr,
    pub(crate) node_name: String,
    pub(crate) with_node: bool,
    pub(crate) cluster_cidr: Ipv4Net,
    pub(crate) service_cidr: Ipv4Net,
    pub(crate) cluster_domain: String,
    pub(crate) plain_http_registries: Vec<String>,
    pub(crate) pod_network: Backend,
    pub(crate) tls_sans: Vec<String>,
    pub(crate) cluster_signing_duration: Duration,
    pub(crate) controllers: Selection,
    pub(crate) node_monitor_grace_period: Duration,
    pub(crate) store: StorePlace,
}

impl ServerOptions {
    /// Merges flags, file and defaults, and checks what can be checked without touching the machine.
    ///
    /// # Errors
    /// A config file that cannot be read or has unknown names; ranges that overlap or are too small; a node name that
    /// is no DNS subdomain.
    pub(crate) fn resolve(self) -> anyhow::Result<Config> {
        let file = match &self.config {
            Some(path) => read(path)?,
            None => Self::default(),
        };
        let node_name = match self.node_name.or(file.node_name) {
            Some(name) => name,
            None => host::name()?.to_lowercase(),
        };
        let mut plain_http_registries = self.plain_http_registries;
        plain_http_registries.extend(file.plain_http_registries);
        let mut tls_sans = self.tls_sans;
        tls_sans.extend(file.tls_sans);
        let config = Config {
            data_dir: self.data_dir.or(file.data_dir).unwrap_or_else(|| DATA_DIR.into()),
            bind: SocketAddr::new(
                self.bind_address.or(file.bind_address).unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
                self.port.or(file.port).unwrap_or(6443),
            ),
            node_name,
            with_node: !(self.without_node || file.without_node),
            cluster_cidr: self.cluster_cidr.or(file.cluster_cidr).unwrap_or_else(|| cidr("10.244.0.0/16")),
            service_cidr: self.service_cidr.or(file.service_cidr).unwrap_or_else(|| cidr("10.96.0.0/16")),
            cluster_domain: self
                .cluster_domain
                .or(file.cluster_domain)
                .unwrap_or_else(|| "cluster.local".to_owned()),
            plain_http_registries,
            pod_network: self.pod_network.or(file.pod_network).unwrap_or_default(),
            tls_sans,
            cluster_signing_duration: signing_duration(
                self.cluster_signing_duration.or(file.cluster_signing_duration),
            )?,
            controllers: match self.controllers.or(file.controllers) {
                Some(words) => Selection::new(words).context("--controllers")?,
                None => Selection::default(),
            },
            node_monitor_grace_period: grace_period(
                self.node_monitor_grace_period.or(file.node_monitor_grace_period),
            )?,
            store: self.store.or(file.store).resolve()?,
        };
        config.check()?;
        Ok(config)
    }
}

impl Config {
    fn check(&self) -> anyhow::Result<()> {
        let (pods, services) = (self.cluster_cidr, self.service_cidr);
        ensure!(
            !pods.contains(&services) && !services.contains(&pods),
            "--cluster-cidr {pods} and --service-cidr {services} overlap: choose ranges apart"
        );
        ensure!(
            pods.prefix_len() <= 24,
            "--cluster-cidr {pods} is too small: a node alone takes a /24 of it"
        );
        ensure!(
            services.prefix_len() <= 28,
            "--service-cidr {services} is too small: give it at least 16 addresses (/28)"
        );
        named("--node-name", &self.node_name)?;
        named("--cluster-domain", &self.cluster_domain)
    }

    /// What every node must know.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            cluster_cidr: self.cluster_cidr,
            service_cidr: self.service_cidr,
            cluster_domain: self.cluster_domain.clone(),
            cluster_dns: self.dns_ip(),
            pod_network: self.pod_network,
        }
    }

    /// The address of the service `default/kubernetes`: the first of the service range.
    pub(crate) fn kubernetes_ip(&self) -> Ipv4Addr {
        self.nth_service_ip(1)
    }

    /// The address of the cluster's DNS service: the tenth of the service range.
    pub(crate) fn dns_ip(&self) -> Ipv4Addr {
        self.nth_service_ip(10)
    }

    fn nth_service_ip(&self, n: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.service_cidr.network()) + n)
    }
}

/// Fails unless a name has the form of a DNS subdomain.
pub(crate) fn named(flag: &str, name: &str) -> anyhow::Result<()> {
    let complaints = machinery::names::dns1123_subdomain(name);
    ensure!(complaints.is_empty(), "{flag} {name:?}: {}", complaints.join("; "));
    Ok(())
}

fn read(path: &PathBuf) -> anyhow::Result<ServerOptions> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the config file {}", path.display()))?;
    serde_saphyr::from_str(&text).with_context(|| format!("the config file {} is wrong", path.display()))
}

/// Upstream's default is more than the time after which a dead connection is noticed.
fn grace_period(given: Option<SignedDuration>) -> anyhow::Result<Duration> {
    match given {
        None => Ok(Duration::from_secs(50)),
        Some(given) => given.try_into().context("--node-monitor-grace-period must not be negative"),
    }
}

/// A year unless told otherwise, as upstream.
fn signing_duration(given: Option<SignedDuration>) -> anyhow::Result<Duration> {
    let duration = given.unwrap_or(SignedDuration::from_hours(8760));
    ensure!(duration.is_positive(), "--cluster-signing-duration must be longer than nothing");
    duration.try_into().context("--cluster-signing-duration")
}

fn cidr(text: &str) -> Ipv4Net {
    text.parse().expect("the default range is well formed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(options: ServerOptions) -> Result<Config, String> {
        options.resolve().map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let file = std::env::temp_dir().join(format!("coxswain-config-{}.yaml", std::process::id()));
        std::fs::write(&file, "port: 7001\nnode-name: from-file\n").unwrap();
        let options = ServerOptions { config: Some(file.clone()), port: Some(7002), ..Default::default() };
        let config = resolve(options).unwrap();
        std::fs::remove_file(file).unwrap();
        assert_eq!((config.bind.port(), config.node_name.as_str()), (7002, "from-file"));
        assert_eq!(config.dns_ip().to_string(), "10.96.0.10");
    }

    #[test]
    fn overlapping_ranges_are_rejected() {
        let options = ServerOptions {
            node_name: Some("n".into()),
            cluster_cidr: Some(cidr("10.96.0.0/12")),
            ..Default::default()
        };
        assert!(resolve(options).unwrap_err().contains("overlap"));
    }
}
