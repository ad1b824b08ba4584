//! The continue token of a paged list: opaque to clients, in upstream's form (`storage/continue.go`).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use machinery::Status;
use serde::{Deserialize, Serialize};
use store::Key;

use crate::verbs::{Target, key};

/// Where a paged list goes on.
pub(super) struct Token {
    /// `None`: of an inconsistent list, which goes on in the present.
    pub(super) revision: Option<u64>,
    pub(super) after: Option<Key>,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    v: String,
    rv: i64,
    #[serde(default)]
    start: String,
}

impl Token {
    pub(super) fn write(&self, target: &Target) -> String {
        let start = self.after.as_ref().map_or_else(String::new, |key| {
            let in_namespace = target.kind.namespaced && target.namespace().is_empty();
            if in_namespace {
                format!("{}/{}\0", key.namespace(), key.name())
            } else {
                format!("{}\0", key.name())
            }
        });
        let rv = self.revision.map_or(-1, |revision| i64::try_from(revision).unwrap_or(i64::MAX));
        let wire = Wire { v: "meta.k8s.io/v1".to_owned(), rv, start };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&wire).expect("strings and a number always serialise"))
    }

    pub(super) fn read(target: &Target, token: &str) -> Result<Token, Status> {
        let wrong = |why: &str| {
            Status::bad_request(format!("invalid continue token: continue key is not valid: {why}"))
        };
        let bytes =
            URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).map_err(|error| wrong(&error.to_string()))?;
        let wire: Wire = serde_json::from_slice(&bytes).map_err(|error| wrong(&error.to_string()))?;
        if wire.v != "meta.k8s.io/v1" {
            return Err(wrong(&format!("server does not recognize this encoded version {}", wire.v)));
        }
        if wire.start.is_empty() || wire.rv == 0 {
            return Err(wrong("incorrect encoded start resourceVersion (version meta.k8s.io/v1)"));
        }
        let start = wire.start.trim_end_matches('\0');
        let across = target.kind.namespaced && target.namespace().is_empty();
        let after = match (across, start.split_once('/')) {
            (true, Some((namespace, name))) => key(&target.kind, namespace, name),
            (false, None) => target.key(start),
            _ => return Err(wrong(start)),
        };
        Ok(Token { revision: u64::try_from(wire.rv).ok(), after: Some(after) })
    }
}
