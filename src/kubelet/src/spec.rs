//! From a pod's spec to the messages that the container runtime is given.
//!
//! Input is the API object and the values it refers to, collected beforehand; output goes to `act`. Pure: reads no
//! file, asks no server.

pub(crate) mod container;
pub(crate) mod dns;
pub(crate) mod env;
pub(crate) mod expansion;
pub(crate) mod fields;
pub(crate) mod hosts;
pub(crate) mod labels;
pub(crate) mod resources;
pub(crate) mod sandbox;
pub(crate) mod security;
pub(crate) mod service_env;
