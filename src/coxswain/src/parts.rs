//! The parts of a server or an agent, each a task, and what becomes of the whole when one of them fails.
//!
//! Two ways: without a *vital* part (the one that serves the API) there is no server, and its end is the server's. A part
//! that is *kept* works through the API: it is logged and begun anew after an error or a panic, and nothing else notices.
//! One that *leads* is kept, too, and works in one process of the cluster at a time.

use std::fmt::Display;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use client::Election;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// All parts that run.
pub(crate) struct Parts {
    tasks: JoinSet<anyhow::Result<()>>,
    cancel: CancellationToken,
}

impl Parts {
    /// No parts yet; those to come end when `cancel` is cancelled.
    pub(crate) fn new(cancel: CancellationToken) -> Self {
        Self { tasks: JoinSet::new(), cancel }
    }

    /// Ends them all when it is cancelled.
    pub(crate) fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Starts a part without which there is no server.
    pub(crate) fn vital(&mut self, part: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        self.tasks.spawn(part);
    }

    /// Starts a part, and starts it again whenever it ends, fails or panics. What it spawns must end with the token that it
    /// is given, which is a new one each time.
    pub(crate) fn keep<Fut, E>(
        &mut self,
        name: &'static str,
        start: impl Fn(CancellationToken) -> Fut + Send + Sync + 'static,
    ) where
        Fut: Future<Output = Result<(), E>> + Send,
        E: Display + Send,
    {
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move {
            client::keep_running(name, &cancel, start).await;
            Ok(())
        });
    }

    /// Starts a part that is kept, and works only while this process is elected; without an election, always.
    pub(crate) fn lead<Fut>(
        &mut self,
        name: &'static str,
        election: Option<Election>,
        work: impl Fn(CancellationToken) -> Fut + Send + Sync + 'static,
    ) where
        Fut: Future<Output = ()> + Send + 'static,
    {
        let work = Arc::new(work);
        self.keep(name, move |cancel| {
            let (election, work) = (election.clone(), work.clone());
            async move {
                match election {
                    Some(election) => election.lead(cancel, |term| work(term)).await,
                    None => {
                        work(cancel).await;
                        Ok(())
                    }
                }
            }
        });
    }

    /// Waits until a vital part ends, and says why it did.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            Some(Err(panic)) => anyhow::Error::new(panic).context("a part panicked"),
            Some(Ok(Err(error))) => error,
            Some(Ok(Ok(()))) => anyhow!("a part ended although nobody told it to"),
            None => std::future::pending().await,
        }
    }

    /// Tells every part to end and waits until all have, whatever became of the others; the first failure is the answer.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        self.cancel.cancel();
        let mut outcome = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            outcome = outcome.and(ended.context("a part panicked while ending").flatten());
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_kept_part_that_panics_is_begun_anew_while_the_others_go_on() {
        let mut parts = Parts::new(CancellationToken::new());
        let (starts, well) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let (counted, notified) = (starts.clone(), well.clone());
        parts.keep("kept", move |cancel| {
            let (start, well) = (counted.fetch_add(1, Ordering::SeqCst), notified.clone());
            async move {
                match start {
                    0 => panic!("the first time"),
                    1 => return Err("the second time"),
                    _ => well.notify_one(),
                }
                cancel.cancelled().await;
                Ok(())
            }
        });
        let vital = parts.cancel.clone();
        parts.vital(async move {
            vital.cancelled().await;
            Ok(())
        });
        tokio::select! {
            failed = parts.failed() => panic!("the server would end: {failed:#}"),
            () = well.notified() => {}
        }
        parts.end().await.unwrap();
        assert_eq!(starts.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn the_end_of_a_vital_part_is_the_servers() {
        let mut parts = Parts::new(CancellationToken::new());
        parts.keep("kept", |cancel| async move {
            cancel.cancelled().await;
            Ok::<_, String>(())
        });
        parts.vital(async { Err(anyhow!("no more sockets")) });
        assert_eq!(parts.failed().await.to_string(), "no more sockets");
        parts.end().await.unwrap();
    }
}
