//! A load of config maps through the real API, and a record of everything that was asked, said and shown meanwhile.
//!
//! Writers create, replace, patch and delete a few objects that they share, under conditions and without; readers read and
//! list, also the past and in pages; watches come, end and resume. Servers may be killed under it, moved, or lose their
//! disk: what that leaves is held against the one order of writes by `testing::history`.

mod judging;
mod reading;
mod record;
mod writing;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ObjectList;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt};
use testing::history::Log;
use tokio::sync::watch;

use self::judging::Judged;
use self::record::{Record, Selection};
use crate::cluster::{Cluster, eventually};
use crate::host::Host;

const WRITERS: usize = 3;
/// Few enough for writers to meet each other.
const KEYS: usize = 6;
/// The selections that are watched, by number.
const WATCHES: [usize; 3] = [0, 1, 2];
/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two reads of one reader, and between two attempts at a server that is not there.
const PAUSE: Duration = Duration::from_millis(20);

/// The load of one test, and what is known of it.
pub(crate) struct Load {
    record: Arc<Record>,
    log: Log,
    judged: Judged,
}

/// What a writer was told: that it is done, or why not by a server that could not.
type Answer = Result<(), String>;

/// A load that is on.
pub(crate) struct Running {
    record: Arc<Record>,
    answers: Receiver<Answer>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Load {
    /// No load yet, on a cluster as it is.
    pub(crate) fn of(cluster: &Cluster) -> Self {
        // What `kubectl get` shows of a list is made by kubectl, and of no revision.
        let list = cluster.ok(&["get", "--raw", "/api/v1/namespaces/default/configmaps?limit=1"]);
        let list: ObjectList<ConfigMap> = serde_json::from_str(&list).unwrap();
        let base = parse(list.metadata.resource_version);
        Self { record: Arc::new(Record::new(base)), log: Log::new(base), judged: Judged::default() }
    }

    /// Puts the load on the cluster's server; objects are of about so many bytes.
    pub(crate) fn start(&self, cluster: &Cluster, bytes: usize) -> Running {
        self.start_at(&cluster.host, cluster.kubeconfig(), bytes)
    }

    /// The same on the server that a kubeconfig names.
    pub(crate) fn start_at(&self, host: &Host, kubeconfig: PathBuf, bytes: usize) -> Running {
        let (record, (stop, stopped), (tell, answers)) =
            (self.record.clone(), watch::channel(false), channel());
        let thread = host.run({
            let record = record.clone();
            move || block_on(run(&record, &kubeconfig, bytes, stopped, tell))
        });
        Running { record, answers, stop, thread }
    }

    /// Reads, lists and watches for a while without writing; gives what servers said that could not answer.
    pub(crate) fn read(&self, cluster: &Cluster) -> Vec<String> {
        let (record, kubeconfig, (stop, stopped)) =
            (self.record.clone(), cluster.kubeconfig(), watch::channel(false));
        let before = std::mem::take(&mut *self.record.shown.lock().unwrap());
        let thread = cluster.host.run(move || block_on(read(&record, &kubeconfig, PAUSE, stopped)));
        self.until_much_was_shown();
        stop.send(true).unwrap();
        thread.join().unwrap();
        self.record.shown.lock().unwrap().extend(before);
        std::mem::take(&mut *self.record.refusals.lock().unwrap())
    }

    fn until_much_was_shown(&self) {
        eventually("readers and watches are answered", || {
            self.record.shown.lock().unwrap().is_much().then_some(())
        });
    }
}

impl Running {
    /// Waits until so many more writes were acknowledged.
    pub(crate) fn until_acknowledged(&self, count: usize) {
        self.answers.try_iter().for_each(drop);
        let mut acknowledged = 0;
        while acknowledged < count {
            let answer = self.answers.recv_timeout(PATIENCE);
            let answer = answer.unwrap_or_else(|error| panic!("write {acknowledged} of {count}: {error}"));
            acknowledged += usize::from(answer.is_ok());
        }
    }

    /// Waits until a server says that it cannot write, and gives its words.
    pub(crate) fn until_refused(&self) -> String {
        loop {
            if let Err(refusal) = self.answers.recv_timeout(PATIENCE).expect("writers go on") {
                return refusal;
            }
        }
    }

    /// Ends the load when what is being asked was answered; gives what servers said that could not do what they were asked.
    pub(crate) fn stop(self) -> Vec<String> {
        self.stop.send(true).unwrap();
        self.thread.join().unwrap();
        std::mem::take(&mut *self.record.refusals.lock().unwrap())
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Config maps through a connection of its own.
async fn connect(kubeconfig: &Path) -> Api<ConfigMap> {
    rustls::crypto::ring::default_provider().install_default().ok();
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Api::default_namespaced(Client::try_from(config).unwrap())
}

async fn run(
    record: &Record,
    kubeconfig: &Path,
    bytes: usize,
    stopped: watch::Receiver<bool>,
    tell: Sender<Answer>,
) {
    let writers = (0..WRITERS).map(|_| record.write_until(&stopped, kubeconfig, bytes, &tell));
    // Lists of large objects are not to take the time of what is tested.
    let pause = PAUSE + Duration::from_micros(bytes as u64);
    futures::join!(join_all(writers), read(record, kubeconfig, pause, stopped.clone()));
}

async fn read(record: &Record, kubeconfig: &Path, pause: Duration, stopped: watch::Receiver<bool>) {
    let watches = WATCHES.map(|number| record.watch_until(&stopped, kubeconfig, Selection::any(number)));
    futures::join!(join_all(watches), record.read_until(&stopped, kubeconfig, pause));
}

/// The object's name and revision.
fn version(object: &ConfigMap) -> (String, u64) {
    (object.name_any(), parse(object.resource_version()))
}

fn parse(revision: Option<String>) -> u64 {
    revision.and_then(|revision| revision.parse().ok()).expect("a resource version is a number")
}
