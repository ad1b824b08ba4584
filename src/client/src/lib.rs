//! What components share to talk to the API: shared informers, keyed work queues, the event recorder, leader election,
//! delegated authentication and authorization.
//!
//! Input is a `kube::Client` (in-process or remote); output goes to controllers, scheduler, kubelet, network and DNS.
//! Knows no particular kind, holds no opinion about what to do with a change, and never talks to the store.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod answer;
mod backoff;
mod delegation;
mod informer;
mod informers;
mod key;
mod leader;
mod measures;
mod queue;
mod recorder;
mod reference;
mod restart;
mod work;

pub use backoff::Backoff;
pub use delegation::{Delegation, Holds};
pub use informer::{Change, Index, Informer, Object, Selection, Subscription};
pub use informers::Informers;
pub use key::Key;
pub use leader::{Election, Lost, Standing, Terms};
pub use measures::{counters, exponential_buckets, gauges, histograms};
pub use queue::Queue;
pub use recorder::{EventType, Recorder};
pub use reference::{owner_reference, reference};
pub use restart::keep_running;
pub use work::{Requeue, work};
