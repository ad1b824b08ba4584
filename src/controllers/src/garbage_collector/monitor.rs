//! The watch of one kind's metadata: feeds the graph.

use std::{collections::HashSet, sync::Arc};

use futures::{StreamExt, pin_mut};
use kube::{
    Api,
    api::ObjectMeta,
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt, watcher,
        watcher::{Config, Event},
    },
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{
    Collector, FOREGROUND_FINALIZER, ORPHAN_FINALIZER,
    graph::{Object, Place},
};

/// Follows the kind at that place of the collector's list. What is given back fires once the kind is listed, or is
/// dropped when cancelled.
pub(super) fn start(
    collector: &Arc<Collector>,
    kind: usize,
    cancel: &CancellationToken,
) -> oneshot::Receiver<()> {
    let (listed, wait) = oneshot::channel();
    let (collector, cancel) = (collector.clone(), cancel.clone());
    tokio::spawn(async move { cancel.run_until_cancelled(follow(&collector, kind, listed)).await });
    wait
}

async fn follow(collector: &Collector, kind: usize, listed: oneshot::Sender<()>) {
    let resource = &collector.kinds.list[kind];
    let api = Api::<PartialObjectMeta>::all_with(collector.client.clone(), &resource.api);
    let events = watcher(api, Config::default()).default_backoff();
    pin_mut!(events);
    let (mut listed, mut seen) = (Some(listed), HashSet::new());
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => seen.clear(),
            Ok(Event::InitApply(object)) => {
                seen.extend(object.metadata.uid.clone());
                set(collector, kind, object);
            }
            Ok(Event::InitDone) => {
                collector.change(|graph| graph.retain_listed(kind, &seen));
                seen = HashSet::new();
                if let Some(listed) = listed.take() {
                    listed.send(()).ok();
                }
            }
            Ok(Event::Apply(object)) => set(collector, kind, object),
            Ok(Event::Delete(object)) => {
                collector.change(|graph| graph.remove(object.metadata.uid.as_deref().unwrap_or_default()));
            }
            Err(error) => tracing::warn!(kind = %resource.api.kind, %error, "watch failed, will be resumed"),
        }
    }
}

fn set(collector: &Collector, kind: usize, object: PartialObjectMeta) {
    let Some(object) = observed(kind, object.metadata) else { return };
    collector.change(|graph| graph.set(object, |owner| collector.kinds.of_owner(owner)));
}

fn observed(kind: usize, meta: ObjectMeta) -> Option<Object> {
    let has = |finalizer: &str| meta.finalizers.iter().flatten().any(|one| one == finalizer);
    let is_deleting = meta.deletion_timestamp.is_some();
    let (is_waiting, is_orphaning) =
        (is_deleting && has(FOREGROUND_FINALIZER), is_deleting && has(ORPHAN_FINALIZER));
    Some(Object {
        uid: meta.uid?,
        place: Place { kind: Some(kind), namespace: meta.namespace.unwrap_or_default(), name: meta.name? },
        owners: meta.owner_references.unwrap_or_default(),
        is_deleting,
        is_waiting,
        is_orphaning,
    })
}
