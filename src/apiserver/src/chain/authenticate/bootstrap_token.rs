//! Bootstrap tokens: Secrets by which a node that joins is known until it has a certificate (upstream
//! `plugin/pkg/auth/authenticator/token/bootstrap`).
//!
//! Looked up in the store's current state at every request: a token that is deleted or has run out ends at once.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use objects::bootstrap_token::{self, Expiry, key};
use store::{Key, Store};

use crate::user::{AUTHENTICATED, User};

/// The user that a token `id.secret` stands for; else why it does not hold, for the log.
pub(super) fn authenticate(store: &Store, id: &str, secret: &str, now: Timestamp) -> Result<User, String> {
    let name = format!("{}{id}", bootstrap_token::SECRET_PREFIX);
    let entry = store.get(&Key::new("", "secrets", bootstrap_token::NAMESPACE, &name));
    let entry = entry.ok_or_else(|| format!("there is no secret {name}"))?;
    let object: Secret = serde_json::from_slice(&entry.bytes).map_err(|error| error.to_string())?;
    check(&object, id, secret, now).map_err(|why| format!("secret {name} {why}"))?;
    let groups = bootstrap_token::groups(&object)?;
    Ok(User {
        name: format!("{}{id}", bootstrap_token::USER_PREFIX),
        groups: groups.into_iter().chain([AUTHENTICATED.to_owned()]).collect(),
        ..User::default()
    })
}

fn check(object: &Secret, id: &str, secret: &str, now: Timestamp) -> Result<(), &'static str> {
    let value = |key: &str| bootstrap_token::value(object, key);
    if object.metadata.deletion_timestamp.is_some() {
        return Err("is being deleted");
    }
    if !bootstrap_token::is_token(object) {
        return Err("is of another type");
    }
    if !is_same(value(key::SECRET), secret) || value(key::ID) != id {
        return Err("has another id or secret");
    }
    if bootstrap_token::expiry(object, now) == Expiry::Past {
        return Err("has expired");
    }
    if value(key::AUTHENTICATION) != "true" {
        return Err("is not for authentication");
    }
    Ok(())
}

/// Compares in a time that does not tell how much of it is right.
fn is_same(stored: &str, given: &str) -> bool {
    let differing = stored.bytes().zip(given.bytes()).fold(0, |differing, (a, b)| differing | (a ^ b));
    stored.len() == given.len() && std::hint::black_box(differing) == 0
}
