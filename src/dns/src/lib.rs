//! The cluster's DNS, on hickory: names of services, endpoints and pods from informers, everything else forwarded.
//!
//! Changes go from [`follow`] into [`index`]; a question goes from the sockets ([`server`]) to [`handler`], which asks
//! [`zone`] for what is the cluster's and [`forward`] for what is not. Follows the Kubernetes DNS specification
//! (`kubernetes/dns`, `docs/specification.md`); TTL and negative answers are those of CoreDNS. Keeps no files, never
//! writes to the API, and scans nothing per question.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error;
mod follow;
mod forward;
mod handler;
mod index;
mod server;
mod zone;

pub use error::Error;
pub use server::{Config, Server};
