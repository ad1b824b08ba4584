//! Label and field selectors: which objects are meant.
//!
//! Input is the text of `labelSelector`/`fieldSelector` parameters or a typed `LabelSelector`; taken by lists, watches and
//! controllers. Never looks anything up itself.

pub mod field;
pub mod label;
