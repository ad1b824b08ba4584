//! `pods/proxy`, `services/proxy` and `nodes/proxy`: a request of any method to what listens in a pod or on a node
//! (upstream: `pkg/registry/core/{pod,service,node}`'s `ResourceLocation`).
//!
//! The name in the path is `name`, `name:port` or `scheme:name:port`; what follows `proxy` is the path at the target.

use std::net::{IpAddr, SocketAddr};

use http::header::LOCATION;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Response, StatusCode};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use machinery::Status;
use machinery::gvk::GroupResource;
use machinery::typed;
use rand::seq::IndexedRandom;
use serde::de::DeserializeOwned;
use store::{Key, Range};

use crate::body::{self, Body};
use crate::call::Call;
use crate::kubelet_proxy::address_of;
use crate::pod_proxy::{self, Speech, Target};

/// The label that names a slice's service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Passes a request on to a pod.
pub(super) async fn pod(call: Call, body: Body) -> Result<Response<Body>, Status> {
    let wanted = Wanted::parse(&call.info.name)
        .ok_or_else(|| Status::bad_request(format!("invalid pod request {:?}", call.info.name)))?;
    let pod: Pod = read(&call, "pods", wanted.name)?;
    let port = match wanted.port {
        "" => first_port(&pod).unwrap_or(wanted.default_port()),
        port => port.parse().map_err(|_| Status::bad_request(format!("invalid port {port:?}")))?,
    };
    let ip = ip_of(&pod).filter(is_global).ok_or_else(|| Status::bad_request("address not allowed"))?;
    let target = Target { speech: wanted.speech(), address: SocketAddr::new(ip, port) };
    forward(target, call, body).await
}

/// Passes a request on to one of the pods behind a service.
pub(super) async fn service(call: Call, body: Body) -> Result<Response<Body>, Status> {
    let wanted = Wanted::parse(&call.info.name)
        .ok_or_else(|| Status::bad_request(format!("invalid service request {:?}", call.info.name)))?;
    let service: Service = read(&call, "services", wanted.name)?;
    let port = port_name(&service, &wanted)?;
    let none =
        || Status::service_unavailable(format!("no endpoints available for service {:?}", call.info.name));
    let address = *endpoints(&call, wanted.name, &port)?.choose(&mut rand::rng()).ok_or_else(none)?;
    forward(Target { speech: wanted.speech(), address }, call, body).await
}

/// Passes a request on to a node: to its kubelet, or to what listens on another port of it.
pub(super) async fn node(call: Call, body: Body) -> Result<Response<Body>, Status> {
    let wanted = Wanted::parse(&call.info.name)
        .ok_or_else(|| Status::bad_request(format!("invalid node request {:?}", call.info.name)))?;
    let kubelet = address_of(&call.server.store, wanted.name)?;
    let target = match wanted.port {
        "" => None,
        port => match port.parse() {
            Ok(port) if port == kubelet.port() => None,
            Ok(port) => Some(SocketAddr::new(kubelet.ip(), port)),
            Err(_) => return Err(Status::bad_request(format!("invalid port {port:?}"))),
        },
    };
    let target = match target {
        None => Target { speech: Speech::Kubelet(call.server.kubelets.connector()), address: kubelet },
        Some(address) if is_global(&address.ip()) => Target { speech: wanted.speech(), address },
        Some(_) => return Err(Status::bad_request("address not allowed")),
    };
    forward(target, call, body).await
}

/// What the path's name says.
#[derive(Debug, PartialEq, Eq)]
struct Wanted<'a> {
    is_https: bool,
    name: &'a str,
    /// Number or name; empty for any.
    port: &'a str,
}

impl<'a> Wanted<'a> {
    fn parse(text: &'a str) -> Option<Wanted<'a>> {
        let parts: Vec<&str> = text.split(':').collect();
        let (scheme, name, port) = match parts.as_slice() {
            [name] => ("", *name, ""),
            [name, port] => ("", *name, *port),
            [scheme, name, port] => (*scheme, *name, *port),
            _ => return None,
        };
        let is_known = matches!(scheme, "" | "http" | "https") && !name.is_empty();
        is_known.then_some(Wanted { is_https: scheme == "https", name, port })
    }

    fn speech(&self) -> Speech {
        if self.is_https { Speech::Https } else { Speech::Http }
    }

    fn default_port(&self) -> u16 {
        if self.is_https { 443 } else { 80 }
    }
}

async fn forward(target: Target, call: Call, body: Body) -> Result<Response<Body>, Status> {
    let uri = call.parts.uri.clone();
    let before = if call.info.namespace.is_empty() { IN_CLUSTER } else { IN_NAMESPACE };
    let (prefix, path) = split(uri.path_and_query().map_or("", PathAndQuery::as_str), before);
    let is_reading = matches!(*call.method(), Method::GET | Method::HEAD);
    let path = match path.chars().next() {
        None | Some('?') if is_reading => return redirect(&format!("{prefix}/{path}")),
        None | Some('?') => format!("/{path}"),
        Some(_) => path.to_owned(),
    };
    let path = path.parse().map_err(|_| Status::bad_request("the path cannot be passed on"))?;
    pod_proxy::forward(&target, prefix, path, call.parts, body).await
}

/// How many pieces a path has up to `proxy`: "", api, v1, namespaces, NAMESPACE, pods, NAME, proxy.
const IN_NAMESPACE: usize = 8;
/// The same for nodes: "", api, v1, nodes, NAME, proxy.
const IN_CLUSTER: usize = 6;

/// Cuts a path behind `/proxy`, which is the segment after the kind and the name.
fn split(path: &str, pieces: usize) -> (&str, &str) {
    const PROXY: &str = "/proxy";
    let cut = path.match_indices(PROXY).map(|(at, _)| at + PROXY.len()).find(|end| {
        let before = path[..*end].split('/').count();
        let ends = matches!(path[*end..].chars().next(), None | Some('/' | '?'));
        ends && before == pieces
    });
    path.split_at(cut.unwrap_or(path.len()))
}

/// Relative links work only below a path that ends with a slash.
fn redirect(location: &str) -> Result<Response<Body>, Status> {
    let mut answer = Response::new(body::empty());
    *answer.status_mut() = StatusCode::MOVED_PERMANENTLY;
    let location = HeaderValue::from_str(location).map_err(Status::internal)?;
    answer.headers_mut().insert(LOCATION, location);
    Ok(answer)
}

fn read<T: DeserializeOwned>(call: &Call, resource: &str, name: &str) -> Result<T, Status> {
    let entry = call.server.store.get(&Key::new("", resource, &call.info.namespace, name));
    let entry = entry.ok_or_else(|| Status::not_found(&GroupResource::new("", resource), name))?;
    typed::from_json(&entry.bytes).map_err(Status::internal)
}

fn first_port(pod: &Pod) -> Option<u16> {
    let containers = &pod.spec.as_ref()?.containers;
    let port = containers.iter().find_map(|container| container.ports.iter().flatten().next())?;
    u16::try_from(port.container_port).ok()
}

fn ip_of(pod: &Pod) -> Option<IpAddr> {
    pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()
}

/// A pod's status is written by its node, which must not turn the API server against itself or its neighbours.
fn is_global(ip: &IpAddr) -> bool {
    let is_special = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(is_special || ip.is_loopback() || ip.is_multicast() || ip.is_unspecified())
}

/// The name of the wanted port; it may be wanted by its number.
fn port_name(service: &Service, wanted: &Wanted<'_>) -> Result<String, Status> {
    let Ok(number) = wanted.port.parse::<i32>() else { return Ok(wanted.port.to_owned()) };
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let found = ports.iter().find(|port| port.port == number);
    found.map(|port| port.name.clone().unwrap_or_default()).ok_or_else(|| {
        Status::service_unavailable(format!("no service port {number} found for service {:?}", wanted.name))
    })
}

/// The ready endpoints of a service's port that are pods.
fn endpoints(call: &Call, service: &str, port: &str) -> Result<Vec<SocketAddr>, Status> {
    let range = Range::namespace("discovery.k8s.io", "endpointslices", &call.info.namespace);
    let mut found = Vec::new();
    for entry in call.server.store.snapshot(&range).iter() {
        let slice: EndpointSlice = serde_json::from_slice(&entry.bytes).map_err(Status::internal)?;
        let labels = slice.metadata.labels.as_ref();
        if labels.and_then(|labels| labels.get(SERVICE_NAME)).is_some_and(|name| name == service) {
            found.extend(pods_of(call, &slice, port));
        }
    }
    Ok(found)
}

fn pods_of(call: &Call, slice: &EndpointSlice, port: &str) -> Vec<SocketAddr> {
    let ports = slice.ports.iter().flatten().filter(|of| of.name.as_deref().unwrap_or_default() == port);
    let numbers: Vec<u16> = ports.filter_map(|of| u16::try_from(of.port?).ok()).collect();
    let ready = slice.endpoints.iter().flatten().filter(|endpoint| {
        endpoint.conditions.as_ref().is_none_or(|conditions| conditions.ready != Some(false))
    });
    let addresses = ready.filter_map(|endpoint| {
        let reference = endpoint.target_ref.as_ref().filter(|to| to.kind.as_deref() == Some("Pod"))?;
        let pod: Pod = read(call, "pods", reference.name.as_deref()?).ok()?;
        let ip: IpAddr = endpoint.addresses.first()?.parse().ok()?;
        (ip_of(&pod) == Some(ip) && is_global(&ip)).then_some(ip)
    });
    addresses.flat_map(|ip| numbers.iter().map(move |number| SocketAddr::new(ip, *number))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_scheme_and_port() {
        let wanted = |is_https, name, port| Some(Wanted { is_https, name, port });
        for (text, expected) in [
            ("a", wanted(false, "a", "")),
            ("a:80", wanted(false, "a", "80")),
            ("https:a:", wanted(true, "a", "")),
            ("http:a:web", wanted(false, "a", "web")),
            ("ftp:a:1", None),
            (":80", None),
            ("a:b:c:d", None),
        ] {
            assert_eq!(Wanted::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn the_path_is_cut_behind_the_subresource() {
        let base = "/api/v1/namespaces/n/pods/p/proxy";
        for rest in ["", "/", "/a/proxy/b?c=/proxy", "?a=b"] {
            assert_eq!(split(&format!("{base}{rest}"), IN_NAMESPACE), (base, rest));
        }
        let node = "/api/v1/nodes/proxy/proxy";
        assert_eq!(split(&format!("{node}/proxy/x"), IN_CLUSTER), (node, "/proxy/x"));
        let strange = "/api/v1/namespaces/proxy/pods/proxy/proxy";
        assert_eq!(split(&format!("{strange}/x"), IN_NAMESPACE), (strange, "/x"));
    }

    #[test]
    fn the_servers_own_addresses_are_no_targets() {
        for (ip, expected) in [
            ("10.0.0.1", true),
            ("127.0.0.1", false),
            ("169.254.169.254", false),
            ("::1", false),
            ("fd00::1", true),
        ] {
            assert_eq!(is_global(&ip.parse().unwrap()), expected, "{ip}");
        }
    }
}
