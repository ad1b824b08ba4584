//! The API server over the memory store, asked by plain HTTP requests: in process, and once through real TLS.
#![allow(clippy::unwrap_used)]

// Under its short name, as every other crate knows it.
extern crate coxswain_apiserver as apiserver;

mod addresses;
mod admission;
mod attacks;
mod bootstrap;
mod bootstrap_tokens;
mod certificates;
mod client;
mod cluster;
mod deletion;
mod devices;
mod discovery;
mod errors;
mod events;
mod evictions;
mod history;
mod in_flight;
mod kubelets;
mod lists;
mod nodes;
mod patches;
mod policy;
mod protobuf;
mod proxies;
mod rbac;
mod reviews;
mod scale;
mod tables;
mod tls;
mod tokens;
mod verbs;
mod watches;
