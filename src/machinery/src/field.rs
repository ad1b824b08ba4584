//! Paths into an object and what is wrong there.
//!
//! Validation makes a list of [`Error`]s, [`crate::Status::invalid`] turns it into the answer. Texts are those of
//! upstream's `apimachinery/pkg/util/validation/field`, on which clients match. Never decides what is valid.

mod error;
mod path;

pub use error::{Error, ErrorKind, ErrorList, aggregate};
pub use path::Path;
