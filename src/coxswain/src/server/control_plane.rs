//! The store, the API server over it, and the loops that work through it: controllers and scheduler.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ::store::Store;
use anyhow::Context;
use apiserver::{ApiServer, User, VersionInfo};
use client::{Informers, Terms};
use time::OffsetDateTime;
use tokio::net::TcpListener;

use super::addons::{self, Joining};
use super::endpoints::Reconciler;
use super::{Instance, Parts};
use crate::config::{LoopsConfig, VERSION};
use crate::leader_election::{self, CONTROLLER_MANAGER, Component, SCHEDULER};
use crate::pki::Identity;
use crate::snapshot::moving::{self, MoveOperation};
use crate::snapshot::operation::{self, SnapshotOperation};
use crate::snapshot::schedule;
use crate::{controller_manager, host, scheduler};

/// Under upstream's names, which its RBAC rules know.
pub(super) const CONTROLLERS_USER: &str = "system:kube-controller-manager";
pub(super) const SCHEDULER_USER: &str = "system:kube-scheduler";

/// The API server in this process, and what its neighbours share.
pub(super) struct ControlPlane {
    api: ApiServer,
    store: Store,
    /// One decoded copy of what the parts in this process watch.
    pub(super) informers: Informers,
}

impl ControlPlane {
    /// Starts the API server over the store and serves it.
    pub(super) async fn start(
        instance: &Instance,
        store: Store,
        listener: TcpListener,
        parts: &mut Parts,
    ) -> anyhow::Result<Self> {
        let api = ApiServer::new(api_config(instance, store.clone())?)
            .await
            .context("cannot start the API server")?;
        let tls = apiserver::server_config(serving_identity(instance)?)?;
        let (served, cancel) = (api.clone(), instance.cancel.clone());
        parts
            .vital(async move { served.serve(listener, tls, cancel).await.context("the API server failed") });
        // Upstream's controller manager keeps one set of informers under its own name, too.
        let watcher = client_as(&api, CONTROLLERS_USER, &[]);
        let informers = Informers::new(watcher, instance.cancel.clone());
        Ok(Self { api, store, informers })
    }

    /// Starts the controllers and the scheduler, each of which works while it holds its lease.
    pub(super) fn start_loops(
        &self,
        instance: &Instance,
        config: &LoopsConfig,
        parts: &mut Parts,
    ) -> anyhow::Result<()> {
        let host = &instance.config.host;
        let identity = leader_election::identity(&instance.data.join("candidate"), host)?;
        let election = |component: Component, user: &str| {
            let client = self.client(user);
            config.leader_elect.then(|| component.election(client, identity.clone(), host, Terms::default()))
        };
        let controllers = election(CONTROLLER_MANAGER, CONTROLLERS_USER);
        controller_manager::keep(parts, controllers, self.controllers(instance, config));
        let scheduler = ::scheduler::Config {
            client: self.client(SCHEDULER_USER),
            informers: self.informers.clone(),
            host: host.clone(),
            cancel: instance.cancel.clone(),
        };
        scheduler::keep(parts, election(SCHEDULER, SCHEDULER_USER), scheduler);
        Ok(())
    }

    fn controllers(&self, instance: &Instance, config: &LoopsConfig) -> controllers::Context {
        let api = self.api.clone();
        controllers::Context {
            informers: self.informers.clone(),
            client_for: Arc::new(move |controller| as_controller(&api, controller)),
            cluster_cidr: Some(instance.config.cluster_cidr.into()),
            root_ca: instance.pki.authority.clone(),
            signer: Some(controllers::Signer {
                certificate: instance.pki.authority.clone(),
                key: instance.pki.authority_key(),
                duration: config.cluster_signing_duration,
            }),
            node_monitor_grace_period: config.node_monitor_grace_period,
            host: instance.config.host.clone(),
            selection: config.controllers.clone(),
            cancel: instance.cancel.clone(),
        }
    }

    /// Writes what the cluster ships with.
    pub(super) async fn write_addons(&self, instance: &Instance) -> anyhow::Result<()> {
        let client = self.client_in_group("system:coxswain:addons", "system:masters");
        let server = format!("https://{}", instance.advertised());
        let joining = Joining { server, authority: instance.pki.authority.clone() };
        addons::write(&client, &instance.config.settings(), &joining).await
    }

    /// Starts what takes snapshots by itself, where that is asked for.
    pub(super) fn take_snapshots(&self, instance: &Instance, parts: &mut Parts) {
        let Some(schedule) = instance.config.snapshots.clone() else { return };
        let store = self.store.clone();
        parts.keep("scheduled snapshots", move |cancel| {
            schedule::run(schedule.clone(), store.clone(), cancel)
        });
    }

    /// Keeps this server among the endpoints of `default/kubernetes`, and those that have gone out of them.
    pub(super) fn keep_endpoints(&self, instance: &Instance, parts: &mut Parts) {
        let reconciler = Reconciler {
            client: self.client_in_group("system:apiserver", "system:masters"),
            address: instance.advertised(),
            host: instance.config.host.clone(),
            seen: Arc::default(),
        };
        parts.keep("endpoints of the API", move |cancel| reconciler.clone().run(cancel));
    }

    /// A client of this API server under a user's name.
    pub(super) fn client(&self, user: &str) -> kube::Client {
        client_as(&self.api, user, &[])
    }

    /// A client under a user's name in one more group.
    pub(super) fn client_in_group(&self, user: &str, group: &str) -> kube::Client {
        client_as(&self.api, user, &[group])
    }

    /// Returns when the cluster's state has gone where this server does not have it.
    pub(super) async fn departed(&self) -> ::store::Departure {
        self.store.departed().await
    }

    /// Returns when this server's store cannot follow the others' any longer.
    pub(super) async fn fallen(&self) -> ::store::Fall {
        self.store.fallen().await
    }

    /// Ends the store after everything that writes has ended.
    pub(super) async fn close(self) {
        self.store.shutdown().await;
    }
}

fn api_config(instance: &Instance, store: Store) -> anyhow::Result<apiserver::Config> {
    let issuer = format!("https://kubernetes.default.svc.{}", instance.config.cluster_domain);
    let pki = instance.pki.clone();
    let kubelet_client = Identity::new(OffsetDateTime::now_utc, move |now| {
        pki.client("kube-apiserver-kubelet-client", Some("system:masters"), now)
    })?;
    let snapshots: Arc<dyn apiserver::Operation> = Arc::new(SnapshotOperation(store.clone()));
    let moves: Arc<dyn apiserver::Operation> = Arc::new(MoveOperation {
        store: store.clone(),
        data: instance.data.path().to_owned(),
        host: instance.config.host.clone(),
        place: instance.config.store.clone(),
        restart: instance.restart.clone(),
        open: moving::open,
        turn: Arc::default(),
    });
    let operations = [(operation::PATH, snapshots), (moving::PATH, moves)].into();
    Ok(apiserver::Config {
        store,
        advertise: instance.advertised(),
        is_one_of_several: instance.config.store.is_shared(),
        service_cidr: instance.config.service_cidr.into(),
        service_account: apiserver::ServiceAccountKeys {
            signing_key: instance.pki.service_account_key.clone().into_bytes(),
            audiences: vec![issuer.clone()],
            issuer,
        },
        client_ca: instance.pki.authority.clone().into_bytes(),
        kubelet_client: apiserver::KubeletClient {
            identity: kubelet_client,
            ca: instance.pki.authority.clone().into_bytes(),
        },
        version: version(),
        event_ttl: apiserver::EVENT_TTL,
        encryption: instance.encryption.clone(),
        operations,
    })
}

fn serving_identity(instance: &Instance) -> anyhow::Result<Arc<Identity>> {
    let domain = &instance.config.cluster_domain;
    let names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
        .into_iter()
        .map(str::to_owned)
        .chain([format!("kubernetes.default.svc.{domain}"), instance.config.host.clone()])
        .chain(host::name().ok())
        // What a machine is called need not be a name that a certificate can bear.
        .filter(|name| name.is_ascii())
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
    let (pki, names) = (instance.pki.clone(), Vec::from_iter(names));
    Identity::new(OffsetDateTime::now_utc, move |now| pki.server("kube-apiserver", &names, &addresses, now))
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
