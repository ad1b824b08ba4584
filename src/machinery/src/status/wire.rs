//! The `v1` object that a [`Status`] is on the wire.

use serde::{Deserialize, Serialize};

use super::{Details, Status};
use crate::json;

impl Status {
    /// The `v1` object, as upstream encodes it.
    pub fn to_json(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256);
        self.to_tree().write(&mut bytes);
        bytes
    }

    /// The `v1` object as a tree.
    pub fn to_tree(&self) -> json::Tree<'static> {
        json::to_tree(&Wire::from(self)).expect("a Status holds only strings and numbers")
    }

    /// Reads a `v1` Status; `None` when the tree is none.
    pub fn from_tree(tree: &json::Tree<'_>) -> Option<Self> {
        let wire: Read = json::from_tree(tree).ok()?;
        (wire.kind == "Status").then(|| Self {
            failed: wire.status != "Success",
            code: wire.code,
            reason: wire.reason.into(),
            message: wire.message,
            details: wire.details,
            continue_token: wire.metadata.continue_token,
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: ListMeta,
    status: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Details>,
    code: u16,
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct ListMeta {
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    continue_token: Option<Box<str>>,
}

impl<'a> From<&'a Status> for Wire<'a> {
    fn from(status: &'a Status) -> Self {
        Self {
            kind: "Status",
            api_version: "v1",
            metadata: ListMeta { continue_token: status.continue_token.clone() },
            status: if status.failed { "Failure" } else { "Success" },
            message: &status.message,
            reason: &status.reason,
            details: status.details(),
            code: status.code,
        }
    }
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Read {
    kind: String,
    metadata: ListMeta,
    status: String,
    message: String,
    reason: String,
    details: Option<Box<Details>>,
    code: u16,
}
