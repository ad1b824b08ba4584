//! `coxswain agent`: a node that joins a cluster with a token, and belongs to it from then on by certificates of its own.
//!
//! The order: what can be refused is refused before anything is made; then the server is looked for, for as long as it
//! takes; then the machine joins, or finds that it has joined before; then the node's parts start. Nothing here decides
//! what a node does (that is `node`'s), and nothing but the pinned authority is trusted.

mod authority;
mod certificate;
mod clock;
mod connection;
mod home;
mod join;
mod reach;
mod request;
mod rotation;
mod servers;
mod serving;
mod skew;
#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use client::Informers;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::config::{self, ThresholdOptions, VERSION};
use crate::datadir::DataDir;
use crate::host;
use crate::join_token::JoinToken;
use crate::node::{self, Node};
use crate::parts::Parts;
use crate::settings::{self, Settings};
use connection::{Connection, Endpoint};
use home::{Home, Member};
use rotation::Rotation;
use servers::Servers;
use serving::Serving;

/// The arguments of `coxswain agent`.
#[derive(Args, Debug)]
pub(crate) struct AgentOptions {
    /// The API of the cluster to join, such as `https://192.0.2.10:6443`; needed the first time
    #[arg(long)]
    server: Option<String>,
    /// What `coxswain token create` printed; needed the first time
    #[arg(long)]
    token: Option<String>,
    /// A file that holds the token, so that it shows in no list of processes
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
    /// Where the node keeps its state
    #[arg(long, default_value = config::DATA_DIR)]
    data_dir: PathBuf,
    /// The node's name [default: the host name]
    #[arg(long)]
    node_name: Option<String>,
    /// The address under which the server and other nodes reach this one [default: that of the default route]
    #[arg(long)]
    node_ip: Option<Ipv4Addr>,
    /// Registries to speak plain HTTP to (host or host:port; loopback needs no mention); may be repeated
    #[arg(long = "plain-http-registry")]
    plain_http_registries: Vec<String>,
    #[command(flatten)]
    thresholds: ThresholdOptions,
}

impl AgentOptions {
    fn endpoint(&self) -> anyhow::Result<Option<Endpoint>> {
        self.server
            .as_deref()
            .map(|text| text.parse().with_context(|| format!("--server {text}")))
            .transpose()
    }

    fn join_token(&self) -> anyhow::Result<Option<JoinToken>> {
        let Some(file) = &self.token_file else {
            return self.token.as_deref().map(|text| text.parse().context("--token")).transpose();
        };
        let named = || format!("--token-file {}", file.display());
        std::fs::read_to_string(file).with_context(named)?.parse().map(Some).with_context(named)
    }
}

/// Runs a node until SIGTERM or SIGINT; workloads go on when it ends.
///
/// # Errors
/// Why this machine cannot join, in one line; or the part that failed.
pub(crate) async fn run(options: AgentOptions) -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider().install_default().ok();
    let thresholds = options.thresholds.resolve()?;
    host::check_for_node()?;
    let address = match options.node_ip {
        Some(address) => address,
        None => host::address(Ipv4Addr::UNSPECIFIED.into())?,
    };
    let data = DataDir::hold(&options.data_dir)?;
    let home = Home::of(&data)?;
    let member = member(&options, &home).await?;
    let mut told = pin!(host::told_to_end()?);
    let mut parts = Parts::new(CancellationToken::new());
    let work = async {
        match start(options, &member, &home, &data, address, thresholds, &mut parts).await {
            Ok(()) => parts.failed().await,
            Err(error) => error,
        }
    };
    let outcome = tokio::select! {
        () = &mut told => Ok(()),
        failed = work => Err(failed),
    };
    let ended = parts.end().await;
    outcome.and(ended)
}

/// Starts the node's parts.
async fn start(
    options: AgentOptions,
    member: &Member,
    home: &Home,
    data: &DataDir,
    address: Ipv4Addr,
    thresholds: kubelet::Thresholds,
    parts: &mut Parts,
) -> anyhow::Result<()> {
    let connection = Connection::new(member.servers.clone(), member.client_tls()?);
    let client = Client::new(connection.service(), "default");
    check_version(&client).await?;
    let settings = settings(&client).await?;
    let serving = Serving::new();
    let node = Node {
        name: member.node_name.clone(),
        address,
        data,
        settings,
        plain_http_registries: options.plain_http_registries,
        thresholds,
        tls: serving.tls(&member.authority)?,
        client: client.clone(),
        informers: Informers::new(client.clone(), parts.cancel().clone()),
    };
    let servers = Servers::new(member, home, connection.clone(), node.informers.clone());
    node.start(parts).await?;
    parts.keep("servers", move |cancel| servers.clone().follow(cancel));
    keep_certificates(member, home, address, client, connection, serving, parts);
    tokio::spawn(host::memory::settle());
    info!(node = member.node_name, server = %member.servers[0], data = %data.path().display(), "joined");
    Ok(())
}

/// The node that this machine is: the one it was before, or one that joins now.
async fn member(options: &AgentOptions, home: &Home) -> anyhow::Result<Member> {
    let Some(member) = home.member()? else { return join::join(join::Wanted::of(options)?, home).await };
    if let Some(name) = options.node_name.as_ref().filter(|name| **name != member.node_name) {
        bail!(
            "this machine is node {} already: leave out --node-name {name}, or remove the node with `coxswain reset`",
            member.node_name
        );
    }
    // The server may have another address today; its authority is the same.
    let servers = options.endpoint()?.map_or_else(|| member.servers.clone(), |server| vec![server]);
    let member = Member { servers, ..member };
    reach::wait_for(&member.servers).await?;
    match member.certificate.expired(jiff::Timestamp::now()) {
        None => Ok(member),
        Some(end) if options.token.is_none() && options.token_file.is_none() => bail!(
            "this node's certificate expired on {end}: join anew with --token and what `coxswain token create` prints on the server"
        ),
        Some(_) => join::join(join::Wanted::again(options, &member)?, home).await,
    }
}

async fn check_version(client: &Client) -> anyhow::Result<()> {
    let version = client.apiserver_version().await.map_err(plainly);
    skew::check(VERSION, &version.context("cannot ask the server for its version")?.git_version)
}

/// An error of the client in one sentence: why there is no connection, or what the server says.
fn plainly(error: kube::Error) -> anyhow::Error {
    match connection::cause(&error) {
        Some(cause) => anyhow::Error::new(cause.clone()),
        None => anyhow::anyhow!(client::answer::message(&error)),
    }
}

async fn settings(client: &Client) -> anyhow::Result<Settings> {
    let maps = Api::<ConfigMap>::namespaced(client.clone(), settings::NAMESPACE);
    let map =
        maps.get(settings::NAME).await.map_err(plainly).context("cannot read the cluster's settings")?;
    Settings::read(&map)
}

/// Both certificates of the kubelet are renewed for as long as the agent runs.
fn keep_certificates(
    member: &Member,
    home: &Home,
    address: Ipv4Addr,
    client: Client,
    connection: Arc<Connection>,
    serving: Arc<Serving>,
    parts: &mut Parts,
) {
    let name = &member.node_name;
    let authority = member.authority.clone();
    let own = Rotation {
        client: client.clone(),
        wanted: request::Wanted::client(name),
        file: home.client_certificate(),
        install: Arc::new(move |certificate| {
            connection.replace(authority::client_tls(&authority, Some(certificate))?);
            Ok(())
        }),
    };
    let served = Rotation {
        client,
        wanted: request::Wanted::serving(name, address),
        file: home.serving_certificate(),
        install: Arc::new(move |certificate| serving.install(certificate)),
    };
    parts.keep("client certificate", move |cancel| own.clone().run(cancel));
    parts.keep("serving certificate", move |cancel| served.clone().run(cancel));
}

/// The name that a node gets unless told otherwise.
fn name_of(given: Option<&String>) -> anyhow::Result<String> {
    let name = match given {
        Some(name) => name.clone(),
        None => host::name()?.to_lowercase(),
    };
    config::named("--node-name", &name)?;
    Ok(name)
}

/// The user that a node's certificates name.
fn user(node: &str) -> String {
    node::user(node)
}
