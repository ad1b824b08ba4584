//! `pods/exec` and `pods/attach`: an upgraded connection to the pod's kubelet, copied byte for byte.

use http::Response;
use k8s_openapi::api::core::v1::Pod;
use machinery::Status;
use machinery::gvk::GroupResource;
use store::Key;

use crate::body::Body;
use crate::call::Call;
use crate::kubelet_proxy::{address_of, encode_query};

/// Runs a command in a container.
pub(super) async fn exec(call: Call, _body: Body) -> Result<Response<Body>, Status> {
    connect(call, "exec").await
}

/// Attaches to a container's own process.
pub(super) async fn attach(call: Call, _body: Body) -> Result<Response<Body>, Status> {
    connect(call, "attach").await
}

/// The API's parameters and what the kubelet calls them.
const STREAMS: [(&str, &str); 4] =
    [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];

async fn connect(call: Call, what: &str) -> Result<Response<Body>, Status> {
    let pod = pod(&call)?;
    let container = choose_container(&call, &pod)?;
    let node = node_of(&pod).ok_or_else(|| {
        Status::bad_request(format!("pod {} does not have a host assigned", call.info.name))
    })?;
    // Upstream takes the pod's node for a pod when it complains.
    let lost = |_| Status::not_found(&GroupResource::new("", "pods"), &node);
    address_of(&call.server.store, &node).map_err(lost)?;
    if what == "exec" && call.query.get("command").is_none() {
        return Err(Status::bad_request("you must specify at least 1 command for the container"));
    }
    let path = kubelet_path(&call, what, &container);
    let server = call.server.clone();
    server.kubelets.upgrade(&server.store, &node, path, call.parts).await
}

fn kubelet_path(call: &Call, what: &str, container: &str) -> String {
    let commands = call.query.all("command").map(|word| ("command", word));
    let streams = STREAMS.into_iter().filter(|(name, _)| call.query.flag(name)).map(|(_, name)| (name, "1"));
    let parameters: Vec<(&str, &str)> = commands.chain(streams).collect();
    let (namespace, name) = (&call.info.namespace, &call.info.name);
    format!("/{what}/{namespace}/{name}/{container}?{}", encode_query(&parameters))
}

/// The pod that the request names.
pub(super) fn pod(call: &Call) -> Result<Pod, Status> {
    let key = Key::new("", "pods", &call.info.namespace, &call.info.name);
    let entry = call.server.store.get(&key);
    let entry = entry.ok_or_else(|| Status::not_found(&GroupResource::new("", "pods"), &call.info.name))?;
    serde_json::from_slice(&entry.bytes).map_err(Status::internal)
}

/// The node that the pod is bound to.
pub(super) fn node_of(pod: &Pod) -> Option<String> {
    pod.spec.as_ref()?.node_name.clone().filter(|node| !node.is_empty())
}

/// The container asked for, or the only one.
pub(super) fn choose_container(call: &Call, pod: &Pod) -> Result<String, Status> {
    let spec = pod.spec.clone().unwrap_or_default();
    let name = &call.info.name;
    let containers: Vec<&str> = spec.containers.iter().map(|container| container.name.as_str()).collect();
    let init: Vec<&str> =
        spec.init_containers.iter().flatten().map(|container| container.name.as_str()).collect();
    let mut debugging = spec.ephemeral_containers.iter().flatten().map(|container| container.name.as_str());
    let asked = call.query.text("container");
    if !asked.is_empty() {
        if containers.contains(&asked) || init.contains(&asked) || debugging.any(|name| name == asked) {
            return Ok(asked.to_owned());
        }
        return Err(Status::bad_request(format!("container {asked} is not valid for pod {name}")));
    }
    if let ([only], true) = (containers.as_slice(), init.is_empty()) {
        return Ok((*only).to_owned());
    }
    let list = containers.join(" ");
    let mut message = format!("a container name must be specified for pod {name}, choose one of: [{list}]");
    if !init.is_empty() {
        message.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
    }
    Err(Status::bad_request(message))
}
