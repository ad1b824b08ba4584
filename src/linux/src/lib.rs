//! What Linux says of itself in `/proc`: what is mounted ([`mounts`]), which hierarchies of control groups there are
//! ([`cgroups`]).
//!
//! Asked by the kubelet and by the runtime, which run in one process or in two. Reads only; mounts nothing, makes no group.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod cgroups;
pub mod mounts;

/// What is mounted in this process' mount namespace: proc(5), `/proc/<pid>/mountinfo`.
pub const MOUNT_TABLE: &str = "/proc/self/mountinfo";
