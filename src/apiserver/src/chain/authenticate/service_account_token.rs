//! Service account tokens: signed when asked for (`serviceaccounts/token`), verified on every request that carries one.
//!
//! A signature is checked once per token and minute; whether the service account, the pod and whatever else the token is
//! bound to still exist is checked every time, against the store's current state.

mod claims;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use store::{Key, Store};

use crate::user::User;
use crate::{Error, ServiceAccountKeys};

pub(crate) use claims::{Audiences, Claims, Private, Reference};

/// A token that holds.
pub(crate) struct Verified {
    pub(crate) user: User,
    /// Those of the asked-for audiences that the token is for.
    pub(crate) audiences: Vec<String>,
}

/// Signs and verifies tokens.
pub(crate) struct Tokens {
    signing: EncodingKey,
    verifying: DecodingKey,
    header: Header,
    validation: Validation,
    jwk: Jwk,
    issuer: String,
    audiences: Vec<String>,
    checked: Mutex<Checked>,
}

/// Claims whose signature was checked, by the token's digest, and until when they are remembered.
type Checked = HashMap<[u8; 32], (Instant, Arc<Claims>)>;

/// How long a checked signature is remembered, and how many are.
const REMEMBERED: Duration = Duration::from_secs(60);
const REMEMBERED_MOST: usize = 4096;
/// Upstream forgives objects that were deleted so recently.
const LEEWAY_SECONDS: i64 = 60;

/// Why a token cannot be read; only what it is no longer is told.
fn unread(error: &jsonwebtoken::errors::Error) -> String {
    tracing::debug!(%error, "a token cannot be read");
    match error.kind() {
        jsonwebtoken::errors::ErrorKind::ExpiredSignature => "service account token has expired".to_owned(),
        _ => super::INVALID.to_owned(),
    }
}

impl Tokens {
    /// Reads the signing key; the verifying key follows from it.
    pub(crate) fn new(keys: &ServiceAccountKeys) -> Result<Tokens, Error> {
        let wrong = |error: jsonwebtoken::errors::Error| Error::SigningKey(error.to_string());
        let (signing, algorithm) = match EncodingKey::from_ec_pem(&keys.signing_key) {
            Ok(key) => (key, Algorithm::ES256),
            Err(_) => (EncodingKey::from_rsa_pem(&keys.signing_key).map_err(wrong)?, Algorithm::RS256),
        };
        let mut jwk = Jwk::from_encoding_key(&signing, algorithm).map_err(wrong)?;
        let key_id = jwk.thumbprint(ThumbprintHash::SHA256).map_err(wrong)?;
        jwk.common.key_id = Some(key_id.clone());
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[&keys.issuer]);
        validation.validate_aud = false;
        validation.validate_nbf = true;
        validation.leeway = LEEWAY_SECONDS as u64;
        Ok(Tokens {
            verifying: DecodingKey::from_jwk(&jwk).map_err(wrong)?,
            header: Header { kid: Some(key_id), typ: None, ..Header::new(algorithm) },
            signing,
            validation,
            jwk,
            issuer: keys.issuer.clone(),
            audiences: keys.audiences.clone(),
            checked: Mutex::default(),
        })
    }

    /// The audiences that this server is.
    pub(crate) fn api_audiences(&self) -> &[String] {
        &self.audiences
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The public key, for `/openid/v1/jwks`.
    pub(crate) fn public_key(&self) -> &Jwk {
        &self.jwk
    }

    /// Signs a token.
    pub(crate) fn sign(&self, claims: &Claims) -> Result<String, jsonwebtoken::errors::Error> {
        encode(&self.header, claims, &self.signing)
    }

    /// Whom a token stands for, if it is for one of `audiences`; else why it does not hold (for the log and for
    /// TokenReview).
    pub(crate) fn authenticate(
        &self,
        store: &Store,
        token: &str,
        audiences: &[String],
    ) -> Result<Verified, String> {
        let claims = self.claims(token)?;
        let shared = claims.aud.list().iter().filter(|own| audiences.contains(own)).cloned();
        let shared: Vec<String> = shared.collect();
        if shared.is_empty() {
            return Err(format!(
                "token audiences {:?} is invalid for the target audiences {audiences:?}",
                claims.aud.list()
            ));
        }
        check_existence(store, &claims)?;
        Ok(Verified { user: user_of(&claims), audiences: shared })
    }

    /// The claims of a token whose signature, issuer and times hold.
    fn claims(&self, token: &str) -> Result<Arc<Claims>, String> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let now = Instant::now();
        if let Some((until, claims)) = self.checked().get(&digest)
            && *until > now
        {
            return Ok(claims.clone());
        }
        let decoded = decode::<Claims>(token, &self.verifying, &self.validation);
        let claims = Arc::new(decoded.map_err(|error| unread(&error))?.claims);
        let expected = format!(
            "system:serviceaccount:{}:{}",
            claims.kubernetes.namespace, claims.kubernetes.serviceaccount.name
        );
        if claims.sub != expected {
            return Err("the token's subject is not its service account".to_owned());
        }
        let left = claims.exp - k8s_openapi::jiff::Timestamp::now().as_second();
        let left = Duration::from_secs(u64::try_from(left).unwrap_or(0)).min(REMEMBERED);
        let mut checked = self.checked();
        if checked.len() >= REMEMBERED_MOST {
            checked.retain(|_, (until, _)| *until > now);
        }
        if checked.len() < REMEMBERED_MOST {
            checked.insert(digest, (now + left, claims.clone()));
        }
        Ok(claims)
    }

    fn checked(&self) -> std::sync::MutexGuard<'_, Checked> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything that the token is bound to must still be there, and be the same.
fn check_existence(store: &Store, claims: &Claims) -> Result<(), String> {
    let private = &claims.kubernetes;
    let namespace = private.namespace.as_str();
    account_exists(store, namespace, &private.serviceaccount)?;
    if let Some(secret) = &private.secret {
        still_exists(store, Key::new("", "secrets", namespace, &secret.name), secret, "secret")?;
    }
    if let Some(pod) = &private.pod {
        still_exists(store, Key::new("", "pods", namespace, &pod.name), pod, "pod")?;
    }
    if let (Some(node), None) = (&private.node, &private.pod) {
        still_exists(store, Key::new("", "nodes", "", &node.name), node, "node")?;
    }
    Ok(())
}

fn account_exists(store: &Store, namespace: &str, wanted: &Reference) -> Result<(), String> {
    let name = &wanted.name;
    let key = Key::new("", "serviceaccounts", namespace, name);
    let entry = store.get(&key).ok_or_else(|| format!("serviceaccounts {name:?} not found"))?;
    if *entry.attributes.uid != *wanted.uid {
        let uid = &entry.attributes.uid;
        return Err(format!("service account UID ({uid}) does not match claim ({})", wanted.uid));
    }
    if was_deleted(&entry.bytes) {
        return Err(format!("service account {namespace}/{name} has been deleted"));
    }
    Ok(())
}

/// What the token is bound to beside its account, which upstream does not tell apart when it is gone.
fn still_exists(store: &Store, key: Key, wanted: &Reference, what: &str) -> Result<(), String> {
    let entry = store.get(&key).filter(|entry| !was_deleted(&entry.bytes)).ok_or(INVALIDATED)?;
    let uid = &entry.attributes.uid;
    if **uid != *wanted.uid {
        return Err(format!(
            "{what} UID ({uid}) does not match service account {what} ref claim ({})",
            wanted.uid
        ));
    }
    Ok(())
}

const INVALIDATED: &str = "service account token has been invalidated";

#[derive(Deserialize)]
struct Deleted {
    metadata: DeletedMeta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeletedMeta {
    deletion_timestamp: Option<k8s_openapi::jiff::Timestamp>,
}

/// Whether the object should have been gone for a while. Only objects that carry the word are parsed.
fn was_deleted(bytes: &[u8]) -> bool {
    const WORD: &[u8] = b"\"deletionTimestamp\":\"";
    if !bytes.windows(WORD.len()).any(|window| window == WORD) {
        return false;
    }
    let Ok(object) = serde_json::from_slice::<Deleted>(bytes) else { return true };
    let now = k8s_openapi::jiff::Timestamp::now().as_second();
    object.metadata.deletion_timestamp.is_some_and(|time| time.as_second() < now - LEEWAY_SECONDS)
}

fn user_of(claims: &Claims) -> User {
    let private = &claims.kubernetes;
    let mut extra = BTreeMap::new();
    let mut add = |key: &str, value: &str| {
        if !value.is_empty() {
            extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value.to_owned()]);
        }
    };
    if !claims.jti.is_empty() {
        add("credential-id", &format!("JTI={}", claims.jti));
    }
    if let Some(pod) = &private.pod {
        add("pod-name", &pod.name);
        add("pod-uid", &pod.uid);
    }
    if let Some(node) = &private.node {
        add("node-name", &node.name);
        add("node-uid", &node.uid);
    }
    let account = User::service_account(&private.namespace, &private.serviceaccount.name);
    User { uid: private.serviceaccount.uid.clone(), extra, ..account }
}
