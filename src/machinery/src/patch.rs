//! Changes to an object in the three patch languages of the API: JSON patch, merge patch, strategic merge patch.
//!
//! Input is the current object and the patch as trees or bytes; the patched tree goes back to the request path, which
//! decodes, defaults and validates it. Never checks versions, never writes.

pub mod json;
pub mod merge;
pub mod strategic;

pub use strategic::in_go;

/// Why a patch cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The patch itself makes no sense (400).
    #[error("{0}")]
    Malformed(String),
    /// The patch does not fit the object (422): a path is missing or a test failed.
    #[error("{0}")]
    Inapplicable(String),
    /// The patch or its effect is too large (413).
    #[error("{0}")]
    TooLarge(String),
}
