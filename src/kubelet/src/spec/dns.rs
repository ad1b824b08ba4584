//! What stands in a pod's `resolv.conf` (upstream: kubelet/network/dns).

use std::net::IpAddr;

use cri::v1::DnsConfig;
use k8s_openapi::api::core::v1::{Pod, PodDNSConfig};

use crate::pod;

const MAX_SERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_CHARACTERS: usize = 2048;

/// The cluster's part of the answer.
pub(crate) struct Cluster<'a> {
    pub server: Option<IpAddr>,
    pub domain: &'a str,
}

/// The DNS configuration of one pod; `node_file` is the node's `resolv.conf`.
pub(crate) fn config(pod: &Pod, cluster: &Cluster<'_>, node_file: &str) -> DnsConfig {
    let spec = pod::spec(pod);
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let of_cluster =
        policy == "ClusterFirstWithHostNet" || (policy == "ClusterFirst" && !pod::is_host_network(spec));
    let mut config = match (policy, cluster.server) {
        ("None", _) => DnsConfig::default(),
        (_, Some(server)) if of_cluster => {
            cluster_first(pod::namespace(pod), server, cluster.domain, parse(node_file))
        }
        _ => parse(node_file),
    };
    if let Some(own) = &spec.dns_config {
        merge(&mut config, own);
    }
    limit(config)
}

fn cluster_first(namespace: &str, server: IpAddr, domain: &str, node: DnsConfig) -> DnsConfig {
    let mut searches = Vec::new();
    if !domain.is_empty() {
        searches.extend([format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.to_owned()]);
    }
    searches.extend(node.searches);
    dedup(&mut searches);
    DnsConfig { servers: vec![server.to_string()], searches, options: vec!["ndots:5".into()] }
}

/// Reads a `resolv.conf`.
pub(crate) fn parse(file: &str) -> DnsConfig {
    let mut config = DnsConfig::default();
    for line in file.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => config.servers.extend(words.next().map(str::to_owned)),
            Some("search") => {
                config.searches = words.map(|word| trim_dot(word).to_owned()).collect();
            }
            Some("options") => config.options = words.map(str::to_owned).collect(),
            _ => {}
        }
    }
    config
}

fn trim_dot(domain: &str) -> &str {
    if domain.len() > 1 { domain.trim_end_matches('.') } else { domain }
}

fn merge(config: &mut DnsConfig, own: &PodDNSConfig) {
    config.servers.extend(own.nameservers.iter().flatten().cloned());
    dedup(&mut config.servers);
    config.searches.extend(own.searches.iter().flatten().cloned());
    dedup(&mut config.searches);
    for option in own.options.iter().flatten() {
        let name = option.name.as_deref().unwrap_or_default();
        config.options.retain(|present| present.split(':').next() != Some(name));
        config.options.push(match option.value.as_deref() {
            Some(value) if !value.is_empty() => format!("{name}:{value}"),
            _ => name.to_owned(),
        });
    }
}

fn limit(mut config: DnsConfig) -> DnsConfig {
    config.servers.truncate(MAX_SERVERS);
    config.searches.truncate(MAX_SEARCHES);
    while config.searches.join(" ").len() > MAX_SEARCH_CHARACTERS {
        config.searches.pop();
    }
    config
}

fn dedup(values: &mut Vec<String>) {
    let mut seen = std::collections::HashSet::new();
    values.retain(|value| seen.insert(value.clone()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(spec: Value, servers: &[&str], searches: &[&str], options: &[&str]) {
        let pod = serde_json::from_value(json!({"metadata": {"namespace": "a"}, "spec": spec})).unwrap();
        let cluster = Cluster { server: Some("10.96.0.10".parse().unwrap()), domain: "cluster.local" };
        let config = config(&pod, &cluster, "nameserver 1.1.1.1\nsearch corp.example.\noptions edns0\n");
        assert_eq!(config.servers, servers);
        assert_eq!(config.searches, searches);
        assert_eq!(config.options, options);
    }

    #[test]
    fn the_policy_chooses_servers_and_search_list() {
        let cluster = ["a.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example"];
        check(json!({"containers": []}), &["10.96.0.10"], &cluster, &["ndots:5"]);
        let host = json!({"containers": [], "hostNetwork": true, "dnsPolicy": "ClusterFirst"});
        check(host, &["1.1.1.1"], &["corp.example"], &["edns0"]);
        let host = json!({"containers": [], "hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet"});
        check(host, &["10.96.0.10"], &cluster, &["ndots:5"]);
    }

    #[test]
    fn the_pods_own_config_is_added() {
        let own = json!({"nameservers": ["9.9.9.9"], "searches": ["x"], "options": [{"name": "ndots", "value": "2"}, {"name": "debug"}]});
        check(
            json!({"containers": [], "dnsPolicy": "None", "dnsConfig": own}),
            &["9.9.9.9"],
            &["x"],
            &["ndots:2", "debug"],
        );
    }
}
