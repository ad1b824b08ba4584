//! The kubelet as a whole, between an API server and a container runtime in memory.
//!
//! Both keep what they are told in memory; nothing runs, nothing is mounted. Each test has a kubelet, a directory and a node name
//! of its own and waits for what it expects, never for a time.

#![allow(clippy::unwrap_used, missing_docs)]

mod cluster;
mod lifecycle;
mod node;
mod runtime;
mod server;
mod start;
