//! Real questions over loopback to a server that is fed by an API in memory.
#![allow(missing_docs, clippy::unwrap_used)]

extern crate coxswain_dns as dns;

mod cluster;
mod forwarding;
mod questions;
mod resolver;
