//! `pods/log`: what a container wrote, streamed from the pod's kubelet.

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};
use k8s_openapi::api::core::v1::Pod;
use machinery::field::{Error, ErrorList, Path};
use machinery::gvk::GroupKind;
use machinery::{Status, schema};

use super::exec::{choose_container, node_of, pod};
use crate::body::{self, Body};
use crate::call::Call;
use crate::kubelet_proxy::{Forward, encode_query};
use crate::websocket;

/// The parameters that the kubelet takes as they are.
const PASSED: [&str; 7] =
    ["follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes"];

/// Streams a log.
pub(super) async fn get(call: Call, _body: Body) -> Result<Response<Body>, Status> {
    let pod: Pod = pod(&call)?;
    check_options(&call)?;
    let container = choose_container(&call, &pod)?;
    let Some(node) = node_of(&pod) else { return Ok(nothing_yet()) };
    let content = from_kubelet(&call, &node, &container).await?;
    if websocket::is_asked_for(&call.parts.headers) {
        return websocket::answer(call.parts, content);
    }
    let mut answer = Response::new(content);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(answer)
}

/// Nothing runs yet where there is no node, so there is nothing to show.
fn nothing_yet() -> Response<Body> {
    let mut answer = Response::new(body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

async fn from_kubelet(call: &Call, node: &str, container: &str) -> Result<Body, Status> {
    let path = kubelet_path(call, container);
    let forward = Forward { method: Method::GET, path, headers: HeaderMap::new() };
    let response = call.server.kubelets.send(&call.server.store, node, forward).await?;
    Ok(body::boxed(response.into_body()))
}

/// Upstream's `ValidatePodLogOptions`.
fn check_options(call: &Call) -> Result<(), Status> {
    let mut errors = ErrorList::new();
    if let Some(error) = call.query.get("sinceTime").and_then(schema::time_error) {
        return Err(Status::bad_request(error));
    }
    let number = |name: &str| call.query.number(name);
    if let Some(lines) = number("tailLines")?.filter(|lines| *lines < 0) {
        errors.push(Error::invalid(&Path::new("tailLines"), lines, "must be greater than or equal to 0"));
    }
    if let Some(bytes) = number("limitBytes")?.filter(|bytes| *bytes < 1) {
        errors.push(Error::invalid(&Path::new("limitBytes"), bytes, "must be greater than 0"));
    }
    let seconds = number("sinceSeconds")?;
    if seconds.is_some() && call.query.get("sinceTime").is_some() {
        // Upstream's path is empty.
        let both = "at most one of `sinceTime` or `sinceSeconds` may be specified";
        errors.push(Error::forbidden(&Path::new("[]"), both));
    } else if let Some(seconds) = seconds.filter(|seconds| *seconds < 1) {
        errors.push(Error::invalid(&Path::new("sinceSeconds"), seconds, "must be greater than 0"));
    }
    if call.query.get("stream").is_some() {
        // Upstream's PodLogsQuerySplitStreams, which is off unless asked for.
        errors.push(Error::forbidden(&Path::new("stream"), "may not be specified"));
    }
    Status::check(&GroupKind::new("", "PodLogOptions"), &call.info.name, &errors)
}

fn kubelet_path(call: &Call, container: &str) -> String {
    let mut parameters: Vec<(&str, &str)> = Vec::new();
    for name in PASSED {
        parameters.extend(call.query.all(name).map(|value| (name, value)));
    }
    let (namespace, name) = (&call.info.namespace, &call.info.name);
    format!("/containerLogs/{namespace}/{name}/{container}?{}", encode_query(&parameters))
}
