//! OpenAPI v2 and v3 of what is served, from the schema facts; kubectl explains, validates and merges by them.
//!
//! [`schemas`] turns types into schemas, [`paths`] the registry into paths and operations, [`v3`] and [`v2`] put them
//! together, [`gnostic`] writes v2 in protobuf. Documents are made per request, since clients keep them by their hash and
//! memory is dearer.

mod answer;
mod descriptions;
mod gnostic;
mod operations;
mod parameters;
mod paths;
mod schemas;
pub(crate) mod v2;
pub(crate) mod v3;

#[cfg(test)]
mod tests;
