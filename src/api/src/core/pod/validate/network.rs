//! How a pod stands in the network and towards the host: ports, DNS, names (upstream: `validatePodHostNetworkDeps`,
//! `validatePodDNSConfig`, `validateHostUsers`, `ValidateHostAliases`).

use k8s_openapi::api::core::v1::{HostAlias, PodDNSConfig, PodSpec};
use machinery::field::{Error, ErrorList, Path};

use super::{Of, Scope, fields};
use crate::checks::{self, text};

/// In the host's network a port is the host's port; a template may still leave that open.
pub(super) fn validate_host_ports(spec: &PodSpec, of: Of<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if spec.host_network != Some(true) {
        return errors;
    }
    for (index, container) in spec.containers.iter().enumerate() {
        for (port_index, port) in container.ports.iter().flatten().enumerate() {
            let host_port = port.host_port.unwrap_or(0);
            let is_open = host_port == 0 && matches!(of, Of::Template);
            if !is_open && host_port != port.container_port {
                let path = path.index(index).child("ports").index(port_index).child("hostPort");
                let detail = "must match `containerPort` when `hostNetwork` is true";
                errors.push(Error::invalid(&path, host_port, detail));
            }
        }
    }
    errors
}

pub(super) fn validate_dns(spec: &PodSpec, path: &Path) -> ErrorList {
    let is_none = spec.dns_policy.as_deref() == Some("None");
    let Some(config) = &spec.dns_config else {
        let detail = "must provide `dnsConfig` when `dnsPolicy` is None";
        return is_none.then(|| Error::required(path, detail)).into_iter().collect();
    };
    if is_none && config.nameservers.as_ref().is_none_or(Vec::is_empty) {
        let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        return vec![Error::required(&path.child("nameservers"), detail)];
    }
    validate_dns_config(config, path)
}

fn validate_dns_config(config: &PodDNSConfig, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (servers, servers_path) =
        (config.nameservers.as_deref().unwrap_or_default(), path.child("nameservers"));
    if servers.len() > 3 {
        errors.push(Error::invalid(&servers_path, servers, "must not have more than 3 nameservers"));
    }
    for (index, server) in servers.iter().enumerate() {
        errors.extend(checks::legacy_ip(server, &servers_path.index(index)));
    }
    let (searches, path_of_searches) =
        (config.searches.as_deref().unwrap_or_default(), path.child("searches"));
    if searches.len() > 32 {
        errors.push(Error::invalid(&path_of_searches, searches, "must not have more than 32 search paths"));
    }
    if searches.join(" ").len() > 2048 {
        let detail = "must not have more than 2048 characters (including spaces) in the search list";
        errors.push(Error::invalid(&path_of_searches, searches, detail));
    }
    for (index, search) in searches.iter().enumerate().filter(|(_, search)| *search != ".") {
        let search = search.strip_suffix('.').unwrap_or(search);
        errors.extend(fields::search_domain(search, &path_of_searches.index(index)));
    }
    for (index, option) in config.options.iter().flatten().enumerate() {
        if text(&option.name).is_empty() {
            errors.push(Error::required(&path.child("options").index(index), "must not be empty"));
        }
    }
    errors
}

/// With users of its own a pod cannot share the host's namespaces.
pub(super) fn validate_host_users(scope: &Scope<'_>, path: &Path) -> ErrorList {
    let spec = scope.spec;
    if scope.host_users {
        return vec![];
    }
    let host_network = spec.host_network.filter(|_| !scope.allowed.host_network_users);
    let shared = [(host_network, "hostNetwork"), (spec.host_pid, "HostPID"), (spec.host_ipc, "HostIPC")];
    let shared = shared.into_iter().filter(|(is_shared, _)| *is_shared == Some(true));
    let refuse = |path: &Path| Error::forbidden(path, "when `hostUsers` is false");
    let mut errors: ErrorList = shared.map(|(_, name)| refuse(&path.child(name))).collect();
    if !scope.allowed.devices_with_users {
        let containers = super::containers_with_paths(spec, path).into_iter();
        let with_devices =
            containers.filter(|(container, _)| container.volume_devices.iter().flatten().next().is_some());
        errors.extend(with_devices.map(|(_, path)| refuse(&path.child("volumeDevices"))));
    }
    errors
}

pub(super) fn validate_host_name_override(spec: &PodSpec, path: &Path) -> ErrorList {
    let Some(name) = &spec.hostname_override else { return vec![] };
    let mut errors = ErrorList::new();
    if spec.set_hostname_as_fqdn == Some(true) {
        errors.push(Error::forbidden(path, "may not be specified when setHostnameAsFQDN is true"));
    }
    if spec.host_network == Some(true) {
        errors.push(Error::forbidden(path, "may not be specified when hostNetwork is true"));
    }
    if name.len() > 64 {
        errors.push(Error::too_long(path, 64));
    }
    errors.extend(checks::dns_subdomain(name, path));
    errors
}

pub(super) fn validate_host_aliases(aliases: &[HostAlias], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, alias) in aliases.iter().enumerate() {
        let path = path.index(index);
        errors.extend(checks::legacy_ip(&alias.ip, &path.child("ip")));
        for (index, name) in alias.hostnames.iter().flatten().enumerate() {
            errors.extend(checks::dns_subdomain(name, &path.child("hostnames").index(index)));
        }
    }
    errors
}
