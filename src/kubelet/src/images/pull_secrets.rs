//! Credentials for a registry, from the pod's pull secrets (upstream: pkg/credentialprovider).

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use cri::v1::AuthConfig;
use k8s_openapi::api::core::v1::Secret;
use serde::Deserialize;

use super::name::split_domain;

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    username: String,
    password: String,
    auth: String,
}

/// The credentials that apply to `image`, those for the longest match first.
pub(crate) fn credentials(secrets: &[Arc<Secret>], image: &str) -> Vec<AuthConfig> {
    let target = target(image);
    let mut found: Vec<(String, AuthConfig)> = secrets
        .iter()
        .flat_map(|secret| entries(secret))
        .filter(|(key, _)| matches(key, &target))
        .filter_map(|(key, entry)| Some((key, auth(entry)?)))
        .collect();
    found.sort_by_key(|(key, _)| std::cmp::Reverse(key.len()));
    found.into_iter().map(|(_, auth)| auth).collect()
}

/// The entries of a secret by registry, whose scheme and trailing parts are cut off.
fn entries(secret: &Secret) -> BTreeMap<String, Entry> {
    let data =
        |key: &str| secret.data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.as_slice());
    let parsed = match secret.type_.as_deref() {
        Some("kubernetes.io/dockerconfigjson") => data(".dockerconfigjson")
            .and_then(|bytes| serde_json::from_slice::<Config>(bytes).ok())
            .map(|config| config.auths),
        Some("kubernetes.io/dockercfg") => {
            data(".dockercfg").and_then(|bytes| serde_json::from_slice(bytes).ok())
        }
        _ => None,
    };
    parsed.unwrap_or_default().into_iter().map(|(key, entry)| (registry_key(&key), entry)).collect()
}

fn registry_key(key: &str) -> String {
    let key = key.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let key = key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key);
    match key {
        "docker.io" | "registry-1.docker.io" => "index.docker.io".into(),
        key => key.into(),
    }
}

/// Registry and repository of an image.
fn target(image: &str) -> String {
    match split_domain(image) {
        (None | Some("docker.io" | "index.docker.io"), repository) => format!("index.docker.io/{repository}"),
        (Some(_), _) => image.to_owned(),
    }
}

/// Whether a key, whose host may have `*` in its parts and which may go on with a path, is for `target`.
fn matches(key: &str, target: &str) -> bool {
    let split = |name: &str| match name.split_once('/') {
        Some((host, path)) => (host.to_owned(), path.to_owned()),
        None => (name.to_owned(), String::new()),
    };
    let ((key_host, key_path), (host, path)) = (split(key), split(target));
    let port = |host: &str| host.split_once(':').map(|(_, port)| port.to_owned());
    let parts = |host: &str| -> Vec<String> {
        host.split(':').next().unwrap_or_default().split('.').map(str::to_owned).collect()
    };
    let (key_parts, target_parts) = (parts(&key_host), parts(&host));
    key_parts.len() == target_parts.len()
        && port(&key_host) == port(&host)
        && key_parts.iter().zip(&target_parts).all(|(pattern, part)| glob(pattern, part))
        && path.starts_with(&key_path)
}

fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, end)) => {
            text.len() >= start.len() + end.len() && text.starts_with(start) && text.ends_with(end)
        }
    }
}

fn auth(entry: Entry) -> Option<AuthConfig> {
    if !entry.username.is_empty() {
        return Some(AuthConfig {
            username: entry.username,
            password: entry.password,
            ..AuthConfig::default()
        });
    }
    let decoded = BASE64_STANDARD.decode(entry.auth.trim()).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (username, password) = decoded.split_once(':')?;
    Some(AuthConfig { username: username.into(), password: password.into(), ..AuthConfig::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(registry: &str, image: &str, expected: bool) {
        let config = json!({"auths": {registry: {"auth": BASE64_STANDARD.encode("user:pass")}}}).to_string();
        let data = json!({".dockerconfigjson": BASE64_STANDARD.encode(config)});
        let secret = json!({"type": "kubernetes.io/dockerconfigjson", "data": data});
        let found = credentials(&[Arc::new(serde_json::from_value(secret).unwrap())], image);
        assert_eq!(
            found.iter().any(|auth| auth.username == "user" && auth.password == "pass"),
            expected,
            "{registry} {image}"
        );
    }

    #[test]
    fn credentials_apply_to_their_registry_only() {
        check("https://index.docker.io/v1/", "busybox:latest", true);
        check("docker.io", "docker.io/library/busybox", true);
        check("registry.example.com", "registry.example.com/a:1", true);
        check("registry.example.com", "other.example.com/a:1", false);
        check("*.example.com", "registry.example.com/a:1", true);
        check("127.0.0.1:5000", "127.0.0.1:5000/a", true);
        check("127.0.0.1:5000", "127.0.0.1:5001/a", false);
        check("r.example.com/team", "r.example.com/team/a", true);
        check("r.example.com/team", "r.example.com/other/a", false);
    }
}
