//! Keeps a loop running: one that ends, fails or panics is logged and started again, and takes nothing else with it.

use std::{any::Any, fmt::Display, panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a loop stays down after its first failure; doubled with each that follows.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A loop that ran this long was well: what it fails of then is something new.
const WELL_AFTER: Duration = Duration::from_secs(300);

/// Runs what `start` makes until `cancel`, again and again, after a pause that grows from 1 s to a minute. `name` is for
/// the log. Each run has a token of its own, which is cancelled when the run ends: what it spawned ends with it.
pub async fn keep_running<Fut, E>(
    name: &str,
    cancel: &CancellationToken,
    start: impl Fn(CancellationToken) -> Fut,
) where
    Fut: Future<Output = Result<(), E>>,
    E: Display,
{
    let mut pause = FIRST_PAUSE;
    while !cancel.is_cancelled() {
        let started = Instant::now();
        let run = cancel.child_token();
        let _ends_with_the_run = run.clone().drop_guard();
        match AssertUnwindSafe(async { start(run).await }).catch_unwind().await {
            Ok(Ok(())) if cancel.is_cancelled() => return,
            Ok(Ok(())) => tracing::error!(name, "ended, will be started again"),
            Ok(Err(error)) => tracing::error!(name, %error, "failed, will be started again"),
            Err(panic) => {
                tracing::error!(name, panic = panic_text(&*panic), "panicked, will be started again");
            }
        }
        drop(_ends_with_the_run);
        if started.elapsed() >= WELL_AFTER {
            pause = FIRST_PAUSE;
        }
        cancel.run_until_cancelled(tokio::time::sleep(pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
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
    use std::sync::Mutex;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_ends_fails_or_panics_is_started_again_until_cancelled() {
        let (cancel, runs) = (CancellationToken::new(), Mutex::new(Vec::new()));
        let start = |run: CancellationToken| {
            let before: Vec<CancellationToken> = runs.lock().unwrap().clone();
            assert!(before.iter().all(CancellationToken::is_cancelled), "an earlier run is still under way");
            runs.lock().unwrap().push(run);
            let cancel = &cancel;
            async move {
                match before.len() {
                    0 => Ok(()),
                    1 => Err("the second fails"),
                    2 => panic!("the third panics"),
                    _ => {
                        cancel.cancel();
                        Ok(())
                    }
                }
            }
        };
        keep_running("loop", &cancel, start).await;
        assert_eq!(runs.lock().unwrap().len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_a_minute_and_begin_anew_after_a_long_run() {
        let (cancel, starts) = (CancellationToken::new(), Mutex::new(Vec::new()));
        let start = |_| async {
            let count = {
                let mut starts = starts.lock().unwrap();
                starts.push(Instant::now());
                starts.len()
            };
            match count {
                9 => tokio::time::sleep(WELL_AFTER).await,
                10 => cancel.cancel(),
                _ => {}
            }
            Err("again")
        };
        keep_running("loop", &cancel, start).await;
        let starts = starts.into_inner().unwrap();
        let between: Vec<u64> = starts.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
        assert_eq!(between, [1, 2, 4, 8, 16, 32, 60, 60, WELL_AFTER.as_secs() + 1]);
    }
}
