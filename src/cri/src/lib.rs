//! The CRI v1 messages, the [`Runtime`] trait, the socket client and the socket server.
//!
//! The kubelet holds an `Arc<dyn Runtime>` and cannot tell whether the calls stay in the process or go through a
//! socket to containerd. Holds no state and makes no decision about containers.

#![cfg_attr(test, allow(clippy::unwrap_used))]
#![recursion_limit = "256"]

mod calls;
mod runtime;
mod server;
mod socket;

pub use k8s_cri::v1;
pub use tonic::{Code, Status};

pub use runtime::{Events, Runtime};
pub use server::serve;
pub use socket::Socket;

/// Why a CRI socket could not be opened or served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket's path cannot be used: not there, no permission, or in use by another process.
    #[error("CRI socket {path}: {source}")]
    Socket {
        /// The path of the socket.
        path: std::path::PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// Nobody who speaks gRPC answers on the socket, or the connection broke.
    #[error("CRI connection: {0}")]
    Transport(#[from] tonic::transport::Error),
}
