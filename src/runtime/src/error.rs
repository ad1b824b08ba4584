//! What can go wrong in the runtime, named by what the caller can do about it, and its form as a gRPC status.

use std::path::{Path, PathBuf};

/// Why the runtime could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such sandbox, container, image or registry entry.
    #[error("{0}")]
    NotFound(String),
    /// The request makes no sense; repeating it will not help.
    #[error("{0}")]
    Invalid(String),
    /// The object is not in a state in which this can be done.
    #[error("{0}")]
    Precondition(String),
    /// It took longer than the caller allowed.
    #[error("{0}")]
    Deadline(String),
    /// What was asked for is not built.
    #[error("{0}")]
    Unsupported(String),
    /// A container or command could not be started; the text is for the user.
    #[error("{0}")]
    Start(String),
    /// An image could not be fetched or read; the text is for the user.
    #[error("{0}")]
    Image(String),
    /// The pod network refused.
    #[error("network of sandbox {sandbox}: {source}")]
    Network {
        /// The sandbox concerned.
        sandbox: String,
        /// What the network reported.
        source: crate::NetworkError,
    },
    /// A shim or monitor process did not do its part.
    #[error("shim: {0}")]
    Shim(String),
    /// The system refused an operation on a file.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was being done, as a verb phrase.
        doing: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// A state file or an image document cannot be understood.
    #[error("{path}: {source}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// The result of everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Gives a system error the operation and the path that it belongs to.
pub(crate) trait At<T> {
    fn at(self, doing: &'static str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T, E: Into<std::io::Error>> At<T> for Result<T, E> {
    fn at(self, doing: &'static str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|e| Error::Io { doing, path: path.as_ref().to_owned(), source: e.into() })
    }
}

impl From<Error> for cri::Status {
    fn from(e: Error) -> Self {
        let text = e.to_string();
        match e {
            Error::NotFound(_) => Self::not_found(text),
            Error::Invalid(_) => Self::invalid_argument(text),
            Error::Precondition(_) => Self::failed_precondition(text),
            Error::Deadline(_) => Self::deadline_exceeded(text),
            Error::Unsupported(_) => Self::unimplemented(text),
            Error::Start(_)
            | Error::Image(_)
            | Error::Network { .. }
            | Error::Shim(_)
            | Error::Io { .. }
            | Error::Malformed { .. } => Self::unknown(text),
        }
    }
}
