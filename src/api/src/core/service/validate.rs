//! Validation of services (upstream: `validateService`, `ValidateServiceUpdate`).

pub(super) mod cluster_ips;
mod ports;

use k8s_openapi::api::core::v1::{LoadBalancerIngress, Service, ServiceSpec};
use machinery::field::{Error, ErrorList, Path};
use machinery::meta;

use super::{
    HINTS_ANNOTATION, MODE_ANNOTATION, is_externally_accessible, is_headless, needs_health_check, type_of,
};
use crate::checks::{self, text};

const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const SOURCE_RANGES_ANNOTATION: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const MAX_AFFINITY_SECONDS: i32 = 86_400;
const ONLY_LOAD_BALANCER: &str = "may only be used when `type` is 'LoadBalancer'";

/// Errors of a service; with `old` those of an update, where addresses that were stored under older rules may stay.
pub(super) fn validate(service: &Service, old: Option<&Service>) -> ErrorList {
    let unset = ServiceSpec::default();
    let spec = service.spec.as_ref().unwrap_or(&unset);
    let path = Path::new("spec");
    let mut errors = ErrorList::from_iter(validate_annotations(service));
    errors.extend(ports::validate_present(spec, &path));
    errors.extend(validate_type_fields(spec, &path));
    errors.extend(ports::validate(spec, &path.child("ports")));
    errors.extend(meta::validate_labels(spec.selector.as_ref(), &path.child("selector")));
    errors.extend(validate_affinity(spec, &path));
    let old_spec = old.and_then(|old| old.spec.as_ref());
    errors.extend(cluster_ips::validate(spec, old_spec, &path));
    for (index, ip) in spec.external_ips.iter().flatten().enumerate() {
        errors.extend(validate_external_ip(ip, old, &path.child("externalIPs").index(index)));
    }
    errors.extend(checks::one_of(spec.type_.as_deref(), TYPES, &path.child("type")));
    errors.extend(ports::validate_node_ports(spec, &path.child("ports")));
    errors.extend(ports::validate_unique(spec, &path.child("ports")));
    errors.extend(validate_source_ranges(service, spec, old, &path));
    errors.extend(validate_load_balancer(spec, &path));
    errors.extend(validate_traffic(spec, &path));
    errors
}

fn validate_annotations(service: &Service) -> Option<Error> {
    let annotations = service.metadata.annotations.as_ref()?;
    let (mode, hints) = (annotations.get(MODE_ANNOTATION)?, annotations.get(HINTS_ANNOTATION)?);
    let path = Path::new("metadata.annotations").key(MODE_ANNOTATION);
    let detail = format!("must match annotations[{HINTS_ANNOTATION}] when both are specified");
    (mode != hints).then(|| Error::invalid(&path, mode.as_str(), detail))
}

fn validate_type_fields(spec: &ServiceSpec, path: &Path) -> ErrorList {
    match type_of(spec) {
        type_ @ ("LoadBalancer" | "NodePort") if is_headless(spec) => {
            let detail = format!("may not be set to 'None' for {type_} services");
            vec![Error::invalid(&path.child("clusterIPs").index(0), "None", detail)]
        }
        "ExternalName" => validate_external_name(spec, path),
        _ => vec![],
    }
}

fn validate_external_name(spec: &ServiceSpec, path: &Path) -> ErrorList {
    let has_some = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    let unfit = [
        ("clusterIPs", has_some(&spec.cluster_ips)),
        ("ipFamilies", has_some(&spec.ip_families)),
        ("ipFamilyPolicy", spec.ip_family_policy.is_some()),
    ];
    let detail = "may not be set for ExternalName services";
    let mut errors: ErrorList = unfit
        .into_iter()
        .filter(|(_, is_set)| *is_set)
        .map(|(name, _)| Error::forbidden(&path.child(name), detail))
        .collect();
    let name = text(&spec.external_name);
    let path = path.child("externalName");
    match name.strip_suffix('.').unwrap_or(name) {
        "" => errors.push(Error::required(&path, "")),
        name => errors.extend(checks::dns_subdomain(name, &path)),
    }
    errors
}

fn validate_affinity(spec: &ServiceSpec, path: &Path) -> ErrorList {
    let supported = &["ClientIP", "None"];
    let affinity = spec.session_affinity.as_deref();
    let mut errors = checks::one_of(affinity, supported, &path.child("sessionAffinity"));
    let path = path.child("sessionAffinityConfig");
    match (affinity, &spec.session_affinity_config) {
        (Some("None"), Some(_)) => {
            errors.push(Error::forbidden(&path, "must not be set when session affinity is None"));
        }
        (Some("ClientIP"), config) => {
            let seconds = config.as_ref().and_then(|config| config.client_ip.as_ref()?.timeout_seconds);
            errors.extend(validate_affinity_seconds(seconds, &path));
        }
        _ => {}
    }
    errors
}

fn validate_affinity_seconds(seconds: Option<i32>, path: &Path) -> Option<Error> {
    let Some(seconds) = seconds else {
        return Some(Error::required(path, "when session affinity type is ClientIP"));
    };
    let detail = format!("must be greater than 0 and less than {MAX_AFFINITY_SECONDS}");
    let path = path.child("clientIP.timeoutSeconds");
    (!(1..=MAX_AFFINITY_SECONDS).contains(&seconds)).then(|| Error::invalid(&path, seconds, detail))
}

fn validate_external_ip(ip: &str, old: Option<&Service>, path: &Path) -> ErrorList {
    let old = old.and_then(|old| old.spec.as_ref()?.external_ips.as_ref());
    let errors = checks::kept_ip(ip, old.into_iter().flatten().map(String::as_str), path);
    if errors.is_empty() { checks::endpoint_ip(ip, path) } else { errors }
}

fn validate_source_ranges(
    service: &Service,
    spec: &ServiceSpec,
    old: Option<&Service>,
    path: &Path,
) -> ErrorList {
    let ranges = spec.load_balancer_source_ranges.as_deref().unwrap_or_default();
    let annotation = source_ranges_annotation(service);
    let old_ranges = old.and_then(|old| old.spec.as_ref()?.load_balancer_source_ranges.as_deref());
    let old_ranges = || old_ranges.into_iter().flatten().map(|range| range.trim());
    let is_balancer = type_of(spec) == "LoadBalancer";
    let mut errors = ErrorList::new();
    if !ranges.is_empty() {
        let path = path.child("LoadBalancerSourceRanges");
        if !is_balancer {
            errors.push(Error::forbidden(&path, ONLY_LOAD_BALANCER));
        }
        for (index, range) in ranges.iter().enumerate() {
            errors.extend(checks::kept_cidr(range.trim(), old_ranges(), &path.index(index)));
        }
    } else if let Some(annotation) = annotation {
        let path = Path::new("metadata.annotations").key(SOURCE_RANGES_ANNOTATION);
        if !is_balancer {
            errors.push(Error::forbidden(&path, ONLY_LOAD_BALANCER));
        }
        let is_kept = old.and_then(source_ranges_annotation) == Some(annotation);
        let is_looked_at = !is_kept && !annotation.trim().is_empty();
        let ranges = annotation.split(',').map(str::trim).filter(|_| is_looked_at);
        errors.extend(ranges.flat_map(|range| checks::legacy_cidr(range, &path)));
    }
    errors
}

fn source_ranges_annotation(service: &Service) -> Option<&String> {
    service.metadata.annotations.as_ref()?.get(SOURCE_RANGES_ANNOTATION)
}

fn validate_load_balancer(spec: &ServiceSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let is_balancer = type_of(spec) == "LoadBalancer";
    match spec.allocate_load_balancer_node_ports {
        Some(_) if !is_balancer => {
            errors.push(Error::forbidden(&path.child("allocateLoadBalancerNodePorts"), ONLY_LOAD_BALANCER));
        }
        None if is_balancer => errors.push(Error::required(&Path::new("allocateLoadBalancerNodePorts"), "")),
        _ => {}
    }
    errors.extend(validate_class(spec, path));
    errors
}

fn validate_class(spec: &ServiceSpec, path: &Path) -> ErrorList {
    let path = path.child("loadBalancerClass");
    match &spec.load_balancer_class {
        Some(class) if type_of(spec) == "LoadBalancer" => checks::qualified_name(class, &path),
        Some(_) => vec![Error::forbidden(&path, ONLY_LOAD_BALANCER)],
        None => vec![],
    }
}

fn validate_traffic(spec: &ServiceSpec, path: &Path) -> ErrorList {
    let mut errors = validate_external_traffic(spec, path);
    let policies = &["Cluster", "Local"];
    let internal = path.child("internalTrafficPolicy");
    match &spec.internal_traffic_policy {
        Some(policy) => errors.extend(checks::supported_only(policy, policies, &internal)),
        None if matches!(type_of(spec), "ClusterIP" | "NodePort" | "LoadBalancer") => {
            errors.push(Error::required(&internal, ""));
        }
        None => {}
    }
    if let Some(distribution) = &spec.traffic_distribution {
        let supported = &["PreferClose", "PreferSameZone", "PreferSameNode"];
        let wrong = checks::supported_only(distribution, supported, &path.child("trafficDistribution"));
        errors.extend(wrong.into_iter().map(Error::plain));
    }
    errors
}

fn validate_external_traffic(spec: &ServiceSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let policy = text(&spec.external_traffic_policy);
    let policy_path = path.child("externalTrafficPolicy");
    if is_externally_accessible(spec) {
        errors.extend(checks::one_of(Some(policy), &["Cluster", "Local"], &policy_path));
    } else if !policy.is_empty() {
        let detail = "may only be set for externally-accessible services";
        errors.push(Error::invalid(&policy_path, policy, detail).named());
    }
    let port = spec.health_check_node_port.unwrap_or_default();
    let port_path = path.child("healthCheckNodePort");
    match (needs_health_check(spec), port) {
        (false, 0) => {}
        (false, _) => {
            let detail =
                "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            errors.push(Error::invalid(&port_path, port, detail));
        }
        (true, 0) => errors.push(Error::required(&port_path, "")),
        (true, _) => errors.extend(checks::port_number(port, &port_path)),
    }
    errors
}

/// What an update may not change.
pub(super) fn validate_change(new: &Service, old: &Service) -> ErrorList {
    let (new, old) = (new.spec.clone().unwrap_or_default(), old.spec.clone().unwrap_or_default());
    let path = Path::new("spec");
    let mut errors = cluster_ips::validate_change(&new, &old, &path);
    let stays_balancer = type_of(&old) == "LoadBalancer" && type_of(&new) == "LoadBalancer";
    if stays_balancer && new.load_balancer_class != old.load_balancer_class {
        let path = path.child("loadBalancerClass");
        errors.push(Error::invalid(&path, &new.load_balancer_class, "may not change once set"));
    }
    errors.extend(validate_class(&new, &path));
    let keeps_health_check = needs_health_check(&old) && needs_health_check(&new);
    if keeps_health_check && new.health_check_node_port != old.health_check_node_port {
        errors.push(Error::forbidden(&path.child("healthCheckNodePort"), "field is immutable"));
    }
    errors
}

/// Errors of a service's status.
pub(super) fn validate_status(service: &Service, old: &Service) -> ErrorList {
    let ingress = ingress_of(service);
    let kept: Vec<&str> = ingress_of(old).iter().map(|old| text(&old.ip)).collect();
    let path = Path::new("status.loadBalancer.ingress");
    let is_balancer = service.spec.as_ref().map(type_of) == Some("LoadBalancer");
    if !is_balancer && !ingress.is_empty() {
        return vec![Error::forbidden(&path, "may only be used when `spec.type` is 'LoadBalancer'")];
    }
    ingress
        .iter()
        .enumerate()
        .flat_map(|(index, point)| validate_ingress(point, &kept, &path.index(index)))
        .collect()
}

fn ingress_of(service: &Service) -> &[LoadBalancerIngress] {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default()
}

fn validate_ingress(ingress: &LoadBalancerIngress, kept: &[&str], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let ip = text(&ingress.ip);
    if !ip.is_empty() {
        errors.extend(checks::kept_ip(ip, kept.iter().copied(), &path.child("ip")));
    }
    let mode_path = path.child("ipMode");
    match &ingress.ip_mode {
        None if !ip.is_empty() => {
            errors.push(Error::required(&mode_path, "must be specified when `ip` is set"));
        }
        Some(_) if ip.is_empty() => {
            errors.push(Error::forbidden(&mode_path, "may not be specified when `ip` is not set"));
        }
        Some(mode) => errors.extend(checks::supported_only(mode, &["Proxy", "VIP"], &mode_path)),
        None => {}
    }
    let hostname = text(&ingress.hostname);
    if !hostname.is_empty() {
        let path = path.child("hostname");
        errors.extend(checks::dns_subdomain(hostname, &path));
        if checks::parse_ip(hostname).is_some() {
            errors.push(Error::invalid(&path, hostname, "must be a DNS name, not an IP address"));
        }
    }
    errors
}
