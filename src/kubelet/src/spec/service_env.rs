//! The environment variables that tell a container where the services are (upstream: kubelet/envvars).

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::Service;

/// Variables for a pod in `namespace`: `default/kubernetes` always, the namespace's own services if it wants links.
pub(crate) fn service_env(
    services: &[Arc<Service>],
    namespace: &str,
    links: bool,
) -> BTreeMap<String, String> {
    let mut chosen: BTreeMap<&str, &Service> = BTreeMap::new();
    for service in services {
        let name = service.metadata.name.as_deref().unwrap_or_default();
        let of = service.metadata.namespace.as_deref().unwrap_or_default();
        if cluster_ip(service).is_none() {
            continue;
        }
        if of == namespace && links {
            chosen.insert(name, service);
        } else if of == "default" && name == "kubernetes" {
            chosen.entry(name).or_insert(service);
        }
    }
    chosen.into_iter().flat_map(|(name, service)| variables(name, service)).collect()
}

fn cluster_ip(service: &Service) -> Option<&str> {
    let ip = service.spec.as_ref()?.cluster_ip.as_deref()?;
    (!ip.is_empty() && ip != "None").then_some(ip)
}

fn variables(name: &str, service: &Service) -> Vec<(String, String)> {
    let (Some(ip), Some(spec)) = (cluster_ip(service), service.spec.as_ref()) else { return Vec::new() };
    let ports = spec.ports.as_deref().unwrap_or_default();
    let Some(first) = ports.first() else { return Vec::new() };
    let prefix = variable_name(name);
    let mut out = vec![
        (format!("{prefix}_SERVICE_HOST"), ip.to_owned()),
        (format!("{prefix}_SERVICE_PORT"), first.port.to_string()),
    ];
    for port in ports {
        if let Some(port_name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            out.push((format!("{prefix}_SERVICE_PORT_{}", variable_name(port_name)), port.port.to_string()));
        }
    }
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    for (index, port) in ports.iter().enumerate() {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let url = format!("{}://{host}:{}", protocol.to_lowercase(), port.port);
        if index == 0 {
            out.push((format!("{prefix}_PORT"), url.clone()));
        }
        let port_prefix = format!("{prefix}_PORT_{}_{}", port.port, protocol.to_uppercase());
        out.extend([
            (port_prefix.clone(), url),
            (format!("{port_prefix}_PROTO"), protocol.to_lowercase()),
            (format!("{port_prefix}_PORT"), port.port.to_string()),
            (format!("{port_prefix}_ADDR"), ip.to_owned()),
        ]);
    }
    out
}

fn variable_name(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn service(namespace: &str, name: &str, ip: &str) -> Arc<Service> {
        let ports = json!([{"name": "https", "port": 443, "protocol": "TCP"}]);
        let spec = json!({"clusterIP": ip, "ports": ports});
        Arc::new(
            serde_json::from_value(json!({"metadata": {"name": name, "namespace": namespace}, "spec": spec}))
                .unwrap(),
        )
    }

    #[test]
    fn only_the_kubernetes_service_is_told_where_links_are_off() {
        let services = [service("default", "kubernetes", "10.96.0.1"), service("a", "my-db", "10.96.0.9")];
        let env = service_env(&services, "a", false);
        assert_eq!(env["KUBERNETES_SERVICE_HOST"], "10.96.0.1");
        assert_eq!(env["KUBERNETES_SERVICE_PORT_HTTPS"], "443");
        assert_eq!(env["KUBERNETES_PORT_443_TCP"], "tcp://10.96.0.1:443");
        assert!(!env.contains_key("MY_DB_SERVICE_HOST"));
    }

    #[test]
    fn own_services_are_told_and_headless_ones_are_not() {
        let services = [
            service("a", "my-db", "10.96.0.9"),
            service("a", "none", "None"),
            service("b", "x", "10.96.0.8"),
        ];
        let env = service_env(&services, "a", true);
        assert_eq!(env["MY_DB_PORT_443_TCP_ADDR"], "10.96.0.9");
        assert_eq!(env.keys().filter(|key| key.ends_with("_SERVICE_HOST")).count(), 1);
    }
}
