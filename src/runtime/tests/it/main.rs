//! The runtime with real containers: needs root, cgroups and overlayfs, and installs `busybox-static` where it is missing.
//! Every test has a runtime, a directory and a cgroup of its own and leaves nothing behind.

#![allow(clippy::unwrap_used, missing_docs)]

mod image;
mod machine;

mod adopt;
mod exec;
mod images;
mod life;
mod namespaces;
mod pull;
mod socket;
mod streams;
