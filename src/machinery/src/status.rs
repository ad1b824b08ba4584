//! The answer that is not an object: an API error, or plain success.
//!
//! Made wherever the reason of a failure is known, with upstream's reasons, codes and sentences
//! (`apimachinery/pkg/api/errors`), on which clients match. Written to the wire by the API server. Never logs, and never
//! carries the cause of an internal failure that a user should not see.

mod reasons;
mod wire;

use std::borrow::Cow;
use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

use crate::field;
use crate::gvk::GroupResource;

/// An API error (or success) and its JSON form. As an error it displays its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    failed: bool,
    code: u16,
    reason: Cow<'static, str>,
    message: String,
    details: Option<Box<Details>>,
    continue_token: Option<Box<str>>,
}

/// What a `Status` is about, for programs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Details {
    /// The name of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The API group of `kind`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The resource (not always the kind, for historical reasons).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The uid of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Single errors that together made the failure.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// After how many seconds the client should try again; 0 if it is not told.
    #[serde(skip_serializing_if = "is_zero")]
    pub retry_after_seconds: u32,
}

/// One of the errors behind a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cause {
    /// A word for programs, such as `FieldValueRequired`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// A sentence for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The path of the field, such as `spec.replicas`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

fn is_zero(seconds: &u32) -> bool {
    *seconds == 0
}

impl Details {
    /// Names an object of a resource.
    pub fn of(resource: &GroupResource, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            group: resource.group.clone(),
            kind: resource.resource.clone(),
            ..Self::default()
        }
    }

    fn retry(seconds: u32) -> Self {
        Self { retry_after_seconds: seconds, ..Self::default() }
    }
}

impl Status {
    /// The same with these details.
    #[must_use]
    pub fn with_details(mut self, details: Details) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    /// The same with a token in the list metadata, by which a list whose token expired can go on inconsistently.
    #[must_use]
    pub fn with_continue(mut self, token: impl Into<Box<str>>) -> Self {
        self.continue_token = Some(token.into());
        self
    }

    /// The same with another message.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// The HTTP status code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The word by which programs tell failures apart; empty for success.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The sentence for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What it is about, if known.
    pub fn details(&self) -> Option<&Details> {
        self.details.as_deref()
    }

    /// What it is about, to be added to.
    pub fn details_mut(&mut self) -> &mut Details {
        self.details.get_or_insert_default()
    }

    /// After how many seconds the client should try again, for the `Retry-After` header.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        self.details().map(|details| details.retry_after_seconds).filter(|&seconds| seconds > 0)
    }
}

impl Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

impl From<&field::Error> for Cause {
    fn from(error: &field::Error) -> Self {
        Self { reason: error.kind.reason().to_owned(), message: error.body(), field: error.path.to_string() }
    }
}

#[cfg(test)]
mod tests;
