//! What `coxswain server` is told: flags win over the config file, which wins over the defaults.

mod apiserver;
mod encryption;
mod thresholds;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use controllers::Selection;
use ipnet::Ipv4Net;
use jiff::SignedDuration;
use kubelet::Thresholds;
use network::Backend;
use serde::Deserialize;

use crate::settings::Settings;
use crate::snapshot::schedule::Schedule;
use crate::store::StorePlace;

pub(crate) use apiserver::ApiserverOptions;
use encryption::EncryptionPlace;
pub(crate) use thresholds::ThresholdOptions;

/// The Kubernetes version that the API serves, with our own version as build metadata.
pub(crate) const VERSION: &str = concat!("v1.36.3+coxswain", env!("CARGO_PKG_VERSION"));
/// Where a cluster keeps its state unless told otherwise.
pub(crate) const DATA_DIR: &str = "/var/lib/coxswain";

/// The arguments of `coxswain server`; the config file has the same names.
#[derive(Args, Deserialize, Default, Debug)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct ServerOptions {
    #[command(flatten)]
    #[serde(flatten)]
    apiserver: ApiserverOptions,
    /// The node's name [default: the host name]
    #[arg(long, overrides_with = "node_name")]
    node_name: Option<String>,
    /// Run the control plane only
    #[arg(long)]
    without_node: bool,
    /// Registries to speak plain HTTP to (host or host:port; loopback needs no mention); may be repeated
    #[arg(long = "plain-http-registry")]
    #[serde(rename = "plain-http-registry")]
    plain_http_registries: Vec<String>,
    #[command(flatten)]
    #[serde(flatten)]
    thresholds: ThresholdOptions,
    /// Run controllers and scheduler only while holding their leases, so that several servers share the work [default: true]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    leader_elect: Option<bool>,
    /// How long certificates are valid that nodes and users request [default: 8760h]
    #[arg(long)]
    cluster_signing_duration: Option<SignedDuration>,
    /// The controllers to run, separated by commas: `*` for all, `name`, or `*,-name` for all but one [default: *]
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true)]
    controllers: Option<Vec<String>>,
    /// So long a node may be silent before it counts as unreachable [default: 50s]
    #[arg(long)]
    node_monitor_grace_period: Option<SignedDuration>,
}

/// The resolved configuration of a server.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) bind: SocketAddr,
    /// This machine's name: the node's where one runs here.
    pub(crate) host: String,
    pub(crate) cluster_cidr: Ipv4Net,
    pub(crate) service_cidr: Ipv4Net,
    pub(crate) cluster_domain: String,
    pub(crate) pod_network: Backend,
    pub(crate) tls_sans: Vec<String>,
    pub(crate) store: StorePlace,
    pub(crate) encryption: EncryptionPlace,
    /// Snapshots that the server takes by itself.
    pub(crate) snapshots: Option<Schedule>,
    /// Controllers and scheduler, where they run in this process.
    pub(crate) loops: Option<LoopsConfig>,
    /// The node, where one runs in this process.
    pub(crate) node: Option<NodeConfig>,
}

/// What controllers and scheduler are told.
#[derive(Debug, Clone)]
pub(crate) struct LoopsConfig {
    /// Whether they work only while elected.
    pub(crate) leader_elect: bool,
    pub(crate) controllers: Selection,
    pub(crate) cluster_signing_duration: Duration,
    pub(crate) node_monitor_grace_period: Duration,
}

/// What the node in this process is told; its name is the host's.
#[derive(Debug, Clone)]
pub(crate) struct NodeConfig {
    pub(crate) plain_http_registries: Vec<String>,
    pub(crate) thresholds: Thresholds,
}

impl ServerOptions {
    /// Merges flags, file and defaults, and checks what can be checked without touching the machine.
    ///
    /// # Errors
    /// A config file that cannot be read or has unknown names; ranges that overlap or are too small; a node name that
    /// is no DNS subdomain.
    pub(crate) fn resolve(self) -> anyhow::Result<Config> {
        let file: Self = self.apiserver.file()?;
        let loops = LoopsConfig {
            leader_elect: self.leader_elect.or(file.leader_elect).unwrap_or(true),
            controllers: match self.controllers.or(file.controllers) {
                Some(words) => Selection::new(words).context("--controllers")?,
                None => Selection::default(),
            },
            cluster_signing_duration: signing_duration(
                self.cluster_signing_duration.or(file.cluster_signing_duration),
            )?,
            node_monitor_grace_period: grace_period(
                self.node_monitor_grace_period.or(file.node_monitor_grace_period),
            )?,
        };
        let plain_http_registries =
            self.plain_http_registries.into_iter().chain(file.plain_http_registries).collect();
        let thresholds = self.thresholds.or(file.thresholds).resolve()?;
        let with_node = !(self.without_node || file.without_node);
        let base = self.apiserver.over(file.apiserver)?;
        let config = Config {
            host: self.node_name.or(file.node_name).unwrap_or(base.host),
            loops: Some(loops),
            node: with_node.then_some(NodeConfig { plain_http_registries, thresholds }),
            ..base
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
        // A machine that is no node may be called as it likes.
        if self.node.is_some() {
            named("--node-name", &self.host)?;
        }
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

/// Upstream's default is more than the time after which a dead connection is noticed.
pub(crate) fn grace_period(given: Option<SignedDuration>) -> anyhow::Result<Duration> {
    match given {
        None => Ok(Duration::from_secs(50)),
        Some(given) => given.try_into().context("--node-monitor-grace-period must not be negative"),
    }
}

/// A year unless told otherwise, as upstream.
pub(crate) fn signing_duration(given: Option<SignedDuration>) -> anyhow::Result<Duration> {
    let duration = given.unwrap_or(SignedDuration::from_hours(8760));
    ensure!(duration.is_positive(), "--cluster-signing-duration must be longer than nothing");
    duration.try_into().context("--cluster-signing-duration")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Server {
        #[command(flatten)]
        options: ServerOptions,
    }

    #[derive(clap::Parser)]
    struct Apiserver {
        #[command(flatten)]
        options: ApiserverOptions,
    }

    fn resolve(line: &str) -> Result<Config, String> {
        let server = <Server as clap::Parser>::try_parse_from(line.split(' ')).unwrap();
        server.options.resolve().map_err(|error| format!("{error:#}"))
    }

    /// A config file with this text, for as long as `test` runs.
    fn with_file<T>(name: &str, text: &str, test: impl FnOnce(&str) -> T) -> T {
        let file = std::env::temp_dir().join(format!("coxswain-{name}-{}.yaml", std::process::id()));
        std::fs::write(&file, text).unwrap();
        let outcome = test(file.to_str().unwrap());
        std::fs::remove_file(file).unwrap();
        outcome
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let text =
            "port: 7001\nnode-name: from-file\nleader-elect: false\nstore: {kind: embedded}\ntls-san: [a]\n";
        let config =
            with_file("config", text, |file| resolve(&format!("x --config {file} --port 7002"))).unwrap();
        assert_eq!((config.bind.port(), config.host.as_str()), (7002, "from-file"));
        assert_eq!(config.dns_ip().to_string(), "10.96.0.10");
        assert_eq!((config.loops.unwrap().leader_elect, config.tls_sans), (false, vec!["a".to_owned()]));
    }

    #[test]
    fn a_name_that_the_file_should_not_have_is_refused() {
        let error =
            with_file("unknown", "prot: 7001\n", |file| resolve(&format!("x --config {file}"))).unwrap_err();
        assert!(error.contains("is wrong") && error.contains("prot"), "{error}");
        let apiserver = |file: &str| {
            let line = ["x", "--config", file];
            <Apiserver as clap::Parser>::try_parse_from(line).unwrap().options.resolve().unwrap_err()
        };
        let error = with_file("apiserver", "without-node: true\n", |file| format!("{:#}", apiserver(file)));
        assert!(error.contains("without-node"), "{error}");
    }

    #[test]
    fn an_api_server_alone_runs_nothing_else_and_knows_upstreams_names_of_flags() {
        let line = "x --secure-port 7443 --service-cluster-ip-range 10.0.0.0/24".split(' ');
        let config = <Apiserver as clap::Parser>::try_parse_from(line).unwrap().options.resolve().unwrap();
        assert_eq!((config.bind.port(), config.kubernetes_ip()), (7443, Ipv4Addr::new(10, 0, 0, 1)));
        assert!(config.loops.is_none() && config.node.is_none());
        assert!(resolve("x --without-node").unwrap().node.is_none());
    }

    #[test]
    fn thresholds_come_from_flags_and_the_file_as_upstream_writes_them() {
        let thresholds = |line: &str| resolve(line).map(|config| config.node.unwrap().thresholds);
        assert_eq!(thresholds("x"), Ok(Thresholds::default()));
        let text = "eviction-hard: {memory.available: 1Gi}\nimage-gc-high-threshold: 90\n";
        let both = with_file("thresholds", text, |file| {
            let flags = "--eviction-hard memory.available<2Gi --eviction-hard memory.available<1Gi";
            (
                thresholds(&format!("x --config {file}")),
                thresholds(&format!("x --image-gc-high-threshold=90 {flags}")),
            )
        });
        assert_eq!(both.0, both.1);
        assert_eq!(both.0.unwrap().eviction_hard, "memory.available<1Gi".parse().unwrap());
        assert!(resolve("x --image-gc-low-threshold 85").unwrap_err().contains("must be less than"));
        let error = with_file("unknown-signal", "eviction-hard: {disk: 1Gi}\n", |file| {
            resolve(&format!("x --config {file}"))
        });
        assert!(error.unwrap_err().contains("unsupported eviction signal disk"));
    }

    #[test]
    fn overlapping_ranges_are_rejected() {
        assert!(resolve("x --node-name n --cluster-cidr 10.96.0.0/12").unwrap_err().contains("overlap"));
    }
}
