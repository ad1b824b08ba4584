//! What all calls share: the tables of sandboxes and containers, the stores, and the events. Holds no rules.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use cri::v1;
use tokio::sync::{broadcast, mpsc};

use crate::cgroups::Cgroups;
use crate::container::Container;
use crate::error::{Error, Result};
use crate::images::Images;
use crate::monitor::Notice;
use crate::sandbox::Sandbox;
use crate::{Config, clock};

/// A listener that is this many events behind loses some; it is told and lists anew.
const EVENT_BACKLOG: usize = 4096;

pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) images: Images,
    pub(crate) cgroups: Cgroups,
    /// The monitor program on disk.
    pub(crate) monitor_program: PathBuf,
    pub(crate) boot_id: String,
    pub(crate) sandboxes: Table<Sandbox>,
    pub(crate) containers: Table<Container>,
    /// Given to every monitor connection.
    pub(crate) notices: mpsc::UnboundedSender<Notice>,
    pub(crate) is_network_ready: AtomicBool,
    events: broadcast::Sender<v1::ContainerEventResponse>,
}

impl Core {
    pub(crate) fn new(config: Config, notices: mpsc::UnboundedSender<Notice>) -> Result<Self> {
        let root = &config.root;
        crate::files::make_dir(root)?;
        let (events, _) = broadcast::channel(EVENT_BACKLOG);
        Ok(Self {
            images: Images::open(root)?,
            cgroups: Cgroups::read()?,
            monitor_program: crate::monitor::install(root)?,
            boot_id: clock::boot_id()?,
            sandboxes: Table::new("sandbox"),
            containers: Table::new("container"),
            notices,
            is_network_ready: AtomicBool::new(false),
            events,
            config,
        })
    }

    pub(crate) fn sandbox_dir(&self, id: &str) -> PathBuf {
        self.config.root.join("sandboxes").join(id)
    }

    pub(crate) fn container_dir(&self, id: &str) -> PathBuf {
        self.config.root.join("containers").join(id)
    }

    pub(crate) fn containers_of(&self, sandbox: &str) -> Vec<Arc<Container>> {
        self.containers.all().into_iter().filter(|c| c.record.sandbox == sandbox).collect()
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<v1::ContainerEventResponse> {
        self.events.subscribe()
    }

    /// Tells everybody who listens what happened to a container (or to a sandbox, by its own ID).
    pub(crate) fn tell(&self, kind: v1::ContainerEventType, container: &str, sandbox: &str) {
        if self.events.receiver_count() == 0 {
            return;
        }
        let event = v1::ContainerEventResponse {
            container_id: container.to_owned(),
            container_event_type: kind as i32,
            created_at: clock::now_ns(),
            pod_sandbox_status: self.sandboxes.find(sandbox).ok().map(|sandbox| sandbox.status()),
            containers_statuses: self.containers_of(sandbox).iter().map(|c| c.status()).collect(),
        };
        // The last listener may have left meanwhile.
        drop(self.events.send(event));
    }
}

/// Runs work that blocks away from the threads that serve.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::Shim(format!("task stopped: {e}")))?
}

/// Things by their ID.
pub(crate) struct Table<T> {
    kind: &'static str,
    entries: Mutex<BTreeMap<String, Arc<T>>>,
}

impl<T> Table<T> {
    fn new(kind: &'static str) -> Self {
        Self { kind, entries: Mutex::default() }
    }

    pub(crate) fn insert(&self, id: &str, entry: Arc<T>) {
        self.entries.lock().expect("no panic while held").insert(id.to_owned(), entry);
    }

    pub(crate) fn remove(&self, id: &str) {
        self.entries.lock().expect("no panic while held").remove(id);
    }

    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        self.entries.lock().expect("no panic while held").values().cloned().collect()
    }

    /// By the full ID or the start of exactly one, as people type it.
    pub(crate) fn find(&self, id: &str) -> Result<Arc<T>> {
        let entries = self.entries.lock().expect("no panic while held");
        let missing = || Error::NotFound(format!("{} {id:?}: not found", self.kind));
        if id.is_empty() {
            return Err(missing());
        }
        let mut matching = entries.range(id.to_owned()..).take_while(|(known, _)| known.starts_with(id));
        match (matching.next(), matching.next()) {
            (Some((_, entry)), None) => Ok(Arc::clone(entry)),
            (Some((known, entry)), Some(_)) if known == id => Ok(Arc::clone(entry)),
            _ => Err(missing()),
        }
    }
}
