//! Workers over a [`Queue`]: the loop that every controller has.
//!
//! Takes items from the queue, runs the given function, and turns its outcome into forget, delay or back-off. Never
//! lets a panic out: it is logged and counts as a failure of that item.

use std::{any::Any, fmt::Display, hash::Hash, panic::AssertUnwindSafe, time::Duration};

use futures::{FutureExt, future::join_all};
use tokio_util::sync::CancellationToken;

use crate::{queue::Queue, restart::panic_text};

/// So many failures in a row are not reported.
const QUIET_FAILURES: u32 = 5;

/// What is to happen to an item after it was worked on successfully.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requeue {
    /// Nothing, until something adds it again.
    No,
    /// It is to be looked at again after this time.
    After(Duration),
}

/// Works on `queue` with `workers` concurrent calls of `f` until `cancel`; then closes the queue and returns.
///
/// After `Ok` the item's back-off ends; after `Err` or a panic it comes back rate-limited.
pub async fn work<T, F, Fut, E>(queue: Queue<T>, workers: usize, f: F, cancel: CancellationToken)
where
    T: Eq + Hash + Clone + Display,
    F: Fn(T) -> Fut,
    Fut: Future<Output = Result<Requeue, E>>,
    E: Display,
{
    let worker = || async {
        while let Some(item) = queue.next().await {
            let outcome = AssertUnwindSafe(f(item.clone())).catch_unwind().await;
            settle(&queue, &item, outcome);
            queue.done(&item);
        }
    };
    let close = async {
        cancel.cancelled().await;
        queue.close();
    };
    futures::join!(close, join_all((0..workers).map(|_| worker())));
}

fn settle<T, E>(queue: &Queue<T>, item: &T, outcome: Result<Result<Requeue, E>, Box<dyn Any + Send>>)
where
    T: Eq + Hash + Clone + Display,
    E: Display,
{
    match outcome {
        Ok(Ok(requeue)) => {
            queue.forget(item);
            if let Requeue::After(delay) = requeue {
                queue.add_after(item.clone(), delay);
            }
        }
        Ok(Err(error)) => {
            // Conflicts and lagging caches settle after a try or two; what does not is worth a line.
            match queue.failures(item) < QUIET_FAILURES {
                true => tracing::debug!(%item, %error, "will be tried again"),
                false => tracing::warn!(%item, %error, "failed repeatedly, will be tried again"),
            }
            queue.add_rate_limited(item.clone());
        }
        Err(panic) => {
            tracing::error!(%item, panic = panic_text(panic.as_ref()), "a worker panicked");
            queue.add_rate_limited(item.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn errors_and_panics_are_retried_and_success_ends_the_back_off() {
        let (queue, cancel, calls) = (Queue::new(), CancellationToken::new(), AtomicU32::new(0));
        queue.add("a");
        let run = work(
            queue.clone(),
            2,
            |_| async {
                match calls.fetch_add(1, Ordering::SeqCst) {
                    0 => Err("first call fails"),
                    1 => panic!("second call panics"),
                    2 => Ok(Requeue::After(Duration::from_secs(30))),
                    _ => {
                        cancel.cancel();
                        Ok(Requeue::No)
                    }
                }
            },
            cancel.clone(),
        );
        let start = tokio::time::Instant::now();
        run.await;
        assert_eq!(calls.load(Ordering::SeqCst), 4);
        assert_eq!(start.elapsed().as_secs(), 30);
        assert_eq!(queue.failures(&"a"), 0);
    }
}
