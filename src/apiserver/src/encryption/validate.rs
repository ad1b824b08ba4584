//! Whether an EncryptionConfiguration makes sense; upstream's `apiserver/validation/validation_encryption.go`.

use std::collections::BTreeSet;
use std::time::Duration;

use machinery::field::{Error, Path};

use super::config::{Config, Key, Keys, Kms, Provider, secret};
use super::parse;

const AES_SIZES: &[usize] = &[16, 24, 32];
const SECRETBOX_SIZES: &[usize] = &[32];

/// All that is wrong. With `reload`, configurations follow each other while the server runs.
pub(super) fn validate(config: &Config, reload: bool) -> Vec<Error> {
    let root = Path::new("resources");
    if config.resources.is_empty() {
        return vec![at_least_one(&root, root.as_str())];
    }
    let mut errors = Vec::new();
    let mut plugins = BTreeSet::new();
    for (index, rule) in config.resources.iter().enumerate() {
        let (resources, providers) =
            (root.index(index).child("resources"), root.index(index).child("providers"));
        if rule.resources.is_empty() {
            errors.push(at_least_one(&resources, resources.as_str()));
        }
        errors.extend(overlap(&rule.resources, &resources));
        errors.extend(rule.resources.iter().enumerate().filter_map(|(at, name)| {
            misnamed(name).map(|why| Error::invalid(&resources.index(at), name, why))
        }));
        if rule.providers.is_empty() {
            errors.push(at_least_one(&providers, providers.as_str()));
        }
        for (at, provider) in rule.providers.iter().enumerate() {
            errors.extend(validate_provider(provider, &providers.index(at), &mut plugins, reload));
        }
    }
    errors
}

fn at_least_one(path: &Path, what: &str) -> Error {
    Error::required(path, format!("at least one {what} is required"))
}

fn overlap(resources: &[String], path: &Path) -> Vec<Error> {
    let named: Vec<_> = resources.iter().map(|name| parse(name)).collect();
    let (mut duplicate, mut overlap) = (false, false);
    for (at, (resource, group)) in named.iter().enumerate() {
        for (other_at, (other, other_group)) in named.iter().enumerate() {
            if at == other_at {
                continue;
            }
            if (resource, group) == (other, other_group) {
                duplicate = true;
            } else {
                let any = (*resource, *group) == ("*", "*");
                overlap |= any || (group == other_group && (*resource == "*" || *other == "*"));
            }
        }
    }
    let mut errors = Vec::new();
    if duplicate {
        errors.push(Error::invalid(path, resources, "the same resource cannot be specified multiple times"));
    }
    if overlap {
        let why = "using overlapping resources such as 'secrets' and '*.' in the same resource list is not \
                   allowed as they will be masked";
        errors.push(Error::invalid(path, resources, why));
    }
    errors
}

/// Why a name cannot stand among the resources.
fn misnamed(name: &str) -> Option<&'static str> {
    let (resource, group) = parse(name);
    if name.to_lowercase() != name {
        return Some("resource name should not contain capital letters");
    }
    match (name, resource, group) {
        ("*", ..) => {
            Some("use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources")
        }
        ("apiserveripinfo" | "serviceipallocations" | "servicenodeportallocations", ..) => {
            Some("resources which do not have REST API/s cannot be encrypted")
        }
        (_, _, "events.k8s.io") => Some(
            "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead \
             in the config file",
        ),
        (_, _, "extensions") => Some("'extensions' group has been removed and cannot be used for encryption"),
        (_, resource, "*") if resource != "*" => {
            Some("encrypting the same resource across groups is not supported")
        }
        _ => None,
    }
}

fn validate_provider<'a>(
    provider: &'a Provider,
    path: &Path,
    plugins: &mut BTreeSet<&'a str>,
    reload: bool,
) -> Vec<Error> {
    let Provider { aesgcm, aescbc, secretbox, identity, kms } = provider;
    let set = [aesgcm.is_some(), aescbc.is_some(), secretbox.is_some(), identity.is_some(), kms.is_some()];
    let mut errors = Vec::new();
    match set.into_iter().filter(|is_set| *is_set).count() {
        0 => errors.push(Error::invalid(
            path,
            "{}",
            "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity",
        )),
        1 => {}
        _ => errors.push(Error::invalid(
            path,
            "REDACTED",
            "more than one provider specified in a single element, should split into different list elements",
        )),
    }
    let keys =
        |keys: &Keys, name: &str, sizes| validate_keys(&keys.keys, &path.child(name).child("keys"), sizes);
    if let Some(kms) = kms {
        errors.extend(validate_kms(kms, &path.child("kms"), plugins, reload));
        plugins.insert(&kms.name);
    } else if let Some(own) = aesgcm {
        errors.extend(keys(own, "aesgcm", AES_SIZES));
    } else if let Some(own) = aescbc {
        errors.extend(keys(own, "aescbc", AES_SIZES));
    } else if let Some(own) = secretbox {
        errors.extend(keys(own, "secretbox", SECRETBOX_SIZES));
    }
    errors
}

fn validate_keys(keys: &[Key], path: &Path, sizes: &[usize]) -> Vec<Error> {
    if keys.is_empty() {
        return vec![at_least_one(path, "keys")];
    }
    let keys = keys.iter().enumerate();
    keys.flat_map(|(at, key)| validate_key(key, &path.index(at), sizes)).collect()
}

fn validate_key(key: &Key, path: &Path, sizes: &[usize]) -> Vec<Error> {
    let (mut errors, at) = (Vec::new(), path.child("secret"));
    if key.name.is_empty() {
        errors.push(mandatory(&path.child("name"), "name", "key"));
    }
    if key.secret.is_empty() {
        errors.push(mandatory(&at, "secret", "key"));
        return errors;
    }
    match secret(key) {
        Err(_) => errors.push(Error::invalid(&at, "REDACTED", "secrets must be base64 encoded")),
        Ok(secret) if !sizes.contains(&secret.len()) => {
            let sizes = sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            let size = secret.len();
            let why = format!("secret is not of the expected length, got {size}, expected one of [{sizes}]");
            errors.push(Error::invalid(&at, "REDACTED", why));
        }
        Ok(_) => {}
    }
    errors
}

fn mandatory(path: &Path, field: &str, of: &str) -> Error {
    Error::required(path, format!("{field} is a mandatory field for a {of}"))
}

fn validate_kms(kms: &Kms, path: &Path, plugins: &BTreeSet<&str>, reload: bool) -> Vec<Error> {
    let (mut errors, is_v1) = (Vec::new(), kms.api_version == "v1");
    let (name, endpoint) = (path.child("name"), path.child("endpoint"));
    if kms.name.is_empty() {
        errors.push(mandatory(&name, "name", "provider"));
    }
    if !is_v1 && kms.name.contains(':') {
        let why = format!("invalid KMS provider name {}, must not contain ':'", kms.name);
        errors.push(Error::invalid(&name, &kms.name, why));
    }
    if (reload || !is_v1) && plugins.contains(kms.name.as_str()) {
        let why = format!("duplicate KMS provider name {}, names must be unique", kms.name);
        errors.push(Error::invalid(&name, &kms.name, why));
    }
    if timeout(kms).is_none() {
        errors.push(Error::invalid(
            &path.child("timeout"),
            &kms.timeout,
            "timeout should be a positive value",
        ));
    }
    if kms.endpoint.is_empty() {
        errors.push(Error::invalid(&endpoint, "", "endpoint is a mandatory field for a kms"));
    } else if !kms.endpoint.starts_with("unix:") {
        let scheme = kms.endpoint.split_once(':').map_or("", |(scheme, _)| scheme);
        let why = format!("unsupported scheme {scheme:?} for KMS provider, only unix is supported");
        errors.push(Error::invalid(&endpoint, &kms.endpoint, why));
    }
    match kms.cache_size {
        Some(size) if !is_v1 => {
            errors.push(Error::invalid(&path.child("cachesize"), size, "cachesize is not supported in v2"));
        }
        Some(0) => errors.push(Error::invalid(
            &path.child("cachesize"),
            0,
            "cachesize should be a positive value, or negative to disable",
        )),
        _ => {}
    }
    if !["v1", "v2"].contains(&kms.api_version.as_str()) {
        let why = "unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported";
        errors.push(Error::invalid(&path.child("apiVersion"), &kms.api_version, why));
    }
    errors
}

/// How long a call to the plugin may take; `None` where that is no positive duration.
pub(super) fn timeout(kms: &Kms) -> Option<Duration> {
    let timeout = kms.timeout.parse::<jiff::SignedDuration>().ok()?;
    Duration::try_from(timeout).ok().filter(|timeout| !timeout.is_zero())
}
