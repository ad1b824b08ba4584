//! From a pod to the configuration of its sandbox.

use std::path::PathBuf;

use cri::v1::{
    DnsConfig, Int64Value, LinuxPodSandboxConfig, LinuxSandboxSecurityContext, PodSandboxConfig,
    PodSandboxMetadata, PortMapping, Protocol, SecurityProfile, SupplementalGroupsPolicy,
    security_profile::ProfileType,
};
use k8s_openapi::api::core::v1::{Pod, PodSpec};

use super::{labels, resources, security};
use crate::{
    admit::sysctls::dotted,
    pod::{self, Role},
};

const MAX_HOSTNAME: usize = 63;

/// What the configuration needs beyond the pod itself.
pub(crate) struct Surroundings<'a> {
    pub attempt: u32,
    pub dns: DnsConfig,
    pub log_directory: PathBuf,
    pub cgroup_parent: &'a str,
    pub cluster_domain: &'a str,
    /// See [`labels::MADE_BY`].
    pub made_by: &'a str,
}

/// The configuration of the pod's sandbox; the same for `RunPodSandbox` and for the containers in it.
pub(crate) fn config(pod: &Pod, around: Surroundings<'_>) -> Result<PodSandboxConfig, String> {
    let spec = pod::spec(pod);
    refuse_what_is_not_built(spec)?;
    let hostname = match pod::is_host_network(spec) {
        true => String::new(),
        false => kernel_hostname(pod, around.cluster_domain)?,
    };
    Ok(PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: pod::name(pod).into(),
            uid: pod::uid(pod).into(),
            namespace: pod::namespace(pod).into(),
            attempt: around.attempt,
        }),
        hostname,
        log_directory: around.log_directory.display().to_string(),
        dns_config: Some(around.dns),
        port_mappings: port_mappings(pod),
        labels: labels::of_sandbox(pod),
        annotations: labels::sandbox_annotations(pod, around.made_by),
        linux: Some(linux(pod, around.cgroup_parent)),
        ..PodSandboxConfig::default()
    })
}

/// A pod that asks for what this node has not must not run without it.
fn refuse_what_is_not_built(spec: &PodSpec) -> Result<(), String> {
    if let Some(class) = &spec.runtime_class_name {
        return Err(format!("failed to get sandbox runtime: RuntimeClass {class:?} not found"));
    }
    if spec.host_users == Some(false) {
        return Err("user namespaces (hostUsers: false) are not supported on this node".into());
    }
    if spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
        return Err("dynamic resources (resourceClaims) are not supported on this node".into());
    }
    let mut containers = pod::containers(spec).map(|(_, container)| container);
    if containers.any(|container| container.volume_devices.as_ref().is_some_and(|list| !list.is_empty())) {
        return Err("block devices (volumeDevices) are not supported on this node".into());
    }
    Ok(())
}

fn linux(pod: &Pod, cgroup_parent: &str) -> LinuxPodSandboxConfig {
    let spec = pod::spec(pod);
    let context = spec.security_context.clone().unwrap_or_default();
    let privileged = spec.containers.iter().chain(pod::init_containers(spec)).any(|container| {
        container.security_context.as_ref().is_some_and(|context| context.privileged == Some(true))
    });
    let sysctls =
        context.sysctls.into_iter().flatten().map(|sysctl| (dotted(&sysctl.name), sysctl.value)).collect();
    LinuxPodSandboxConfig {
        cgroup_parent: cgroup_parent.into(),
        security_context: Some(LinuxSandboxSecurityContext {
            namespace_options: Some(security::namespaces(pod)),
            selinux_options: context.se_linux_options.map(security::selinux),
            run_as_user: context.run_as_user.map(|value| Int64Value { value }),
            run_as_group: context.run_as_group.map(|value| Int64Value { value }),
            supplemental_groups: security::supplemental_groups(pod),
            supplemental_groups_policy: match context.supplemental_groups_policy.as_deref() {
                Some("Strict") => SupplementalGroupsPolicy::Strict.into(),
                _ => SupplementalGroupsPolicy::Merge.into(),
            },
            privileged,
            seccomp: Some(SecurityProfile {
                profile_type: ProfileType::RuntimeDefault.into(),
                localhost_ref: String::new(),
            }),
            ..LinuxSandboxSecurityContext::default()
        }),
        sysctls,
        resources: Some(resources::of_pod(pod)),
        ..LinuxPodSandboxConfig::default()
    }
}

fn port_mappings(pod: &Pod) -> Vec<PortMapping> {
    let containers = pod::containers(pod::spec(pod)).filter(|(role, _)| *role != Role::Init);
    let ports = containers.flat_map(|(_, container)| container.ports.iter().flatten());
    ports
        .map(|port| PortMapping {
            protocol: match port.protocol.as_deref() {
                Some("UDP") => Protocol::Udp,
                Some("SCTP") => Protocol::Sctp,
                _ => Protocol::Tcp,
            }
            .into(),
            container_port: port.container_port,
            host_port: port.host_port.unwrap_or(0),
            host_ip: port.host_ip.clone().unwrap_or_default(),
        })
        .collect()
}

/// The pod's name for itself and the domain it is in (empty without a subdomain).
pub(crate) fn hostname_and_domain(pod: &Pod, cluster_domain: &str) -> (String, String) {
    let spec = pod::spec(pod);
    let set = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
    if let Some(name) = set(&spec.hostname_override) {
        return (name, String::new());
    }
    let hostname = set(&spec.hostname).unwrap_or_else(|| truncated(pod::name(pod)).to_owned());
    let domain = set(&spec.subdomain)
        .map(|subdomain| format!("{subdomain}.{}.svc.{cluster_domain}", pod::namespace(pod)))
        .unwrap_or_default();
    (hostname, domain)
}

fn truncated(name: &str) -> &str {
    name.get(..MAX_HOSTNAME).unwrap_or(name).trim_end_matches(['-', '.'])
}

/// What the kernel is told: the bare name, or the full one where the pod asks for it.
fn kernel_hostname(pod: &Pod, cluster_domain: &str) -> Result<String, String> {
    const KERNEL_LIMIT: usize = 64;
    let (hostname, domain) = hostname_and_domain(pod, cluster_domain);
    if pod::spec(pod).set_hostname_as_fqdn != Some(true) || domain.is_empty() {
        return Ok(hostname);
    }
    let full = format!("{hostname}.{domain}");
    match full.len() {
        0..=KERNEL_LIMIT => Ok(full),
        length => Err(format!(
            "failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long ({KERNEL_LIMIT} is the max characters, {length} characters requested)"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(name: &str, mut spec: Value, expected: (&str, &str)) {
        spec["containers"] = json!([]);
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": name, "namespace": "n"}, "spec": spec}))
                .unwrap();
        let (hostname, domain) = hostname_and_domain(&pod, "cluster.local");
        assert_eq!((hostname.as_str(), domain.as_str()), expected);
    }

    #[test]
    fn a_pod_is_called_as_its_spec_says_or_by_its_own_name() {
        check("web-1", json!({}), ("web-1", ""));
        check("web-1", json!({"hostname": "h", "subdomain": "s"}), ("h", "s.n.svc.cluster.local"));
        let long = format!("{}-tail", "a".repeat(62));
        check(&long, json!({}), (&"a".repeat(62), ""));
    }

    #[test]
    fn what_the_node_has_not_is_refused() {
        let refused = |spec: Value| {
            let spec = serde_json::from_value(spec).unwrap();
            refuse_what_is_not_built(&spec).err().unwrap_or_default()
        };
        let nothing = json!([]);
        assert_eq!(refused(json!({"containers": nothing, "hostUsers": true, "resourceClaims": []})), "");
        assert_eq!(
            refused(json!({"containers": nothing, "runtimeClassName": "x"})),
            "failed to get sandbox runtime: RuntimeClass \"x\" not found"
        );
        assert!(refused(json!({"containers": nothing, "hostUsers": false})).contains("user namespaces"));
        assert!(
            refused(json!({"containers": nothing, "resourceClaims": [{"name": "x"}]})).contains("dynamic")
        );
        let devices = json!([{"name": "c", "volumeDevices": [{"name": "v", "devicePath": "/dev/x"}]}]);
        assert!(refused(json!({"containers": devices})).contains("block devices"));
    }
}
