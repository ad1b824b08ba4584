//! Pod networking and the service proxy: netlink and nftables, no other programs.
//!
//! [`pods`] connects the network namespace of each sandbox to the node. [`mesh`] connects the pods of different nodes.
//! [`proxy`] makes the addresses of services work. All program the kernel and then stay out of the way of packets; what they programmed stays in force when the
//! process ends. [`nft`] is the encoder that they use. IPv4 only; knows nothing of images, containers or DNS.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error;
mod ipv4;
mod names;

pub mod mesh;
pub mod pods;
pub mod proxy;

mod check;
mod reset;

mod conntrack;
mod links;
mod netns;
pub mod nft;

pub use check::check;
pub use error::Error;
pub use mesh::Backend;
pub use pods::{HostPort, Pods, PodsConfig};
pub use reset::reset;
