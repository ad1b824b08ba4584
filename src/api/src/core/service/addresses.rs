//! The fields of a Service that hold allocated values: kept where an update leaves them out, dropped where a change of
//! type makes them superfluous, completed where several fields say the same (upstream: `patchAllocatedValues`,
//! `dropTypeDependentFields`, `normalizeClusterIPs`, `initIPFamilyFields`). Allocates nothing.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::ServiceSpec;
use machinery::field::{Error, ErrorList, Path};

use super::validate::cluster_ips as allocation;
use super::{cluster_ips, is_externally_accessible, needs_health_check, type_of};
use crate::checks::{self, text};

const SINGLE_STACK: &str = "SingleStack";
const REQUIRE_DUAL_STACK: &str = "RequireDualStack";

fn needs_cluster_ip(spec: &ServiceSpec) -> bool {
    type_of(spec) != "ExternalName"
}

fn can_have_node_ports(spec: &ServiceSpec) -> bool {
    matches!(type_of(spec), "NodePort" | "LoadBalancer")
}

fn needs_node_ports(spec: &ServiceSpec) -> bool {
    match type_of(spec) {
        "NodePort" => true,
        "LoadBalancer" => spec.allocate_load_balancer_node_ports.unwrap_or(true),
        _ => false,
    }
}

fn node_ports(spec: &ServiceSpec) -> BTreeSet<i32> {
    spec.ports.iter().flatten().filter_map(|port| port.node_port).filter(|&port| port != 0).collect()
}

fn same_cluster_ips(new: &ServiceSpec, old: &ServiceSpec) -> bool {
    text(&new.cluster_ip) == text(&old.cluster_ip) && cluster_ips(new) == cluster_ips(old)
}

/// Drops what the new type cannot have, where the user did not touch it.
pub(super) fn drop_unused(new: &mut ServiceSpec, old: &ServiceSpec) {
    if needs_cluster_ip(old) && !needs_cluster_ip(new) {
        if same_cluster_ips(new, old) {
            new.cluster_ip = None;
            new.cluster_ips = None;
        }
        if new.ip_families == old.ip_families {
            new.ip_families = None;
        }
        if new.ip_family_policy == old.ip_family_policy {
            new.ip_family_policy = None;
        }
    }
    let loses_node_ports = can_have_node_ports(old) && !can_have_node_ports(new);
    if loses_node_ports && node_ports(new).is_subset(&node_ports(old)) {
        new.ports.iter_mut().flatten().for_each(|port| port.node_port = None);
    }
    let loses_health_check = needs_health_check(old) && !needs_health_check(new);
    if loses_health_check && new.health_check_node_port == old.health_check_node_port {
        new.health_check_node_port = None;
    }
    if type_of(old) == "LoadBalancer" && type_of(new) != "LoadBalancer" {
        if new.allocate_load_balancer_node_ports == old.allocate_load_balancer_node_ports {
            new.allocate_load_balancer_node_ports = None;
        }
        if new.load_balancer_class == old.load_balancer_class {
            new.load_balancer_class = None;
        }
    }
    let loses_access = is_externally_accessible(old) && !is_externally_accessible(new);
    if loses_access && new.external_traffic_policy == old.external_traffic_policy {
        new.external_traffic_policy = None;
    }
}

/// Takes over allocated values that the update leaves out, so that a manifest can be applied again.
pub(super) fn keep_allocated(new: &mut ServiceSpec, old: &ServiceSpec) {
    if needs_cluster_ip(old) && needs_cluster_ip(new) {
        if text(&new.cluster_ip).is_empty() {
            new.cluster_ip = old.cluster_ip.clone();
        }
        if cluster_ips(new).is_empty() {
            new.cluster_ips = old.cluster_ips.clone();
        }
    }
    if needs_node_ports(old) && needs_node_ports(new) {
        keep_node_ports(new, old);
    }
    if needs_health_check(old) && needs_health_check(new) && new.health_check_node_port.unwrap_or(0) == 0 {
        new.health_check_node_port = old.health_check_node_port;
    }
}

/// A port without a node port gets the one that the port of its name had, unless the update gives that to another.
fn keep_node_ports(new: &mut ServiceSpec, old: &ServiceSpec) {
    let taken: BTreeSet<i32> = node_ports(old).intersection(&node_ports(new)).copied().collect();
    let by_name: BTreeMap<&str, i32> =
        old.ports.iter().flatten().map(|port| (text(&port.name), port.node_port.unwrap_or(0))).collect();
    for port in new.ports.iter_mut().flatten().filter(|port| port.node_port.unwrap_or(0) == 0) {
        let had = by_name.get(text(&port.name)).copied().filter(|had| *had != 0 && !taken.contains(had));
        port.node_port = had;
    }
}

/// Brings `clusterIP` and `clusterIPs` in line and completes the address families, where nothing is wrong with them; the
/// answer says whether that is so.
pub(super) fn prepare(new: &mut ServiceSpec, old: Option<&ServiceSpec>) -> bool {
    normalize(new, old);
    let mut completed = new.clone();
    let is_right = init_families(&mut completed, old).is_empty();
    if is_right {
        *new = completed;
    } else if old.is_none() {
        new.ip_family_policy = completed.ip_family_policy;
    }
    is_right
}

fn normalize(new: &mut ServiceSpec, old: Option<&ServiceSpec>) {
    let ip = text(&new.cluster_ip).to_owned();
    let Some(old) = old else {
        if !ip.is_empty() && cluster_ips(new).is_empty() {
            new.cluster_ips = Some(vec![ip]);
        }
        return;
    };
    let old_ip = text(&old.cluster_ip);
    if cluster_ips(new).is_empty() && old_ip == ip {
        new.cluster_ips = old.cluster_ips.clone();
    }
    if old_ip != ip && cluster_ips(new) == cluster_ips(old) {
        new.cluster_ips = (!ip.is_empty()).then(|| vec![ip]);
    }
}

/// Completes policy and families, or says what is wrong with them; each check is only made where the ones before it find
/// nothing. The cluster has IPv4 only. A headless service without selector takes whatever its endpoints have.
pub(super) fn init_families(new: &mut ServiceSpec, old: Option<&ServiceSpec>) -> ErrorList {
    if !needs_cluster_ip(new) || old.is_some_and(|old| is_settled(new, old)) {
        return vec![];
    }
    let has_no_pods = text(&new.cluster_ip) == "None" && new.selector.as_ref().is_none_or(BTreeMap::is_empty);
    if new.ip_family_policy.is_none() {
        let policy = if has_no_pods { REQUIRE_DUAL_STACK } else { SINGLE_STACK };
        let old_policy = old.and_then(|old| old.ip_family_policy.clone());
        new.ip_family_policy = Some(old_policy.unwrap_or_else(|| policy.to_owned()));
    }
    let path = Path::new("spec");
    let errors = allocation::validate(new, old, &path);
    if !errors.is_empty() {
        return errors;
    }
    if let Some(old) = old {
        release_secondary(new, old);
    }
    let mut errors = allocation::validate_policy(new, old, &path);
    errors.extend(infer_families(new, &path));
    if !errors.is_empty() {
        return errors;
    }
    let families = new.ip_families.get_or_insert_default();
    if has_no_pods {
        add_families(families, text(&new.ip_family_policy) == SINGLE_STACK);
        return vec![];
    }
    let errors = allocation::validate_families(new, &path);
    if errors.is_empty() && families_of(new).is_empty() {
        new.ip_families = Some(vec!["IPv4".to_owned()]);
    }
    errors
}

/// Whether nothing is to be allocated or released: a service that merely prefers two families keeps what it has.
fn is_settled(new: &ServiceSpec, old: &ServiceSpec) -> bool {
    let prefers = |policy: &Option<String>| policy.as_deref() == Some("PreferDualStack");
    let has_addresses = matches!(type_of(new), "ClusterIP" | "NodePort" | "LoadBalancer");
    type_of(new) == type_of(old)
        && has_addresses
        && prefers(&new.ip_family_policy)
        && (old.ip_family_policy.is_none() || prefers(&old.ip_family_policy))
        && cluster_ips(new) == cluster_ips(old)
        && families_of(new) == families_of(old)
}

fn families_of(spec: &ServiceSpec) -> &[String] {
    spec.ip_families.as_deref().unwrap_or_default()
}

/// A service that becomes single-stack gives up what it had of the second family.
fn release_secondary(new: &mut ServiceSpec, old: &ServiceSpec) {
    if text(&new.ip_family_policy) != SINGLE_STACK {
        return;
    }
    let (keeps_ips, keeps_families) =
        (cluster_ips(new) == cluster_ips(old), families_of(new) == families_of(old));
    if let (true, Some(ips)) = (keeps_ips, &mut new.cluster_ips) {
        ips.truncate(1);
    }
    if let (true, Some(families)) = (keeps_families, &mut new.ip_families) {
        families.truncate(1);
    }
}

/// Families of addresses that are given without one.
fn infer_families(new: &mut ServiceSpec, path: &Path) -> ErrorList {
    let ips = cluster_ips(new).to_vec();
    let families = new.ip_families.get_or_insert_default();
    let mut errors = ErrorList::new();
    for (index, ip) in ips.iter().enumerate().take_while(|(_, ip)| *ip != "None") {
        match family_of(ip) {
            _ if index < families.len() => {}
            Some("IPv4") => families.push("IPv4".to_owned()),
            other => {
                let detail = format!("{} is not configured on this cluster", other.unwrap_or("unknown"));
                errors.push(Error::invalid(&path.child("clusterIPs").index(index), &ips, detail));
            }
        }
    }
    errors
}

fn add_families(families: &mut Vec<String>, is_single: bool) {
    if families.is_empty() {
        families.push("IPv4".to_owned());
    }
    if !is_single && families.len() == 1 {
        let other = if families[0] == "IPv4" { "IPv6" } else { "IPv4" };
        families.push(other.to_owned());
    }
}

fn family_of(ip: &str) -> Option<&'static str> {
    let address = checks::parse_ip(ip)?.to_canonical();
    Some(if address.is_ipv4() { "IPv4" } else { "IPv6" })
}
