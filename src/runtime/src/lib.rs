//! The container runtime: images, sandboxes, containers, their shim, logs and streams, behind [`cri::Runtime`].
//!
//! Calls come in by [`BuiltIn`]; everything that is known is in files under one directory, so a new process takes over
//! what an old one left running. Containers are children of a monitor process per sandbox, never of this process.
//! Knows no Kubernetes objects and no links or addresses: pod networking is given as a [`PodNetwork`].

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod adopt;
mod builtin;
mod cgroups;
mod clock;
mod container;
mod core;
mod error;
mod exec;
mod files;
mod filter;
pub mod images;
mod limits;
mod monitor;
mod network;
mod process;
mod reset;
mod sandbox;
#[cfg(test)]
mod scratch;
pub mod shim;
mod snapshots;
mod spec;
mod stats;
mod streaming;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;

pub use builtin::BuiltIn;
pub use error::{Error, Result};
pub use linux::mounts::below as mounts_below;
pub use network::{NetworkError, PodNetwork};
pub use reset::reset;

/// What the runtime is told by whoever starts it.
#[derive(Clone)]
pub struct Config {
    /// The directory that everything is kept in.
    pub root: PathBuf,
    /// A directory whose `*.tar` files are imported when the runtime opens.
    pub import_dir: Option<PathBuf>,
    /// The cgroup below which this instance's own processes live, such as `/coxswain-1a2b3c4d`.
    pub cgroup_root: String,
    /// The program that dispatches `<executable> shim …` to [`shim::main`].
    pub executable: PathBuf,
    /// Registries (`host` or `host:port`) that are reached by plain HTTP, beside those on loopback.
    pub plain_http_registries: Vec<String>,
    /// Connects sandboxes to the pod network.
    pub network: Arc<dyn PodNetwork>,
}
