//! Joining: from a token to a node with a certificate. Each step can refuse, and says what is wrong and what to do; until
//! the last one has succeeded nothing is kept and the cluster has no node.

use anyhow::{Context, bail, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};

use super::certificate::Certificate;
use super::connection::{Connection, Endpoint};
use super::home::{Home, Member};
use super::{AgentOptions, authority, check_version, name_of, plainly, reach, request};
use crate::join_token::{JoinToken, Pin};

/// Who wants to join what.
pub(super) struct Wanted {
    server: Endpoint,
    token: JoinToken,
    node_name: String,
    /// Whether the machine was this node before: then a node of its name is no stranger's.
    again: bool,
}

impl Wanted {
    /// A machine that has not joined.
    pub(super) fn of(options: &AgentOptions) -> anyhow::Result<Self> {
        let server = options.endpoint()?.context(
            "this machine has not joined a cluster: give --server https://<address>:6443 and --token; \
             `coxswain token create --print-join-command` on the server prints both",
        )?;
        Ok(Self {
            server,
            token: token(options)?,
            node_name: name_of(options.node_name.as_ref())?,
            again: false,
        })
    }

    /// A node whose certificate is of no use any more.
    pub(super) fn again(options: &AgentOptions, member: &Member) -> anyhow::Result<Self> {
        let (server, node_name) = (member.servers[0].clone(), member.node_name.clone());
        Ok(Self { server, token: token(options)?, node_name, again: true })
    }
}

fn token(options: &AgentOptions) -> anyhow::Result<JoinToken> {
    options
        .join_token()?
        .context("to join, give --token or --token-file: `coxswain token create` on the server prints one")
}

/// Joins and keeps what came of it.
///
/// # Errors
/// The first step that refused.
pub(super) async fn join(wanted: Wanted, home: &Home) -> anyhow::Result<Member> {
    let Wanted { server, token, node_name, again } = wanted;
    let authority = reach::wait_for(std::slice::from_ref(&server)).await?;
    check_pin(&server, &authority, &token.pin)?;
    let tls = authority::client_tls(&authority, None)?;
    let connection = Connection::with_token(server.clone(), tls, &token.bearer())?;
    let client = Client::new(connection.service(), "default");
    check_name(&client, &node_name, &token, again).await?;
    check_version(&client).await?;
    let certificate = certificate(&client, &node_name).await?;
    let member = Member { servers: vec![server], node_name, authority, certificate };
    home.keep(&member)?;
    Ok(member)
}

/// The authority that the server claims must be the token's: from here on it is trusted, and nobody else.
fn check_pin(server: &Endpoint, authority: &str, pin: &Pin) -> anyhow::Result<()> {
    let found = Pin::of(authority.as_bytes())?;
    ensure!(
        found == *pin,
        "{server} is not of the cluster that the token is for: its authority has the hash {found}, the token says {pin}. \
         Is the address right? If so, make a new token there with `coxswain token create`"
    );
    Ok(())
}

/// Asks for the node of this name, which tells two things: whether the token holds, and whether the name is free.
async fn check_name(client: &Client, name: &str, token: &JoinToken, again: bool) -> anyhow::Result<()> {
    match Api::<Node>::all(client.clone()).get_opt(name).await {
        Ok(Some(node)) if !again && objects::node::is_ready(&node) => bail!(
            "a node named {name} is in the cluster already, and Ready: give this one another name with --node-name, or, \
             if that node is gone, remove it first with `kubectl delete node {name}`"
        ),
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 401 => bail!(
            "the server does not accept the token {}: it is wrong, or it has expired or been deleted. Make another there \
             with `coxswain token create`",
            token.id
        ),
        Err(kube::Error::Api(status)) if status.code == 403 => bail!(
            "the token {} may not be used to join: make another on the server with `coxswain token create`",
            token.id
        ),
        Err(error) => Err(plainly(error).context("cannot look for a node of this name")),
    }
}

async fn certificate(client: &Client, node_name: &str) -> anyhow::Result<Certificate> {
    request::request(client, &request::Wanted::client(node_name))
        .await
        .context("cannot get a certificate for this node")
}
