//! Which pods stand behind a Service, and under which addresses and ports: what endpoints and endpoint slices share.
//!
//! [`Members`] finds pods and services in the informers; the rest is pure.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use client::{Change, Informer, Key};
use k8s_openapi::{
    api::core::v1::{Container, ObjectReference, Pod, Service, ServicePort, ServiceSpec},
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};
use objects::pod;

/// Label of endpoints and slices of a Service without its own address.
pub(crate) const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";
/// Annotation with the time of the change that led to a write.
pub(crate) const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// Pods and services, and who belongs to whom.
#[derive(Clone, Debug)]
pub(crate) struct Members {
    services: Informer<Service>,
    pods: Informer<Pod>,
}

impl Members {
    pub(crate) fn new(services: &Informer<Service>, pods: &Informer<Pod>) -> Self {
        Self { services: services.clone(), pods: pods.clone() }
    }

    /// The pods that the Service selects.
    pub(crate) fn pods_of(&self, service: &Service) -> Vec<Arc<Pod>> {
        let Some(selector) = selector(service) else { return Vec::new() };
        let mut pods = self.pods.in_namespace(service.metadata.namespace.as_deref().unwrap_or_default());
        pods.retain(|pod| selects(selector, pod));
        pods
    }

    /// The services to look at after a change of a pod; none where the change makes no difference to any.
    pub(crate) fn services_for(&self, change: &Change<Pod>) -> Vec<Key> {
        let (old, new) = match change {
            Change::Applied { old: Some(old), new } if !differ(old, new) => return Vec::new(),
            Change::Applied { old, new } => (old.as_ref(), new),
            Change::Deleted(last) => (None, last),
        };
        let services = self.services.in_namespace(new.metadata.namespace.as_deref().unwrap_or_default());
        let concerned = services.into_iter().filter(|service| {
            selector(service).is_some_and(|selector| {
                selects(selector, new) || old.is_some_and(|old| selects(selector, old))
            })
        });
        concerned.map(|service| Key::of(&*service)).collect()
    }
}

/// The selector of a Service whose endpoints are made here; others' are the business of whoever made the Service.
pub(crate) fn selector(service: &Service) -> Option<&BTreeMap<String, String>> {
    let spec = service.spec.as_ref().filter(|spec| spec.type_.as_deref() != Some("ExternalName"))?;
    spec.selector.as_ref().filter(|selector| !selector.is_empty())
}

fn selects(selector: &BTreeMap<String, String>, pod: &Pod) -> bool {
    let labels = pod.metadata.labels.as_ref();
    selector.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
}

/// Whether two states of a pod differ in anything that endpoints show.
fn differ(old: &Pod, new: &Pod) -> bool {
    let named = |pod: &Pod| {
        pod.spec.as_ref().map(|spec| (spec.hostname.clone(), spec.subdomain.clone(), spec.node_name.clone()))
    };
    old.metadata.labels != new.metadata.labels
        || old.metadata.uid != new.metadata.uid
        || old.metadata.deletion_timestamp != new.metadata.deletion_timestamp
        || pod::is_ready(old) != pod::is_ready(new)
        || pod::is_terminal(old) != pod::is_terminal(new)
        || addresses(old) != addresses(new)
        || named(old) != named(new)
}

/// The pod's addresses.
pub(crate) fn addresses(pod: &Pod) -> Vec<IpAddr> {
    let Some(status) = &pod.status else { return Vec::new() };
    let listed = status.pod_ips.iter().flatten().map(|address| address.ip.as_str());
    let mut addresses: Vec<IpAddr> = listed.filter_map(|text| text.parse().ok()).collect();
    if addresses.is_empty() {
        addresses.extend(status.pod_ip.as_deref().and_then(|text| text.parse::<IpAddr>().ok()));
    }
    addresses
}

/// Whether the pod has a place among endpoints: an address, not ended, and not ending unless that is `allowed`.
pub(crate) fn is_member(pod: &Pod, ending_allowed: bool) -> bool {
    let ending = pod.metadata.deletion_timestamp.is_some();
    !pod::is_terminal(pod) && !addresses(pod).is_empty() && (ending_allowed || !ending)
}

/// Whether the Service has no address of its own.
pub(crate) fn is_headless(spec: &ServiceSpec) -> bool {
    spec.cluster_ip.as_deref() == Some("None")
}

/// The number of the port on the pod that a port of the Service leads to; a name is looked up among the containers that
/// run with the pod.
pub(crate) fn target_port(pod: &Pod, port: &ServicePort) -> Option<i32> {
    let name = match &port.target_port {
        None => return Some(port.port),
        Some(IntOrString::Int(0)) => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
    };
    let spec = pod.spec.as_ref()?;
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let named = |container: &Container| {
        let ports = container.ports.iter().flatten();
        let mut matching =
            ports.filter(|one| one.name.as_ref() == Some(name) && same_protocol(&one.protocol, port));
        matching.next().map(|one| one.container_port)
    };
    spec.containers.iter().chain(sidecars).find_map(named)
}

fn same_protocol(protocol: &Option<String>, port: &ServicePort) -> bool {
    protocol.as_deref().unwrap_or("TCP") == port.protocol.as_deref().unwrap_or("TCP")
}

/// The host name that the pod has within the Service.
pub(crate) fn hostname(pod: &Pod, service: &Service) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let belongs =
        spec.subdomain == service.metadata.name && pod.metadata.namespace == service.metadata.namespace;
    spec.hostname.clone().filter(|hostname| belongs && !hostname.is_empty())
}

/// Sets an annotation, or removes it.
pub(crate) fn annotate(meta: &mut ObjectMeta, key: &str, value: Option<String>) {
    let annotations = meta.annotations.get_or_insert_default();
    match value {
        Some(value) => annotations.insert(key.to_owned(), value),
        None => annotations.remove(key),
    };
    if annotations.is_empty() {
        meta.annotations = None;
    }
}

/// How endpoints refer to the pod.
pub(crate) fn target(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".into()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check_port(target: serde_json::Value, expected: Option<i32>) {
        let pod: Pod = serde_json::from_value(json!({"spec": {
            "containers": [{"name": "c", "ports": [
                {"name": "dns", "containerPort": 5353, "protocol": "UDP"},
                {"name": "dns", "containerPort": 53}]}],
            "initContainers": [
                {"name": "once", "ports": [{"name": "init", "containerPort": 1}]},
                {"name": "side", "restartPolicy": "Always", "ports": [{"name": "mesh", "containerPort": 15001}]}],
        }}))
        .unwrap();
        let port = serde_json::from_value(json!({"port": 80, "targetPort": target})).unwrap();
        assert_eq!(target_port(&pod, &port), expected);
    }

    #[test]
    fn target_ports_are_numbers_or_names_of_running_containers() {
        check_port(json!(8080), Some(8080));
        check_port(json!(null), Some(80));
        check_port(json!("dns"), Some(53));
        check_port(json!("mesh"), Some(15001));
        check_port(json!("init"), None);
        check_port(json!("none"), None);
    }
}
