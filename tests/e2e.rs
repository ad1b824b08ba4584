//! End-to-end tests: the real binary, a stock kubectl, a real registry, real containers. A file per capability.
//!
//! Every test is a cluster of its own in a network namespace of its own, which stands for a machine; nothing of it
//! reaches beyond that namespace, and its removal is checked.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;
mod host;
mod images;
mod lists;
mod load;
mod site;
mod structure;

mod agent;
mod compare;
mod components;
mod debugging;
mod deletion;
mod deployment;
mod disk;
mod encryption;
mod failure;
mod kill;
mod kube_rs;
mod kubectl;
mod logs;
mod machine;
mod mixed;
mod moving;
mod nodes;
mod outages;
mod output;
mod pods;
mod proxy;
mod registries;
mod resources;
mod rolling_update;
mod servers;
mod service_account;
mod snapshot;
