//! What is true of every Kubernetes object, whatever its kind.
//!
//! Input is what clients send (bytes, names, selectors, patches) and the typed objects of `k8s-openapi`; output goes to
//! the API server's request path and to the components that ask the same questions of objects. Does no I/O, knows no
//! HTTP, keeps no state but the schema facts it has loaded.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod field;
pub mod gvk;
pub mod json;
pub mod meta;
pub mod names;
pub mod patch;
pub mod protobuf;
pub mod quantity;
pub mod schema;
pub mod selector;
pub mod status;
pub mod table;
pub mod typed;

pub use status::Status;
