//! Work inside another network namespace.
//!
//! A namespace belongs to a thread. So the work gets a thread of its own that enters the namespace and drives a
//! current-thread runtime there; the thread ends with the work and is never reused outside.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    thread,
};

use nix::sched::{CloneFlags, setns, unshare};
use tokio::sync::oneshot;

use crate::Error;

/// Runs `work` in the network namespace that `netns` names.
pub(crate) async fn inside<T, W, F>(netns: &Path, work: W) -> Result<T, Error>
where
    T: Send + 'static,
    W: FnOnce() -> F + Send + 'static,
    F: Future<Output = Result<T, Error>>,
{
    let netns = PathBuf::from(netns);
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new()
        .name("netns".to_owned())
        .spawn(move || {
            let outcome = enter(&netns).and_then(|()| block_on(work()));
            // The receiver is gone only when the caller gave up; then nobody wants the outcome.
            sender.send(outcome).ok();
        })
        .map_err(Error::io("starting a thread for a network namespace"))?;
    receiver.await.map_err(|_| Error::Ended("the thread in a network namespace"))?
}

/// Runs `work` in a network namespace of its own, which ends with it.
pub(crate) fn in_private<T: Send>(work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)
                .map_err(|errno| Error::io("making a network namespace")(errno.into()))?;
            work()
        });
        thread.join().unwrap_or(Err(Error::Ended("the thread in a private network namespace")))
    })
}

/// Drives a future on a runtime of this thread.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Error::io("starting a runtime"))?.block_on(work)
}

fn enter(netns: &Path) -> Result<(), Error> {
    let what = format!("entering the network namespace {}", netns.display());
    let entered = File::open(netns).and_then(|file| Ok(setns(file, CloneFlags::CLONE_NEWNET)?));
    entered.map_err(|error: io::Error| Error::io(what)(error))
}
