//! A network namespace with a thread in it that runs what tests want to happen there.

use std::{path::PathBuf, process::Command, thread};

use nix::{
    sched::{CloneFlags, unshare},
    unistd::gettid,
};
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) struct Namespace {
    runtime: Handle,
    thread_id: i32,
    /// Ends the thread, and with it the namespace and every task in it.
    _end: DropGuard,
}

impl Namespace {
    pub(crate) fn new() -> Self {
        let end = CancellationToken::new();
        let (sender, receiver) = std::sync::mpsc::channel();
        let ended = end.clone();
        thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("these tests run as root");
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            sender.send((runtime.handle().clone(), gettid().as_raw())).unwrap();
            runtime.block_on(ended.cancelled());
            runtime.shutdown_background();
        });
        let (runtime, thread_id) = receiver.recv().unwrap();
        Self { runtime, thread_id, _end: end.drop_guard() }
    }

    /// Runs a future in the namespace.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        match self.runtime.spawn(work).await {
            Ok(value) => value,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Leaves a future running in the namespace for as long as that lives.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(work);
    }

    /// Runs a program in the namespace and answers its output.
    pub(crate) async fn command(&self, line: &str) -> String {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let line = line.to_owned();
        self.run(async move {
            let output = Command::new(&words[0]).args(&words[1..]).output().unwrap();
            assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        })
        .await
    }

    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/self/task/{}/ns/net", self.thread_id).into()
    }

    /// What `ip` takes as the name of the namespace.
    pub(crate) fn id(&self) -> i32 {
        self.thread_id
    }
}
