//! What holds for the whole cluster and every node must know: address ranges, the DNS domain, how pods of different nodes
//! reach each other.
//!
//! The server knows it from its arguments and publishes it; an agent reads it from ConfigMap `kube-system/coxswain-config`
//! before it starts a node.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::str::FromStr;

use anyhow::Context;
use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::ConfigMap;
use network::Backend;

/// The ConfigMap's namespace.
pub(crate) const NAMESPACE: &str = "kube-system";
/// The ConfigMap's name.
pub(crate) const NAME: &str = "coxswain-config";

/// The settings; each key of the ConfigMap is called as the server's flag is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The range that pods get their addresses from.
    pub(crate) cluster_cidr: Ipv4Net,
    /// The range that services get their addresses from.
    pub(crate) service_cidr: Ipv4Net,
    /// The cluster's DNS domain.
    pub(crate) cluster_domain: String,
    /// The address of the cluster's DNS service.
    pub(crate) cluster_dns: Ipv4Addr,
    /// How pods of different nodes reach each other.
    pub(crate) pod_network: Backend,
}

impl Settings {
    /// As the ConfigMap has them.
    pub(crate) fn to_data(&self) -> BTreeMap<String, String> {
        [
            ("cluster-cidr", self.cluster_cidr.to_string()),
            ("service-cidr", self.service_cidr.to_string()),
            ("cluster-domain", self.cluster_domain.clone()),
            ("cluster-dns", self.cluster_dns.to_string()),
            ("pod-network", self.pod_network.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    /// Reads the ConfigMap.
    ///
    /// # Errors
    /// A key is missing or its value cannot be read: it is named.
    pub(crate) fn read(map: &ConfigMap) -> anyhow::Result<Self> {
        let data = map.data.clone().unwrap_or_default();
        Ok(Self {
            cluster_cidr: value(&data, "cluster-cidr")?,
            service_cidr: value(&data, "service-cidr")?,
            cluster_domain: value(&data, "cluster-domain")?,
            cluster_dns: value(&data, "cluster-dns")?,
            pod_network: value(&data, "pod-network")?,
        })
    }
}

fn value<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    data: &BTreeMap<String, String>,
    key: &str,
) -> anyhow::Result<T> {
    let text = data.get(key).with_context(|| format!("ConfigMap {NAMESPACE}/{NAME} has no key {key}"))?;
    text.parse().with_context(|| format!("ConfigMap {NAMESPACE}/{NAME}: {key} is {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_back_from_the_config_map_and_what_is_missing_is_named() {
        let settings = Settings {
            cluster_cidr: "10.244.0.0/16".parse().unwrap(),
            service_cidr: "10.96.0.0/16".parse().unwrap(),
            cluster_domain: "cluster.local".into(),
            cluster_dns: Ipv4Addr::new(10, 96, 0, 10),
            pod_network: Backend::Vxlan,
        };
        let mut map = ConfigMap { data: Some(settings.to_data()), ..ConfigMap::default() };
        assert_eq!(Settings::read(&map).unwrap(), settings);
        map.data.as_mut().unwrap().remove("cluster-dns");
        let missing = Settings::read(&map).unwrap_err().to_string();
        assert_eq!(missing, "ConfigMap kube-system/coxswain-config has no key cluster-dns");
    }
}
