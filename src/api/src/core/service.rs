//! Service (upstream: `pkg/registry/core/service`).
//!
//! Addresses and node ports are allocated by the API server between preparation and validation: [`addresses`] makes
//! ready what it allocates from, and what it leaves to allocate is what is still empty afterwards.

mod addresses;
mod columns;
mod validate;

use k8s_openapi::api::core::v1::{ClientIPConfig, Service, ServiceSpec, SessionAffinityConfig};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use k8s_openapi::jiff::Timestamp;
use machinery::field::{ErrorList, Path};
use machinery::table::Column;
use serde_json::Value;

use crate::kind::{Context, Kind, Selectable, Subresource};
use crate::{checks, defaults, names};

const AFFINITY_SECONDS: i32 = 3 * 60 * 60;
const HINTS_ANNOTATION: &str = "service.kubernetes.io/topology-aware-hints";
const MODE_ANNOTATION: &str = "service.kubernetes.io/topology-mode";

impl Kind for Service {
    const SINGULAR: &'static str = "service";
    const SHORT_NAMES: &'static [&'static str] = &["svc"];
    const CATEGORIES: &'static [&'static str] = &["all"];
    const NAMESPACED: bool = true;
    const SUBRESOURCES: &'static [Subresource] = &[Subresource::Status];
    const ALLOW_CREATE_ON_UPDATE: bool = true;
    const RETURNS_DELETED: bool = true;
    const FIELDS: &'static [Selectable] = &[
        Selectable::new("spec.clusterIP", &[&["spec", "clusterIP"]]),
        Selectable::new("spec.type", &[&["spec", "type"]]),
    ];

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        names::label(name, prefix)
    }

    fn set_defaults(&mut self) {
        set_spec_defaults(self.spec.get_or_insert_default());
        set_status_defaults(self);
    }

    fn prepare_for_create(&mut self, _cx: &Context) {
        self.status = None;
        addresses::prepare(self.spec.get_or_insert_default(), None);
    }

    fn validate_allocation(&self, old: Option<&Self>) -> ErrorList {
        let old = old.and_then(|old| old.spec.as_ref());
        let mut spec = self.spec.clone().unwrap_or_default();
        addresses::init_families(&mut spec, old)
    }

    fn validate(&self) -> ErrorList {
        validate::validate(self, None)
    }

    fn warnings(&self, _old: Option<&Self>) -> Vec<String> {
        let mut warnings = vec![];
        let annotations = self.metadata.annotations.as_ref();
        if annotations.is_some_and(|annotations| annotations.contains_key(HINTS_ANNOTATION)) {
            warnings.push(format!(
                "annotation {HINTS_ANNOTATION} is deprecated, please use {MODE_ANNOTATION} instead"
            ));
        }
        warnings.extend(self.spec.as_ref().map(spec_warnings).unwrap_or_default());
        warnings
    }

    fn prepare_for_update(&mut self, old: &Self, _cx: &Context) {
        self.status = old.status.clone();
        let unset = ServiceSpec::default();
        let spec = self.spec.get_or_insert_default();
        let old_spec = old.spec.as_ref().unwrap_or(&unset);
        addresses::keep_allocated(spec, old_spec);
        if !addresses::prepare(spec, Some(old_spec)) {
            return;
        }
        addresses::drop_unused(spec, old_spec);
        if type_of(spec) != "LoadBalancer"
            && let Some(status) = &mut self.status
        {
            status.load_balancer = None;
        }
    }

    fn validate_update(&self, old: &Self) -> ErrorList {
        let mut errors = checks::metadata_update(self, old);
        errors.extend(validate::validate_change(self, old));
        errors.extend(validate::validate(self, Some(old)));
        errors
    }

    fn prepare_for_status_update(&mut self, old: &Self, _cx: &Context) {
        self.spec = old.spec.clone();
    }

    fn validate_status_update(&self, old: &Self) -> ErrorList {
        let mut errors = checks::metadata_update(self, old);
        errors.extend(validate::validate_status(self, old));
        errors
    }

    fn status_warnings(&self) -> Vec<String> {
        let balancer = self.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        let ingress = balancer.into_iter().flat_map(|balancer| balancer.ingress.iter().flatten()).enumerate();
        let path = Path::new("status.loadBalancer.ingress");
        ingress
            .flat_map(|(index, ingress)| checks::ip_warnings(checks::text(&ingress.ip), &path.index(index)))
            .collect()
    }

    fn columns() -> Vec<Column> {
        columns::columns()
    }

    fn row(&self, now: Timestamp) -> Vec<Value> {
        columns::row(self, now)
    }
}

fn type_of(spec: &ServiceSpec) -> &str {
    checks::text(&spec.type_)
}

fn cluster_ips(spec: &ServiceSpec) -> &[String] {
    spec.cluster_ips.as_deref().unwrap_or_default()
}

fn is_headless(spec: &ServiceSpec) -> bool {
    matches!(cluster_ips(spec), [only] if only == "None")
}

fn is_externally_accessible(spec: &ServiceSpec) -> bool {
    match type_of(spec) {
        "LoadBalancer" | "NodePort" => true,
        "ClusterIP" => spec.external_ips.as_ref().is_some_and(|ips| !ips.is_empty()),
        _ => false,
    }
}

fn needs_health_check(spec: &ServiceSpec) -> bool {
    type_of(spec) == "LoadBalancer" && checks::text(&spec.external_traffic_policy) == "Local"
}

fn set_spec_defaults(spec: &mut ServiceSpec) {
    defaults::string(&mut spec.session_affinity, "None");
    match checks::text(&spec.session_affinity) {
        "None" => spec.session_affinity_config = None,
        "ClientIP" => set_affinity_defaults(&mut spec.session_affinity_config),
        _ => {}
    }
    defaults::string(&mut spec.type_, "ClusterIP");
    for port in spec.ports.iter_mut().flatten() {
        defaults::string(&mut port.protocol, "TCP");
        let is_unset = match &port.target_port {
            None | Some(IntOrString::Int(0)) => true,
            Some(IntOrString::Int(_)) => false,
            Some(IntOrString::String(name)) => name.is_empty(),
        };
        if is_unset {
            port.target_port = Some(IntOrString::Int(port.port));
        }
    }
    if is_externally_accessible(spec) {
        defaults::string(&mut spec.external_traffic_policy, "Cluster");
    }
    if matches!(type_of(spec), "ClusterIP" | "NodePort" | "LoadBalancer") {
        spec.internal_traffic_policy.get_or_insert_with(|| "Cluster".to_owned());
    }
    if type_of(spec) == "LoadBalancer" {
        spec.allocate_load_balancer_node_ports.get_or_insert(true);
    }
}

fn set_affinity_defaults(config: &mut Option<SessionAffinityConfig>) {
    let seconds = config.as_ref().and_then(|config| config.client_ip.as_ref()?.timeout_seconds);
    if seconds.is_none() {
        let client_ip = Some(ClientIPConfig { timeout_seconds: Some(AFFINITY_SECONDS) });
        *config = Some(SessionAffinityConfig { client_ip });
    }
}

fn set_status_defaults(service: &mut Service) {
    if service.spec.as_ref().map(type_of) != Some("LoadBalancer") {
        return;
    }
    let balancer = service.status.as_mut().and_then(|status| status.load_balancer.as_mut());
    for ingress in balancer.into_iter().flat_map(|balancer| balancer.ingress.iter_mut().flatten()) {
        if !checks::text(&ingress.ip).is_empty() {
            ingress.ip_mode.get_or_insert_with(|| "VIP".to_owned());
        }
    }
}

fn spec_warnings(spec: &ServiceSpec) -> Vec<String> {
    let path = Path::new("spec");
    let external_ips = spec.external_ips.as_deref().unwrap_or_default();
    let is_external_name = type_of(spec) == "ExternalName";
    let mut warnings = vec![];
    if is_headless(spec) {
        if !checks::text(&spec.load_balancer_ip).is_empty() {
            warnings.push("spec.loadBalancerIP is ignored for headless services".to_owned());
        }
        if !external_ips.is_empty() {
            warnings.push("spec.externalIPs is ignored for headless services".to_owned());
        }
        if checks::text(&spec.session_affinity) != "None" {
            warnings.push("spec.SessionAffinity is ignored for headless services".to_owned());
        }
    } else {
        warnings.extend(each_ip(cluster_ips(spec), &path.child("clusterIPs")));
    }
    warnings.extend(each_ip(external_ips, &path.child("externalIPs")));
    if !external_ips.is_empty() && !is_headless(spec) && !is_external_name {
        warnings.push(
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters".to_owned(),
        );
    }
    if let Some(ip) = &spec.load_balancer_ip {
        warnings.extend(checks::ip_warnings(ip, &path.child("loadBalancerIP")));
    }
    for (index, cidr) in spec.load_balancer_source_ranges.iter().flatten().enumerate() {
        let path = path.child("loadBalancerSourceRanges").index(index);
        warnings.extend(checks::cidr_warnings(cidr, &path));
    }
    if is_external_name && !external_ips.is_empty() {
        warnings.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if !is_external_name && !checks::text(&spec.external_name).is_empty() {
        warnings.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    if spec.traffic_distribution.as_deref() == Some("PreferClose") {
        warnings.push(
            "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"".to_owned(),
        );
    }
    warnings
}

fn each_ip(addresses: &[String], path: &Path) -> Vec<String> {
    let addresses = addresses.iter().enumerate();
    addresses.flat_map(|(index, address)| checks::ip_warnings(address, &path.index(index))).collect()
}

#[cfg(test)]
mod tests;
