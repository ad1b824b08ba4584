//! Keeps a loop running: one that ends, fails or panics is logged and started again, and takes nothing else with it.

use std::{any::Any, fmt::Display, panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

/// How long a loop stays down before it is started anew.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs what `start` makes until `cancel`, again and again. `name` is for the log.
pub async fn keep_running<Fut, E>(name: &str, cancel: &CancellationToken, start: impl Fn() -> Fut)
where
    Fut: Future<Output = Result<(), E>>,
    E: Display,
{
    while !cancel.is_cancelled() {
        match AssertUnwindSafe(start()).catch_unwind().await {
            Ok(Ok(())) if cancel.is_cancelled() => return,
            Ok(Ok(())) => tracing::error!(name, "ended, will be started again"),
            Ok(Err(error)) => tracing::error!(name, %error, "failed, will be started again"),
            Err(panic) => {
                tracing::error!(name, panic = panic_text(&*panic), "panicked, will be started again");
            }
        }
        cancel.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        return text;
    }
    panic.downcast_ref::<String>().map_or("no message", String::as_str)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_ends_fails_or_panics_is_started_again_until_cancelled() {
        let (cancel, starts) = (CancellationToken::new(), AtomicU32::new(0));
        let start = || async {
            match starts.fetch_add(1, Ordering::SeqCst) {
                0 => Ok(()),
                1 => Err("the second fails"),
                2 => panic!("the third panics"),
                _ => {
                    cancel.cancel();
                    Ok(())
                }
            }
        };
        keep_running("loop", &cancel, start).await;
        assert_eq!(starts.load(Ordering::SeqCst), 4);
    }
}
