//! Informers and the recorder against a small API server made of a tower service.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod informer;
mod leader;
mod recorder;
mod server;
