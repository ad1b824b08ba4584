//! What can go wrong with stored bytes. Bad requests are `machinery::Status` and `field::Error`, never this.

use machinery::json;

/// Stored bytes cannot be read as the kind that was stored: the store is damaged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON.
    #[error("the stored object is not JSON: {0}")]
    Syntax(#[from] json::ParseError),
    /// JSON, but not of this kind.
    #[error("the stored object is not of its kind: {0}")]
    Shape(#[from] json::Error),
    /// Metadata or selectable fields cannot be read.
    #[error("the stored object has no readable attributes: {0}")]
    Attributes(#[from] serde_json::Error),
}
