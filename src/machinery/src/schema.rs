//! What is known of every built-in type: its fields in Go's order, and what each field is.
//!
//! The facts are generated from upstream's Go types by `hack/schema` into `schema/facts`, one file per group, and loaded
//! type by type when first asked for. Strict decoding, canonical encoding, strategic merge, server-side apply, protobuf
//! and OpenAPI read this one table. Holds no descriptions, validates no values.

mod canonical;
mod check;
mod facts;
mod numbered;
mod parse;
pub(crate) mod time;
mod types;
mod unknown;

pub use canonical::{canonical, canonical_with_hole, stored};
pub(crate) use canonical::{is_omitted, json_schema};
pub(crate) use check::BASE64;
pub use check::{TypeError, check_types};
pub use facts::{kinds, named, of};
pub(crate) use numbered::Numbered;
pub use time::error as time_error;
pub use types::{Embedded, Field, ListType, PatchStrategy, Shape, Type, TypeRef};
pub use unknown::{strict_errors, unknown_fields};

#[cfg(test)]
mod tests;
