//! Turns a panic in a handler into upstream's 500, so that neither the connection nor the process is lost.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use machinery::Status;

/// Runs a handler; its panic is logged and answered.
pub(crate) async fn around<T>(handler: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    // A handler owns what it changes; what it shares (the store, mirrors behind locks) recovers from poisoning itself.
    AssertUnwindSafe(handler).catch_unwind().await.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("(no message)");
        tracing::error!(panic = text, "a request handler panicked");
        Err(Status::internal("This request caused apiserver to panic. Look in the logs for details."))
    })
}
