//! Small pure questions about built-in objects that several components ask.
//!
//! Objects come in as `k8s-openapi` types, answers go out as plain values. No I/O, no clock: time is an argument. A
//! function enters with its second caller.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod bootstrap_token;
pub mod certificate_request;
pub mod node;
pub mod node_selector;
pub mod owner;
pub mod pod;
pub mod resources;
pub mod taints;
