//! `pods/log`: what a container wrote, streamed from the pod's kubelet.

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Response};
use k8s_openapi::api::core::v1::Pod;
use machinery::Status;
use machinery::field::{Error, ErrorList, Path};
use machinery::gvk::GroupKind;

use super::exec::{choose_container, node_of, pod};
use crate::body::{self, Body};
use crate::call::Call;
use crate::kubelet_proxy::{Forward, encode_query};
use crate::websocket;

/// The parameters that the kubelet takes as they are.
const PASSED: [&str; 8] =
    ["follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes", "stream"];

/// Streams a log.
pub(super) async fn get(call: Call, _body: Body) -> Result<Response<Body>, Status> {
    let pod: Pod = pod(&call)?;
    check_options(&call)?;
    let container = choose_container(&call, &pod)?;
    // Nothing runs yet where there is no node, so there is nothing to show.
    let content = match node_of(&pod) {
        Some(node) => from_kubelet(&call, &node, &container).await?,
        None => body::empty(),
    };
    if websocket::is_asked_for(&call.parts.headers) {
        return websocket::answer(call.parts, content);
    }
    let mut answer = Response::new(content);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(answer)
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
