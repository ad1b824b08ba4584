//! The store, the API server over it, and the loops that work through it: controllers and scheduler.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use apiserver::{ApiServer, User, VersionInfo};
use client::Informers;
use tokio::net::TcpListener;

use super::addons::{self, Joining};
use super::{Instance, Parts, dns_endpoints};
use crate::config::VERSION;
use crate::host;

/// The API server in this process, and what its neighbours share.
pub(super) struct ControlPlane {
    api: ApiServer,
    store: store::Store,
    /// One decoded copy of what the parts in this process watch.
    pub(super) informers: Informers,
}

impl ControlPlane {
    /// Opens the store, starts the API server and serves it.
    pub(super) async fn start(
        instance: &Instance,
        listener: TcpListener,
        parts: &mut Parts,
    ) -> anyhow::Result<Self> {
        let store = open_store(instance).await?;
        let api = ApiServer::new(api_config(instance, store.clone())?)
            .await
            .context("cannot start the API server")?;
        let serving = serving_certificate(instance)?;
        let tls = apiserver::server_config(serving.certificate.as_bytes(), serving.key.as_bytes())?;
        let (served, cancel) = (api.clone(), instance.cancel.clone());
        parts
            .vital(async move { served.serve(listener, tls, cancel).await.context("the API server failed") });
        // Upstream's controller manager keeps one set of informers under its own name, too.
        let watcher = client_as(&api, "system:kube-controller-manager", &[]);
        let informers = Informers::new(watcher, instance.cancel.clone());
        Ok(Self { api, store, informers })
    }

    /// Starts the controllers and the scheduler.
    pub(super) fn start_loops(&self, instance: &Instance, parts: &mut Parts) {
        let api = self.api.clone();
        let context = controllers::Context {
            informers: self.informers.clone(),
            client_for: Arc::new(move |controller| as_controller(&api, controller)),
            cluster_cidr: instance.config.cluster_cidr.into(),
            service_cidr: instance.config.service_cidr.into(),
            root_ca: instance.pki.authority.clone(),
            signer: Some(controllers::Signer {
                certificate: instance.pki.authority.clone(),
                key: instance.pki.authority_key(),
                duration: instance.config.cluster_signing_duration,
            }),
            node_monitor_grace_period: instance.config.node_monitor_grace_period,
            host: instance.config.node_name.clone(),
            selection: instance.config.controllers.clone(),
            cancel: instance.cancel.clone(),
        };
        parts.keep("controllers", move |cancel| {
            let context = controllers::Context { cancel, ..context.clone() };
            async move {
                controllers::run(context).await;
                Ok::<_, Infallible>(())
            }
        });
        let scheduler = scheduler::Config {
            client: self.client("system:kube-scheduler"),
            informers: self.informers.clone(),
            host: instance.config.node_name.clone(),
            cancel: instance.cancel.clone(),
        };
        parts.keep("scheduler", move |cancel| {
            let config = scheduler::Config { cancel, ..scheduler.clone() };
            async move {
                scheduler::run(config).await;
                Ok::<_, Infallible>(())
            }
        });
    }

    /// Writes what the cluster ships with, and starts what keeps the DNS service's endpoints.
    pub(super) async fn write_addons(&self, instance: &Instance, parts: &mut Parts) -> anyhow::Result<()> {
        let client = self.client_in_group("system:coxswain:addons", "system:masters");
        let advertised = SocketAddr::new(instance.address.into(), instance.config.bind.port());
        let joining =
            Joining { server: format!("https://{advertised}"), authority: instance.pki.authority.clone() };
        addons::write(&client, &instance.config.settings(), &joining).await?;
        let informers = self.informers.clone();
        parts.keep("dns endpoints", move |cancel| {
            dns_endpoints::run(client.clone(), informers.clone(), cancel)
        });
        Ok(())
    }

    /// A client of this API server under a user's name.
    pub(super) fn client(&self, user: &str) -> kube::Client {
        client_as(&self.api, user, &[])
    }

    /// A client under a user's name in one more group.
    pub(super) fn client_in_group(&self, user: &str, group: &str) -> kube::Client {
        client_as(&self.api, user, &[group])
    }

    /// Ends the store after everything that writes has ended.
    pub(super) async fn close(self) {
        self.store.shutdown().await;
    }
}

async fn open_store(instance: &Instance) -> anyhow::Result<store::Store> {
    instance.config.store.open(&instance.data, instance.address.into(), apiserver::store_options()).await
}

fn api_config(instance: &Instance, store: store::Store) -> anyhow::Result<apiserver::Config> {
    let issuer = format!("https://kubernetes.default.svc.{}", instance.config.cluster_domain);
    let kubelet_client = instance.pki.client("kube-apiserver-kubelet-client", "system:masters")?;
    Ok(apiserver::Config {
        store,
        advertise: SocketAddr::new(instance.address.into(), instance.config.bind.port()),
        service_cidr: instance.config.service_cidr.into(),
        service_account: apiserver::ServiceAccountKeys {
            signing_key: instance.pki.service_account_key.clone().into_bytes(),
            audiences: vec![issuer.clone()],
            issuer,
        },
        client_ca: instance.pki.authority.clone().into_bytes(),
        kubelet_client: apiserver::KubeletClient {
            certificate: kubelet_client.certificate.into_bytes(),
            key: kubelet_client.key.into_bytes(),
            ca: instance.pki.authority.clone().into_bytes(),
        },
        version: version(),
        event_ttl: apiserver::EVENT_TTL,
    })
}

fn serving_certificate(instance: &Instance) -> anyhow::Result<crate::pki::Leaf> {
    let domain = &instance.config.cluster_domain;
    let names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
        .into_iter()
        .map(str::to_owned)
        .chain([format!("kubernetes.default.svc.{domain}"), instance.config.node_name.clone()])
        .chain(host::name().ok())
        .chain(instance.config.tls_sans.iter().cloned())
        .collect::<BTreeSet<_>>();
    let fixed = [Ipv4Addr::LOCALHOST, instance.config.kubernetes_ip(), instance.address];
    let addresses: BTreeSet<IpAddr> = fixed
        .into_iter()
        .chain(host::addresses())
        .map(IpAddr::from)
        .chain([instance.config.bind.ip()])
        .collect();
    let addresses: Vec<IpAddr> = addresses.into_iter().filter(|address| !address.is_unspecified()).collect();
    instance.pki.server("kube-apiserver", &Vec::from_iter(names), &addresses)
}

/// Controllers act as service accounts of `kube-system`, so that RBAC says what each may do, as upstream.
fn as_controller(api: &ApiServer, controller: &str) -> kube::Client {
    kube::Client::new(api.in_process(User::service_account("kube-system", controller)), "default")
}

fn client_as(api: &ApiServer, user: &str, groups: &[&str]) -> kube::Client {
    kube::Client::new(api.in_process(User::new(user, groups)), "default")
}

/// What `/version` answers: the Kubernetes version that the API is, and how it was built.
fn version() -> VersionInfo {
    VersionInfo {
        major: "1".to_owned(),
        minor: "36".to_owned(),
        git_version: VERSION.to_owned(),
        platform: format!("{}/{}", std::env::consts::OS, go_architecture()),
        compiler: "rustc".to_owned(),
        ..VersionInfo::default()
    }
}

/// Clients know architectures by Go's names.
fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
