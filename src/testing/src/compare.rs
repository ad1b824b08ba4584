//! Request-by-request comparison with stock kube-apiserver.
//!
//! A [`Case`] is a topic: requests that are sent one after another to a server, which [`run`] turns into a transcript of
//! normalised answers. Stock's transcripts are recorded beside the cases ([`record`]); [`judge`] compares ours with
//! them, step by step, and accepts only what the case itself names as differing, as long as it does differ.
//! `conformance/compare` runs it against both servers, `tests/compare.rs` against ours and the records. It starts no
//! server and knows nothing of how one is made.

mod answer;
mod case;
mod client;
mod compact;
mod difference;
mod judge;
mod normal;
pub mod record;
mod revisions;
mod run;

pub use answer::Answer;
pub use case::{Case, Step};
pub use client::Server;
pub use difference::Difference;
pub use judge::{Verdict, judge};
pub use run::{ready, run};
