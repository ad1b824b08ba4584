//! `/containerLogs`: what a container wrote, from its CRI log file.

use std::{path::Path as FilePath, sync::Arc};

use axum::{
    body::Body,
    extract::{Path, Query, State},
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;
use tokio::sync::mpsc;

use self::{
    file::File,
    line::{Filter, Line, Stream},
};
use super::{Api, Error};
use crate::{
    observed::{self, Container, State as ContainerState},
    pod,
};

mod file;
mod line;

/// The query, as PodLogOptions has it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Options {
    follow: Flag,
    previous: Flag,
    timestamps: Flag,
    since_seconds: Option<i64>,
    since_time: Option<String>,
    tail_lines: Option<i64>,
    limit_bytes: Option<i64>,
    stream: Option<String>,
}

/// `true` or `1`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(from = "String")]
struct Flag(bool);

impl From<String> for Flag {
    fn from(text: String) -> Self {
        Self(matches!(text.as_str(), "true" | "1"))
    }
}

pub(super) async fn serve(
    State(api): State<Api>,
    Path((namespace, name, container)): Path<(String, String, String)>,
    Query(options): Query<Options>,
) -> Result<Response, Error> {
    let pod = api.pods.find(&namespace, &name);
    let pod = pod.ok_or_else(|| Error::not_found(format!("pod {name:?} does not exist")))?;
    let wanted = wanted(&api, &pod, &container, options.previous.0).await?;
    let mut filter = filter(&options)?;
    let tail = options.tail_lines.map(|lines| usize::try_from(lines).unwrap_or(0));
    let follow = options.follow.0 && !options.previous.0;
    filter.lines_left = tail.filter(|_| !follow);
    let file = File::open(FilePath::new(&wanted.log_path), tail).await.map_err(|error| {
        Error::internal(format!("failed to open log file {:?}: {error}", wanted.log_path))
    })?;
    let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(4);
    tokio::spawn(send(api, pod, wanted.id, file, filter, follow, sender));
    let body = Body::from_stream(tokio_stream(receiver));
    Ok(([(header::CONTENT_TYPE, "text/plain")], body).into_response())
}

fn tokio_stream<T>(mut receiver: mpsc::Receiver<T>) -> impl futures::Stream<Item = T> {
    futures::stream::poll_fn(move |cx| receiver.poll_recv(cx))
}

/// The container whose log is asked for: the newest of its name, or the one before that ended.
async fn wanted(api: &Api, pod: &Pod, name: &str, previous: bool) -> Result<Container, Error> {
    let whose = pod::name(pod);
    if pod::container(pod::spec(pod), name).is_none() {
        return Err(Error::not_found(format!("container {name:?} in pod {whose:?} is not available")));
    }
    let observed = observed::observe(api.host.runtime.as_ref(), pod::uid(pod), &mut Default::default()).await;
    let observed = observed.map_err(|status| Error::internal(status.message()))?;
    let mut all = observed.containers.into_iter().filter(|container| container.name == name);
    if previous {
        let newest = all.next();
        // While a container waits for its restart, the newest is the previous one.
        let waits = waiting_reason(pod, name).is_some();
        let ended =
            newest.filter(|newest| waits && newest.state == ContainerState::Exited).or_else(|| all.next());
        return ended.ok_or_else(|| {
            Error::bad_request(format!("previous terminated container {name:?} in pod {whose:?} not found"))
        });
    }
    let newest = all.find(|container| container.state != ContainerState::Created);
    newest.ok_or_else(|| {
        let reason = waiting_reason(pod, name).unwrap_or_else(|| "ContainerCreating".into());
        let text = match reason.as_str() {
            "ErrImagePull" | "ImagePullBackOff" => {
                format!("container {name:?} in pod {whose:?} is waiting to start: trying and failing to pull image")
            }
            reason => format!("container {name:?} in pod {whose:?} is waiting to start: {reason}"),
        };
        Error::bad_request(text)
    })
}

fn waiting_reason(pod: &Pod, name: &str) -> Option<String> {
    let status = pod.status.as_ref()?;
    let lists =
        [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    let found = lists.into_iter().flatten().flatten().find(|status| status.name == name)?;
    found.state.as_ref()?.waiting.as_ref()?.reason.clone()
}

fn filter(options: &Options) -> Result<Filter, Error> {
    let since_seconds =
        options.since_seconds.map(|seconds| pod::after(Timestamp::now(), seconds.saturating_neg()));
    let since_time = match options.since_time.as_deref() {
        None | Some("") => None,
        Some(text) => {
            let parsed: Result<Timestamp, _> = text.parse();
            Some(parsed.map_err(|error| Error::bad_request(format!("invalid sinceTime {text:?}: {error}")))?)
        }
    };
    Ok(Filter {
        since: since_seconds.or(since_time),
        timestamps: options.timestamps.0,
        bytes_left: options.limit_bytes.map(|bytes| usize::try_from(bytes).unwrap_or(0)),
        lines_left: None,
        stream: match options.stream.as_deref() {
            Some("Stdout") => Some(Stream::Stdout),
            Some("Stderr") => Some(Stream::Stderr),
            _ => None,
        },
    })
}

/// Sends the log, and what is appended to it while the container runs.
async fn send(
    api: Api,
    pod: Arc<Pod>,
    id: String,
    mut file: File,
    mut filter: Filter,
    follow: bool,
    sender: mpsc::Sender<Result<Bytes, std::io::Error>>,
) {
    let mut changes = api.pods.changes(pod::uid(&pod));
    loop {
        // Whether it has ended is asked before the rest is read, so that nothing written before is missed.
        let goes_on = follow && is_running(&api, &id).await;
        loop {
            match file.next_chunk(&mut filter).await {
                Ok(chunk) if chunk.is_empty() => break,
                Ok(chunk) => {
                    if sender.send(Ok(chunk)).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    // The reader may be gone as well; nobody else needs to know.
                    sender.send(Err(error)).await.ok();
                    return;
                }
            }
        }
        if !goes_on || filter.is_done() {
            return;
        }
        tokio::select! {
            changed = file.changed() => if changed.is_err() { return },
            changed = next(&mut changes) => if !changed { return },
            () = sender.closed() => return,
        }
    }
}

/// Waits for a change of the pod; false once it is gone.
async fn next(changes: &mut Option<tokio::sync::watch::Receiver<u64>>) -> bool {
    match changes {
        Some(changes) => changes.changed().await.is_ok(),
        None => false,
    }
}

async fn is_running(api: &Api, id: &str) -> bool {
    let request = cri::v1::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
    let running = i32::from(cri::v1::ContainerState::ContainerRunning);
    match api.host.runtime.container_status(request).await {
        Ok(answer) => answer.status.is_some_and(|status| status.state == running),
        Err(_) => false,
    }
}

/// The last lines of a log, at most `bytes` of them, without times; for termination messages.
pub(crate) async fn last_lines(path: &FilePath, lines: usize, bytes: usize) -> String {
    let mut filter = Filter::default();
    let mut out = Vec::new();
    let read = async {
        let mut file = File::open(path, Some(lines)).await?;
        loop {
            let chunk = file.next_chunk(&mut filter).await?;
            if chunk.is_empty() {
                return std::io::Result::Ok(());
            }
            out.extend_from_slice(&chunk);
        }
    };
    match read.await {
        Ok(()) => String::from_utf8_lossy(&out[out.len().saturating_sub(bytes)..]).into_owned(),
        Err(error) => format!("Error on reading termination message from logs: {error}"),
    }
}

/// A line as it goes out, if the filter lets it.
fn render(raw: &[u8], filter: &mut Filter, out: &mut Vec<u8>) {
    if let Some(line) = Line::parse(raw) {
        filter.append(&line, out);
    }
}
