//! The crate against upstream: what is generated from the Go modules, and the data that they publish.
#![allow(clippy::unwrap_used)]

mod facts;
mod generated;
mod merges;
mod oracle;
mod protobuf;
mod round_trip;
mod sparse;
