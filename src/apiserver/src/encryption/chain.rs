//! The providers of a resource, in the order in which they are tried.
//!
//! Each stored form begins with the prefix of its provider and the name of its key, which is how a reader finds both. Errors
//! are upstream's (`value.prefixTransformers`): those of all providers that were tried, or that there was none to try.

use std::sync::Arc;

use bytes::Bytes;
use rand::TryRngCore;
use store::{Opened, Sealed};

use super::cipher::{Cbc, Cipher, Gcm, SecretBox};
use super::config::{Key, Provider, Resources, secret};
use super::fingerprint;
use super::kms::Plugin;

/// Begins whatever is encrypted.
pub(super) const ENCRYPTED: &[u8] = b"k8s:enc:";
/// What reading such a thing without a provider comes to.
pub(super) const UNEXPECTED: &str = "identity transformer tried to read encrypted data";

/// What stands for the prefix of a provider without one where providers are told apart.
const IDENTITY: &str = "identity";
const CBC: &str = "k8s:enc:aescbc:v1:";
const GCM: &str = "k8s:enc:aesgcm:v1:";
const SECRETBOX: &str = "k8s:enc:secretbox:v1:";
const KMS: &str = "k8s:enc:kms:v2:";

/// The providers of a resource.
#[derive(Clone, Default)]
pub(super) struct Chain(Vec<Link>);

/// One provider.
#[derive(Clone)]
enum Link {
    /// Objects as they are.
    Identity,
    Keys {
        prefix: &'static str,
        keys: Arc<[Named]>,
        /// What is said where no key has the name that is stored.
        no_key: &'static str,
    },
    Kms {
        prefix: Arc<str>,
        plugin: Arc<Plugin>,
    },
}

/// A key of the configuration.
struct Named {
    /// Its name as it stands behind the provider's prefix, with a colon.
    name: String,
    /// The prefix, the name, and which secret it is: two keys may have the same name.
    by: Arc<str>,
    cipher: Box<dyn Cipher>,
}

impl Chain {
    /// The providers as configured, and the plugins among them.
    pub(super) async fn of(resources: &Resources) -> Result<(Self, Vec<Arc<Plugin>>), String> {
        let (mut links, mut plugins) = (Vec::new(), Vec::new());
        for provider in &resources.providers {
            links.push(match provider {
                Provider { aesgcm: Some(aes), .. } => keys(GCM, &aes.keys, |key| Gcm::new(key).map(boxed))?,
                Provider { aescbc: Some(aes), .. } => keys(CBC, &aes.keys, |key| Cbc::new(key).map(boxed))?,
                Provider { secretbox: Some(own), .. } => {
                    keys(SECRETBOX, &own.keys, |key| SecretBox::new(key).map(boxed))?
                }
                Provider { kms: Some(kms), .. } => {
                    let plugin = Plugin::connect(kms).await?;
                    plugins.push(plugin.clone());
                    Link::Kms { prefix: format!("{KMS}{}:", kms.name).into(), plugin }
                }
                _ => Link::Identity,
            });
        }
        Ok((Self(links), plugins))
    }

    /// These, and another's behind them.
    pub(super) fn with(&self, other: &Self) -> Self {
        Self(self.0.iter().chain(&other.0).cloned().collect())
    }

    /// What the first provider would seal with now.
    pub(super) fn writer(&self) -> Option<Arc<str>> {
        match self.0.first()? {
            Link::Identity => None,
            Link::Keys { keys, .. } => keys.first().map(|key| key.by.clone()),
            Link::Kms { plugin, .. } => Some(plugin.current()),
        }
    }

    /// Whether it is this plugin that would seal.
    pub(super) fn writes_by(&self, plugin: &Arc<Plugin>) -> bool {
        matches!(self.0.first(), Some(Link::Kms { plugin: own, .. }) if Arc::ptr_eq(own, plugin))
    }

    /// Whether a provider has what is named; `None` stands for objects as they are.
    pub(super) fn has(&self, by: Option<&str>) -> bool {
        self.0.iter().any(|link| match (link, by) {
            (Link::Identity, by) => by.is_none(),
            (Link::Keys { keys, .. }, Some(by)) => keys.iter().any(|key| &*key.by == by),
            (Link::Kms { prefix, .. }, Some(by)) => by.starts_with(&**prefix),
            (_, None) => false,
        })
    }

    /// The prefix of the provider that seals.
    pub(super) fn writes(&self) -> &str {
        self.0.first().map_or(IDENTITY, Link::prefix)
    }

    /// The prefix of the first provider whose form this is.
    pub(super) fn reads(&self, stored: &[u8]) -> &str {
        let is_of = |link: &&Link| match link {
            Link::Identity => !stored.starts_with(ENCRYPTED),
            link => stored.starts_with(link.prefix().as_bytes()),
        };
        self.0.iter().find(is_of).map_or("unknown", Link::prefix)
    }

    pub(super) fn seal(&self, place: &[u8], object: &[u8]) -> Result<Option<Sealed>, String> {
        let (prefix, name, sealed, by) = match self.0.first() {
            None | Some(Link::Identity) => return Ok(None),
            Some(Link::Keys { prefix, keys, no_key }) => {
                let key = keys.first().ok_or(*no_key)?;
                let mut random = [0; 24];
                rand::rngs::OsRng.try_fill_bytes(&mut random).map_err(|error| error.to_string())?;
                (*prefix, key.name.as_str(), key.cipher.seal(place, object, &random)?, key.by.clone())
            }
            Some(Link::Kms { prefix, plugin }) => {
                let (sealed, by) = plugin.seal(place, object)?;
                (&**prefix, "", sealed, by)
            }
        };
        Ok(Some(Sealed { bytes: [prefix.as_bytes(), name.as_bytes(), &sealed].concat().into(), by }))
    }

    pub(super) fn open(&self, place: &[u8], stored: Bytes) -> Result<Opened, String> {
        let mut errors = Vec::new();
        for link in &self.0 {
            match link.open(place, &stored) {
                None => {}
                Some(Ok(opened)) => return Ok(opened),
                Some(Err(error)) => errors.push(error),
            }
        }
        Err(if errors.is_empty() { "no matching prefix found".to_owned() } else { reduced(errors) })
    }
}

impl Link {
    fn prefix(&self) -> &str {
        match self {
            Self::Identity => IDENTITY,
            Self::Keys { prefix, .. } => prefix,
            Self::Kms { prefix, .. } => prefix,
        }
    }

    /// `None` where the stored form is none of this provider's.
    fn open(&self, place: &[u8], stored: &Bytes) -> Option<Result<Opened, String>> {
        match self {
            Self::Identity if stored.starts_with(ENCRYPTED) => None,
            Self::Identity => Some(Ok(Opened { object: stored.clone(), by: None })),
            Self::Keys { prefix, keys, no_key } => {
                let rest = stored.strip_prefix(prefix.as_bytes())?;
                Some(open_by_key(keys, place, rest, no_key))
            }
            Self::Kms { prefix, plugin } => {
                let rest = stored.strip_prefix(prefix.as_bytes())?;
                let opened = plugin.open(place, rest);
                Some(opened.map(|(object, by)| Opened { object: object.into(), by: Some(by) }))
            }
        }
    }
}

fn open_by_key(keys: &[Named], place: &[u8], rest: &[u8], no_key: &str) -> Result<Opened, String> {
    let mut errors = Vec::new();
    for key in keys {
        let Some(sealed) = rest.strip_prefix(key.name.as_bytes()) else { continue };
        match key.cipher.open(place, sealed) {
            Ok(object) => return Ok(Opened { object: object.into(), by: Some(key.by.clone()) }),
            Err(error) => errors.push(error),
        }
    }
    Err(if errors.is_empty() { no_key.to_owned() } else { reduced(errors) })
}

/// Several errors as upstream shows them.
fn reduced(mut errors: Vec<String>) -> String {
    errors.dedup();
    if errors.len() == 1 { errors.remove(0) } else { format!("[{}]", errors.join(", ")) }
}

fn keys(
    prefix: &'static str,
    configured: &[Key],
    cipher: impl Fn(&[u8]) -> Result<Box<dyn Cipher>, String>,
) -> Result<Link, String> {
    let named = configured.iter().map(|key| {
        let secret =
            secret(key).map_err(|_| format!("could not obtain secret for named key {}", key.name))?;
        let cipher = cipher(&secret)
            .map_err(|why| format!("error while creating cipher for named key {}: {why}", key.name))?;
        let by = format!("{prefix}{}:{}", key.name, fingerprint(&secret)).into();
        Ok(Named { name: format!("{}:", key.name), by, cipher })
    });
    let no_key = match prefix {
        SECRETBOX => "no matching key was found for the provided Secretbox transformer",
        _ => "no matching key was found for the provided AES transformer",
    };
    Ok(Link::Keys { prefix, keys: named.collect::<Result<_, String>>()?, no_key })
}

fn boxed(cipher: impl Cipher + 'static) -> Box<dyn Cipher> {
    Box::new(cipher)
}
