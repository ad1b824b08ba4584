//! Why a pull failed, and the sentence that the kubelet shows with `ErrImagePull`, in containerd's words.

use oci_client::errors::{OciDistributionError, OciErrorCode};

use super::super::Reference;
use crate::error::Error;

pub(super) enum Failure {
    /// The name could not be turned into a manifest; the text says why.
    Resolve(Refusal, String),
    /// A blob did not come.
    Fetch(OciDistributionError),
    Ours(Error),
}

/// What kind of refusal it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NotFound,
    Denied,
    Other,
}

impl From<OciDistributionError> for Failure {
    fn from(e: OciDistributionError) -> Self {
        Self::Fetch(e)
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Self::Ours(e)
    }
}

impl Failure {
    /// An error on the way to the manifest.
    pub(super) fn resolving(e: OciDistributionError) -> Self {
        Self::Resolve(Refusal::of(&e), chain(&e))
    }

    pub(super) fn describe(self, reference: &Reference) -> Error {
        let prefix = format!("failed to pull and unpack image \"{reference}\"");
        let unresolved = format!("{prefix}: failed to resolve reference \"{reference}\"");
        match self {
            Self::Ours(Error::Invalid(text)) => Error::Invalid(text),
            Self::Ours(Error::Unsupported(text)) => Error::Unsupported(text),
            Self::Ours(e) => Error::Image(format!("{prefix}: {e}")),
            Self::Fetch(e) => Error::Image(format!("{prefix}: failed to copy: {}", chain(&e))),
            Self::Resolve(Refusal::NotFound, _) => {
                Error::NotFound(format!("{unresolved}: {reference}: not found"))
            }
            Self::Resolve(Refusal::Denied, text) => Error::Image(format!(
                "{unresolved}: pull access denied, repository does not exist or may require authorization: {text}"
            )),
            Self::Resolve(Refusal::Other, text) => {
                Error::Image(format!("{unresolved}: failed to do request: {text}"))
            }
        }
    }
}

impl Refusal {
    pub(super) fn of_code(status: u16) -> Self {
        match status {
            404 => Self::NotFound,
            401 | 403 => Self::Denied,
            _ => Self::Other,
        }
    }

    fn of(error: &OciDistributionError) -> Self {
        match error {
            OciDistributionError::ServerError { code, .. } => Self::of_code(*code),
            OciDistributionError::UnauthorizedError { .. }
            | OciDistributionError::AuthenticationFailure(_) => Self::Denied,
            OciDistributionError::RegistryError { envelope, .. } => {
                match envelope.errors.first().map(|e| &e.code) {
                    Some(
                        OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown | OciErrorCode::NotFound,
                    ) => Self::NotFound,
                    Some(OciErrorCode::Unauthorized | OciErrorCode::Denied) => Self::Denied,
                    _ => Self::Other,
                }
            }
            _ => Self::Other,
        }
    }
}

/// An error with its causes: the outermost text of an HTTP client says little.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
