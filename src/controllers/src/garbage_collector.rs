//! Deletes what has lost its last owner, and carries out foreground and orphaning deletion (upstream
//! `pkg/controller/garbagecollector`).
//!
//! One metadata-only watch per served kind feeds the [`graph`]; what the graph says may be collectable is looked at again
//! with direct reads before anything is deleted. Events are left out: they own nothing and nobody owns them.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

use client::Queue;
use futures::future::join_all;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use self::graph::Graph;
use crate::{
    Context, Error,
    resources::{self, Resource},
};

mod collect;
mod decision;
mod graph;
mod monitor;

const ACCOUNT: &str = "generic-garbage-collector";
const WORKERS: usize = 20;

/// On the object, holds its deletion back until its blocking dependents are gone.
const FOREGROUND_FINALIZER: &str = "foregroundDeletion";
/// On the object, holds its deletion back until its dependents are released.
const ORPHAN_FINALIZER: &str = "orphan";

/// Runs the controller until the context is cancelled.
pub(crate) async fn controller(cx: Context) -> Result<(), Error> {
    let client = cx.client(ACCOUNT);
    let collector = Arc::new(Collector {
        kinds: Kinds::new(resources::discover(client.clone()).await?),
        graph: Mutex::new(Graph::default()),
        queue: Queue::named("garbage_collector_attempt_to_delete"),
        client,
    });
    let mut listed = Vec::new();
    for kind in 0..collector.kinds.list.len() {
        listed.push(monitor::start(&collector, kind, &cx.cancel));
    }
    join_all(listed).await;
    let work = client::work(collector.queue.clone(), WORKERS, |work| collector.work(work), cx.cancel.clone());
    work.await;
    Ok(())
}

/// Something to look at, by the UID of the object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Work {
    /// It may have lost its owners, or wait for its dependents.
    Delete(String),
    /// It is to be deleted once its dependents are released.
    Orphan(String),
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Work::Delete(uid) => write!(f, "delete {uid}"),
            Work::Orphan(uid) => write!(f, "orphan {uid}"),
        }
    }
}

struct Collector {
    kinds: Kinds,
    graph: Mutex<Graph>,
    queue: Queue<Work>,
    client: kube::Client,
}

impl Collector {
    /// Changes the graph and queues what follows from that.
    fn change(&self, change: impl FnOnce(&mut Graph) -> Vec<Work>) {
        let work = change(&mut self.graph());
        work.into_iter().for_each(|work| self.queue.add(work));
    }

    fn graph(&self) -> MutexGuard<'_, Graph> {
        self.graph.lock().expect("no panic happens while the graph is locked")
    }
}

/// The kinds that are watched.
struct Kinds {
    list: Vec<Resource>,
    by_name: HashMap<(String, String), usize>,
}

impl Kinds {
    fn new(mut list: Vec<Resource>) -> Self {
        list.retain(|one| {
            one.api.plural != "events" && one.serves(&["get", "list", "watch", "delete", "patch"])
        });
        let name = |resource: &Resource| (resource.api.group.clone(), resource.api.kind.clone());
        let by_name = list.iter().enumerate().map(|(place, resource)| (name(resource), place)).collect();
        Self { list, by_name }
    }

    /// The kind that an owner reference names, in whichever version.
    fn of_owner(&self, owner: &OwnerReference) -> Option<usize> {
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        self.by_name.get(&(group.to_owned(), owner.kind.clone())).copied()
    }
}
