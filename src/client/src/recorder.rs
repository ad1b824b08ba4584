//! The event recorder: what components tell users about an object, as core/v1 Events.
//!
//! Callers never wait: a report goes into a bounded channel, one background task correlates (see [`correlator`]) and
//! writes. Where the channel is full the report is dropped and logged, as upstream does.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Event, EventSource, ObjectReference},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::sync::mpsc;

use self::correlator::{Correlator, Write};
use crate::answer;

mod correlator;

/// Reports waiting to be written.
const CHANNEL_LENGTH: usize = 1000;
/// Attempts while the server cannot be reached, and the pause between them.
const ATTEMPTS: u32 = 12;
const RETRY_PAUSE: Duration = Duration::from_secs(10);

/// Whether an event tells of something expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// All is well.
    Normal,
    /// Somebody should look.
    Warning,
}

impl EventType {
    fn as_str(self) -> &'static str {
        match self {
            EventType::Normal => "Normal",
            EventType::Warning => "Warning",
        }
    }
}

/// Records events of one component; clones share the background task, which ends when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Recorder {
    source: EventSource,
    sender: mpsc::Sender<Event>,
}

impl Recorder {
    /// A recorder for `component` on `host`, writing through `client`. Starts its task: needs a tokio runtime.
    pub fn new(client: Client, component: &str, host: &str) -> Self {
        let (sender, receiver) = mpsc::channel(CHANNEL_LENGTH);
        tokio::spawn(write_events(client, receiver));
        let source = EventSource { component: Some(component.into()), host: Some(host.into()) };
        Self { source, sender }
    }

    /// Reports `message` about the object `about`; `reason` is one CamelCase word from upstream's list.
    pub fn event(&self, about: &ObjectReference, kind: EventType, reason: &str, message: impl Into<String>) {
        let event = new_event(&self.source, about, kind, reason, message.into(), Timestamp::now());
        if let Err(error) = self.sender.try_send(event) {
            tracing::warn!(%error, reason, "event dropped");
        }
    }
}

fn new_event(
    source: &EventSource,
    about: &ObjectReference,
    kind: EventType,
    reason: &str,
    message: String,
    now: Timestamp,
) -> Event {
    let namespace = about.namespace.clone().filter(|namespace| !namespace.is_empty());
    Event {
        metadata: ObjectMeta {
            name: Some(event_name(about, now)),
            namespace: Some(namespace.unwrap_or_else(|| "default".into())),
            ..ObjectMeta::default()
        },
        involved_object: about.clone(),
        reason: Some(reason.into()),
        message: Some(message),
        type_: Some(kind.as_str().into()),
        count: Some(1),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        reporting_component: source.component.clone(),
        reporting_instance: source.host.clone(),
        source: Some(source.clone()),
        ..Event::default()
    }
}

fn event_name(about: &ObjectReference, now: Timestamp) -> String {
    format!("{}.{:x}", about.name.as_deref().unwrap_or_default(), now.as_nanosecond())
}

async fn write_events(client: Client, mut receiver: mpsc::Receiver<Event>) {
    let mut correlator = Correlator::default();
    while let Some(event) = receiver.recv().await {
        let at = event.last_timestamp.as_ref().map_or_else(Timestamp::now, |time| time.0);
        if let Some(write) = correlator.correlate(event, at) {
            write_with_retries(&client, write).await;
        }
    }
}

async fn write_with_retries(client: &Client, write: Write) {
    for _ in 0..ATTEMPTS {
        match write_once(client, &write).await {
            Ok(()) => return,
            Err(error) if answer::status(&error).is_some() => {
                if !answer::is_already_exists(&error) && !answer::is_namespace_terminating(&error) {
                    tracing::error!(%error, "server rejected event");
                }
                return;
            }
            Err(error) => tracing::warn!(%error, "unable to write event, will retry"),
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
    tracing::error!("unable to write event (retry limit exceeded)");
}

async fn write_once(client: &Client, write: &Write) -> kube::Result<()> {
    let event = match write {
        Write::Create(event) | Write::Update(event) => event,
    };
    let namespace = event.metadata.namespace.as_deref().unwrap_or("default");
    let api = Api::<Event>::namespaced(client.clone(), namespace);
    if let Write::Update(event) = write {
        let name = event.metadata.name.as_deref().unwrap_or_default();
        let patch =
            json!({"count": event.count, "lastTimestamp": event.last_timestamp, "message": event.message});
        match api.patch(name, &PatchParams::default(), &Patch::Strategic(patch)).await {
            // It may have expired since it was written: then it is created anew.
            Err(error) if answer::is_not_found(&error) => {}
            other => return other.map(drop),
        }
    }
    api.create(&PostParams::default(), event).await.map(drop)
}
