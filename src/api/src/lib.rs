//! The built-in kinds, a folder per group and a file per kind.
//!
//! Everything particular to a kind stands in its file: names, defaulting, preparation, validation, warnings, table,
//! selectable fields. The API server takes [`builtin`] as its registry and calls the kinds through [`Descriptor`].
//! Schemas, decoding and patches come from `machinery`; no I/O happens here, and nothing here is special to a request
//! (allocation of addresses, tokens, reviews and bindings are the API server's).
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod apps;
mod attributes;
mod authentication;
mod authorization;
mod autoscaling;
mod cells;
mod certificates;
mod checks;
mod coordination;
mod core;
mod defaults;
mod descriptor;
mod discovery;
mod error;
mod events;
mod kind;
mod names;
mod networking;
mod object;
mod policy;
mod rbac;
mod resource;
mod storage;
#[cfg(test)]
mod testing;

pub use attributes::Attributes;
pub use core::namespace::validate_finalize;
pub use descriptor::Descriptor;
pub use error::Error;
pub use kind::{ALL_VERBS, CREATE_ONLY, Context, Kind, Propagation, Selectable, Subresource};
pub use object::Object;

/// Every built-in kind that is a resource, group by group.
pub fn builtin() -> Vec<Descriptor> {
    [
        core::kinds(),
        apps::kinds(),
        authentication::kinds(),
        authorization::kinds(),
        certificates::kinds(),
        coordination::kinds(),
        discovery::kinds(),
        events::kinds(),
        networking::kinds(),
        rbac::kinds(),
        resource::kinds(),
        storage::kinds(),
    ]
    .concat()
}

/// Kinds that are only bodies of subresources: Binding, Eviction, Scale, TokenRequest.
pub fn bodies() -> Vec<Descriptor> {
    [authentication::bodies(), autoscaling::bodies(), core::bodies(), policy::bodies()].concat()
}
