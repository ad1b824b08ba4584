//! What the tests of several crates share. Imported as a dev-dependency only; no part of the binary.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod api;
pub mod compare;
pub mod history;
pub mod upstream;

pub use api::Api;
