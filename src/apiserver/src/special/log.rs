//! `pods/log`: what a container wrote, streamed from the pod's kubelet.

use http::{Response, StatusCode};
use k8s_openapi::api::core::v1::Pod;
use machinery::Status;
use machinery::field::{Error, ErrorList, Path};
use machinery::gvk::GroupKind;

use super::exec::{choose_container, node_of, pod};
use crate::body::{self, Body};
use crate::call::Call;
use crate::kubelet_proxy::{Forward, encode_query};
use crate::negotiate;

/// The parameters that the kubelet takes as they are.
const PASSED: [&str; 8] =
    ["follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes", "stream"];

/// Streams a log.
pub(super) async fn get(call: Call, _body: Body) -> Result<Response<Body>, Status> {
    let pod: Pod = pod(&call)?;
    check_options(&call)?;
    let container = choose_container(&call, &pod)?;
    let Some(node) = node_of(&pod) else {
        // Nothing runs yet, so there is nothing to show.
        return Ok(negotiate::text(StatusCode::OK, ""));
    };
    let path = kubelet_path(&call, &container);
    let forward = Forward { method: http::Method::GET, path, headers: http::HeaderMap::new() };
    let response = call.server.kubelets.send(&call.server.store, &node, forward).await?;
    let (parts, stream) = response.into_parts();
    let mut answer = Response::new(body::boxed(stream));
    *answer.status_mut() = parts.status;
    answer
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(answer)
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
