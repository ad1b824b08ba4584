//! `coxswain token`: tokens for nodes to join with, made, listed and deleted through the API with the server's own
//! kubeconfig.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use objects::bootstrap_token::{self, Expiry, key};
use rand::Rng;
use serde_json::json;

use crate::credentials;
use crate::join_token::{JoinToken, Pin};
use crate::output::say;

/// The group of nodes that join; kubeadm's name for it.
pub(crate) const GROUP: &str = "system:bootstrappers:kubeadm:default-node-token";
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
/// How long the API may take to answer a person.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a new token is to be.
pub(crate) struct New {
    /// How long it is good; zero for ever.
    pub(crate) ttl: SignedDuration,
    pub(crate) description: String,
    pub(crate) print_join_command: bool,
}

/// Makes a token and prints it, alone or in the command that uses it.
///
/// # Errors
/// The API cannot be reached or refuses the token.
pub(crate) async fn create(data_dir: &Path, new: New) -> anyhow::Result<()> {
    ensure!(!new.ttl.is_negative(), "--ttl must not be negative: 0 makes a token that never expires");
    let (client, kubeconfig) = connect(data_dir).await?;
    let token = JoinToken { id: random(6), secret: random(16), pin: pin(&kubeconfig)? };
    let secret = secret(&token, &new, Timestamp::now())?;
    let api = Api::<Secret>::namespaced(client.clone(), bootstrap_token::NAMESPACE);
    api.create(&PostParams::default(), &secret).await.context("cannot make the token")?;
    if new.print_join_command {
        let server = server(&client).await?;
        say(format_args!("coxswain agent --server {server} --token {token}"))
    } else {
        say(format_args!("{token}"))
    }
}

/// Prints the tokens, without their secrets.
///
/// # Errors
/// The API cannot be reached.
pub(crate) async fn list(data_dir: &Path) -> anyhow::Result<()> {
    let (client, _) = connect(data_dir).await?;
    let api = Api::<Secret>::namespaced(client, bootstrap_token::NAMESPACE);
    let selector = format!("type={}", bootstrap_token::SECRET_TYPE);
    let tokens =
        api.list(&ListParams::default().fields(&selector)).await.context("cannot list the tokens")?;
    let now = Timestamp::now();
    say(format_args!("{:<8} {:<10} {:<22} DESCRIPTION", "ID", "TTL", "EXPIRES"))?;
    for secret in &tokens {
        let (ttl, expires) = match bootstrap_token::expiry(secret, now) {
            Expiry::Never => ("forever".to_owned(), "never".to_owned()),
            Expiry::At(end) => (machinery::table::human((end - now).get_seconds()), end.to_string()),
            Expiry::Past => ("expired".to_owned(), String::new()),
        };
        let value = |key: &str| bootstrap_token::value(secret, key);
        say(format_args!("{:<8} {ttl:<10} {expires:<22} {}", value(key::ID), value(key::DESCRIPTION)))?;
    }
    Ok(())
}

/// Deletes a token; nodes that have joined with it stay.
///
/// # Errors
/// There is no such token, or the API cannot be reached.
pub(crate) async fn delete(data_dir: &Path, id: &str) -> anyhow::Result<()> {
    let id = id.split('.').next().unwrap_or_default();
    ensure!(bootstrap_token::is_id(id), "{id:?} is no token's id: `coxswain token list` shows them");
    let (client, _) = connect(data_dir).await?;
    let api = Api::<Secret>::namespaced(client, bootstrap_token::NAMESPACE);
    let name = format!("{}{id}", bootstrap_token::SECRET_PREFIX);
    match api.delete(&name, &DeleteParams::default()).await {
        Err(error) if client::answer::is_not_found(&error) => {
            bail!("there is no token {id}: `coxswain token list` shows those that are there")
        }
        outcome => outcome.context("cannot delete the token")?,
    };
    say(format_args!("deleted token {id}"))
}

/// A client by the kubeconfig in the data directory.
pub(crate) async fn connect(data_dir: &Path) -> anyhow::Result<(Client, Kubeconfig)> {
    let path: PathBuf = data_dir.join("kubeconfig");
    let kubeconfig = credentials::read(&path).with_context(|| {
        format!(
            "cannot read {}: run this where `coxswain server` runs, as its user, or give its --data-dir",
            path.display()
        )
    })?;
    let mut config =
        kube::Config::from_custom_kubeconfig(kubeconfig.clone(), &KubeConfigOptions::default()).await?;
    config.connect_timeout = Some(PATIENCE);
    config.read_timeout = Some(PATIENCE);
    let client = Client::try_from(config)?;
    client.apiserver_version().await.context("the API does not answer: is `coxswain server` running?")?;
    Ok((client, kubeconfig))
}

fn pin(kubeconfig: &Kubeconfig) -> anyhow::Result<Pin> {
    let cluster = kubeconfig.clusters.first().and_then(|cluster| cluster.cluster.as_ref());
    let authority = cluster.and_then(|cluster| cluster.certificate_authority_data.as_deref());
    let authority = authority.context("the kubeconfig names no authority")?;
    Pin::of(&BASE64.decode(authority).context("the kubeconfig's authority cannot be read")?)
}

/// The API's URL as other machines reach it.
async fn server(client: &Client) -> anyhow::Result<String> {
    let maps = Api::<ConfigMap>::namespaced(client.clone(), "kube-public");
    let info = maps.get("cluster-info").await.context("cannot read kube-public/cluster-info")?;
    let text = info.data.unwrap_or_default().remove("kubeconfig").unwrap_or_default();
    let kubeconfig = Kubeconfig::from_yaml(&text).context("kube-public/cluster-info cannot be read")?;
    let cluster = kubeconfig.clusters.into_iter().next().and_then(|cluster| cluster.cluster);
    cluster.and_then(|cluster| cluster.server).context("kube-public/cluster-info names no server")
}

fn secret(token: &JoinToken, new: &New, now: Timestamp) -> anyhow::Result<Secret> {
    let mut data = json!({
        key::ID: token.id,
        key::SECRET: token.secret,
        key::DESCRIPTION: new.description,
        key::AUTHENTICATION: "true",
        key::SIGNING: "true",
        key::EXTRA_GROUPS: GROUP,
    });
    if !new.ttl.is_zero() {
        let end = now.checked_add(new.ttl).context("--ttl is too long")?;
        data[key::EXPIRATION] = json!(Timestamp::from_second(end.as_second())?.to_string());
    }
    Ok(serde_json::from_value(json!({
        "metadata": {"name": format!("{}{}", bootstrap_token::SECRET_PREFIX, token.id)},
        "type": bootstrap_token::SECRET_TYPE,
        "stringData": data,
    }))?)
}

/// Lower-case letters and digits, each as likely as the others.
fn random(length: usize) -> String {
    let mut source = rand::rng();
    (0..length).map(|_| char::from(LETTERS[source.random_range(..LETTERS.len())])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_authenticates_signs_and_ends() {
        let certificate = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap().cert.pem();
        let pin = Pin::of(certificate.as_bytes()).unwrap();
        let token = JoinToken { id: random(6), secret: random(16), pin };
        assert!(bootstrap_token::split(&token.bearer()).is_some());
        let new = |ttl: &str| New {
            ttl: ttl.parse().unwrap(),
            description: String::new(),
            print_join_command: false,
        };
        let data = |ttl: &str| secret(&token, &new(ttl), Timestamp::UNIX_EPOCH).unwrap().string_data.unwrap();
        assert_eq!(data("24h")[key::EXPIRATION], "1970-01-02T00:00:00Z");
        assert_eq!(data("0s").get(key::EXPIRATION), None);
        assert_eq!(data("24h")[key::AUTHENTICATION], "true");
    }
}
