//! Pods and services as the kernel carries them, in network namespaces that each test makes for itself. As root.
#![allow(missing_docs, clippy::unwrap_used)]

extern crate coxswain_network as network;

mod host_ports;
mod mesh;
mod namespace;
mod node;
mod pods;
mod services;
mod site;
