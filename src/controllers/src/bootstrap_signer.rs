//! Signs `kube-public/cluster-info` with every bootstrap token that is for signing, so that whoever joins with one can
//! tell that the information is the cluster's (upstream `pkg/controller/bootstrap/bootstrapsigner`).

use std::{collections::BTreeMap, fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use client::{Change, Key, Queue, Requeue, answer};
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, api::PostParams};
use objects::bootstrap_token::{self, Expiry, key};
use sha2::Sha256;

use crate::{Context, Error, feed::feed, ignore_absent, token_cleaner::bootstrap_secrets};

const ACCOUNT: &str = "bootstrap-signer";
const NAMESPACE: &str = "kube-public";
const NAME: &str = "cluster-info";
const CONTENT: &str = "kubeconfig";
const SIGNATURE_PREFIX: &str = "jws-kubeconfig-";

/// The one thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct ClusterInfo;

impl fmt::Display for ClusterInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NAMESPACE}/{NAME}")
    }
}

/// Runs the controller until the context is cancelled.
pub(crate) async fn controller(cx: Context) -> Result<(), Error> {
    let secrets = cx.informers.selected::<Secret>(bootstrap_secrets());
    let maps = cx.informers.of::<ConfigMap>();
    let api = Api::<ConfigMap>::namespaced(cx.client(ACCOUNT), NAMESPACE);
    secrets.synced().await;
    maps.synced().await;

    let queue = Queue::<ClusterInfo>::named("bootstrap_signer_queue");
    feed(&secrets, &queue, |change| bootstrap_token::is_token(change.object()).then_some(ClusterInfo));
    feed(&maps, &queue, |change| match change {
        Change::Applied { new, .. } if Key::of(&**new) == Key::new(NAMESPACE, NAME) => Some(ClusterInfo),
        _ => None,
    });
    let sync = |_| {
        let map = maps.get_key(&Key::new(NAMESPACE, NAME));
        let changed = map.and_then(|map| plan(&map, &secrets.list(), Timestamp::now()));
        let api = api.clone();
        async move {
            let Some(map) = changed else { return Ok(Requeue::No) };
            match api.replace(NAME, &PostParams::default(), &map).await {
                Err(error) if answer::is_conflict(&error) => Ok(Requeue::No),
                outcome => ignore_absent(outcome).map(|()| Requeue::No),
            }
        }
    };
    client::work(queue, 1, sync, cx.cancel.clone()).await;
    Ok(())
}

/// The map with the signatures that it should have; `None` where it has them.
fn plan(map: &ConfigMap, secrets: &[Arc<Secret>], now: Timestamp) -> Option<ConfigMap> {
    let data = map.data.as_ref()?;
    let content = data.get(CONTENT)?;
    let mut wanted: BTreeMap<String, String> = data.clone();
    wanted.retain(|key, _| !key.starts_with(SIGNATURE_PREFIX));
    for secret in secrets.iter().filter(|secret| signs(secret, now)) {
        let id = bootstrap_token::value(secret, key::ID);
        let signature = signature(content, id, bootstrap_token::value(secret, key::SECRET));
        wanted.insert(format!("{SIGNATURE_PREFIX}{id}"), signature);
    }
    (wanted != *data).then(|| ConfigMap { data: Some(wanted), ..map.clone() })
}

/// Upstream `validateSecretForSigning`.
fn signs(secret: &Secret, now: Timestamp) -> bool {
    let value = |key: &str| bootstrap_token::value(secret, key);
    let name = secret.metadata.name.as_deref().unwrap_or_default();
    bootstrap_token::is_token(secret)
        && bootstrap_token::is_id(value(key::ID))
        && name.strip_prefix(bootstrap_token::SECRET_PREFIX) == Some(value(key::ID))
        && !value(key::SECRET).is_empty()
        && bootstrap_token::expiry(secret, now) != Expiry::Past
        && value(key::SIGNING) == "true"
}

/// A JWS (RFC 7515) by HS256 whose content is left out. The header's members are in Go's order.
fn signature(content: &str, id: &str, secret: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"HS256","kid":"{id}"}}"#));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key may have any length");
    mac.update(format!("{header}.{}", URL_SAFE_NO_PAD.encode(content)).as_bytes());
    format!("{header}..{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    /// Upstream's own example (`cluster-bootstrap/token/jws/jws_test.go`).
    #[test]
    fn a_signature_is_what_upstream_computes() {
        let content = "Hello from the other side. I must have called a thousand times.";
        let expected =
            "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..VShe2taLd-YTrmWuRkcL_8QTNDHYxQIEBsAYYiIj1_8";
        assert_eq!(signature(content, "joshua", "my voice is my passcode"), expected);
    }

    fn token(data: &[(&str, &str)]) -> Arc<Secret> {
        let data = data.iter().map(|(key, value)| ((*key).to_owned(), ByteString((*value).into())));
        let mut secret = Secret { type_: Some(bootstrap_token::SECRET_TYPE.into()), ..Secret::default() };
        secret.metadata.namespace = Some(bootstrap_token::NAMESPACE.into());
        secret.metadata.name = Some("bootstrap-token-abc123".into());
        secret.data = Some(data.collect());
        Arc::new(secret)
    }

    #[test]
    fn signatures_come_and_go_with_tokens() {
        let good = token(&[(key::ID, "abc123"), (key::SECRET, "s"), (key::SIGNING, "true")]);
        let silent = token(&[(key::ID, "abc123"), (key::SECRET, "s")]);
        let now = Timestamp::UNIX_EPOCH;
        let map = |keys: &[&str]| {
            let data = keys.iter().map(|key| ((*key).to_owned(), "x".to_owned())).collect();
            ConfigMap { data: Some(data), ..ConfigMap::default() }
        };
        let signed = plan(&map(&["kubeconfig"]), std::slice::from_ref(&good), now).unwrap();
        assert!(signed.data.as_ref().unwrap().contains_key("jws-kubeconfig-abc123"));
        assert_eq!(plan(&signed, std::slice::from_ref(&good), now), None);
        let unsigned = plan(&signed, &[silent], now).unwrap();
        assert_eq!(unsigned, map(&["kubeconfig"]));
        assert_eq!(plan(&map(&[]), &[good], now), None);
    }
}
