//! Validation of pods and of the specs in templates (upstream: `ValidatePodSpec` and what it calls), in the order in
//! which upstream looks.

mod affinity;
mod allowed;
mod annotations;
mod claim_template;
mod containers;
mod environment;
mod ephemeral;
mod fields;
mod mounts;
mod network;
mod operating_system;
mod probes;
mod projected;
mod scheduling;
mod security;
mod tolerations;
mod volume_sources;
mod volumes;
mod windows;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, PodResourceClaim, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::field::{Error, ErrorList, Path};
use machinery::quantity::Quantity;
use machinery::{meta, names};

use super::aggregate;
use crate::checks::{self, text};
use crate::core::resources;

pub(crate) use affinity::validate_node_selector;
pub(super) use allowed::Allowed;
pub(super) use annotations::{MIRROR, annotations, annotations_update, profiles};
pub(super) use scheduling::validate_tolerations;
pub(super) use security::validate_app_armor as app_armor_profile;

const DNS_POLICIES: &[&str] = &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
const RESTART_POLICIES: &[&str] = &["Always", "OnFailure", "Never"];

/// Whose spec it is.
#[derive(Clone, Copy)]
pub(super) enum Of<'a> {
    /// A pod's, with the metadata of the pod.
    Pod(&'a ObjectMeta),
    /// A template's.
    Template,
}

/// What the parts of a spec need to know of the whole.
pub(super) struct Scope<'a> {
    pub(super) spec: &'a PodSpec,
    /// Volumes without errors, by name.
    pub(super) volumes: volumes::Known<'a>,
    /// Names in `resourceClaims`.
    pub(super) claims: BTreeSet<&'a str>,
    /// Whether the containers' users are the host's.
    pub(super) host_users: bool,
    /// What may stay.
    pub(super) allowed: &'a Allowed,
}

impl Scope<'_> {
    fn terms(&self) -> resources::Terms<'_> {
        resources::Terms { claims: &self.claims, fractions: self.allowed.indivisible_huge_pages }
    }
}

/// Errors of a pod: annotations, spec, and what holds for pods only.
pub(super) fn validate_pod(
    metadata: &ObjectMeta,
    spec: &PodSpec,
    allowed: &Allowed,
    path: &Path,
) -> ErrorList {
    let annotations_path = Path::new("metadata.annotations");
    let mut errors = annotations(metadata.annotations.as_ref(), spec, allowed, &annotations_path);
    errors.extend(validate_spec(spec, allowed, path, Of::Pod(metadata)));
    if text(&spec.service_account_name).is_empty() {
        errors.extend(projected::validate_no_tokens(spec, &path.child("volumes")));
    }
    for (list, path) in lists(spec, path) {
        errors.extend(containers::validate_for_pod(list, &path));
    }
    errors
}

/// Containers and init containers with their paths.
fn lists<'a>(spec: &'a PodSpec, path: &Path) -> [(&'a [Container], Path); 2] {
    let init = spec.init_containers.as_deref().unwrap_or_default();
    [(&spec.containers, path.child("containers")), (init, path.child("initContainers"))]
}

/// All containers with their paths, in the order in which upstream visits them.
pub(super) fn containers_with_paths(spec: &PodSpec, path: &Path) -> Vec<(Container, Path)> {
    let [main, init] = lists(spec, path);
    let ephemeral: Vec<Container> =
        spec.ephemeral_containers.iter().flatten().map(super::ephemeral::as_container).collect();
    let lists = [init, main, (&ephemeral, path.child("ephemeralContainers"))];
    let indexed = lists.iter().flat_map(|(list, path)| {
        list.iter().enumerate().map(|(index, container)| (container.clone(), path.index(index)))
    });
    indexed.collect()
}

/// Errors of a spec that has been defaulted.
pub(super) fn validate_spec(spec: &PodSpec, allowed: &Allowed, path: &Path, of: Of<'_>) -> ErrorList {
    let mut errors = ErrorList::new();
    if spec.termination_grace_period_seconds.is_none() {
        errors.push(Error::required(&path.child("terminationGracePeriodSeconds"), ""));
    }
    let list = spec.volumes.as_deref().unwrap_or_default();
    let (volumes, volume_errors) = volumes::validate(list, of, allowed, &path.child("volumes"));
    errors.extend(volume_errors);
    let claims = spec.resource_claims.as_deref().unwrap_or_default();
    errors.extend(validate_claims(claims, &path.child("resourceClaims")));
    let scope = Scope {
        spec,
        volumes,
        claims: claims.iter().map(|claim| claim.name.as_str()).filter(|name| !name.is_empty()).collect(),
        host_users: spec.host_users.unwrap_or(true),
        allowed,
    };
    errors.extend(containers::validate(&scope, &path.child("containers")));
    errors.extend(containers::validate_init(&scope, &path.child("initContainers")));
    errors.extend(ephemeral::validate(&scope, &path.child("ephemeralContainers")));
    errors.extend(validate_resources(&scope, &path.child("resources")));
    errors.extend(network::validate_host_ports(spec, of, &path.child("containers")));
    let restart_policy = spec.restart_policy.as_deref();
    errors.extend(checks::one_of(restart_policy, RESTART_POLICIES, &path.child("restartPolicy")));
    errors.extend(checks::one_of(spec.dns_policy.as_deref(), DNS_POLICIES, &path.child("dnsPolicy")));
    errors.extend(meta::validate_labels(spec.node_selector.as_ref(), &path.child("nodeSelector")));
    errors.extend(security::validate_pod(spec, allowed, &path.child("securityContext")));
    if let Some(affinity) = &spec.affinity {
        errors.extend(affinity::validate(affinity, allowed, &path.child("affinity")));
    }
    errors.extend(network::validate_dns(spec, &path.child("dnsConfig")));
    errors.extend(scheduling::validate_gates(spec, path));
    let constraints = spec.topology_spread_constraints.as_deref().unwrap_or_default();
    errors.extend(scheduling::validate_spread(
        constraints,
        allowed,
        &path.child("topologySpreadConstraints"),
    ));
    errors.extend(windows::validate_host_process(spec, path));
    errors.extend(network::validate_host_users(&scope, path));
    errors.extend(network::validate_host_name_override(spec, &path.child("hostnameOverride")));
    errors.extend(validate_names(spec, path));
    errors.extend(validate_rest(&scope, path));
    errors.extend(environment::validate_file_volumes(spec, path));
    errors
}

fn validate_claims(claims: &[PodResourceClaim], path: &Path) -> ErrorList {
    let mut seen = BTreeSet::new();
    let mut errors = ErrorList::new();
    for (index, claim) in claims.iter().enumerate() {
        let path = path.index(index);
        let name = path.child("name");
        if claim.name.is_empty() {
            errors.push(Error::required(&name, ""));
        } else if seen.insert(claim.name.as_str()) {
            errors.extend(checks::dns_label(&claim.name, &name));
        } else {
            errors.push(Error::duplicate(&name, claim.name.as_str()));
        }
        let (claim_name, template) = (&claim.resource_claim_name, &claim.resource_claim_template_name);
        if claim_name.is_some() == template.is_some() {
            let detail = if claim_name.is_some() {
                "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            } else {
                "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            };
            let shown = checks::internal("io.k8s.api.core.v1.PodResourceClaim", claim);
            errors.push(Error::invalid(&path, shown, detail));
        }
        for (name, field) in [(claim_name, "resourceClaimName"), (template, "resourceClaimTemplateName")] {
            errors.extend(name.iter().flat_map(|name| checks::reference(name, &path.child(field))));
        }
    }
    errors
}

/// Requests and limits of the pod as a whole, which must fit those of its containers.
fn validate_resources(scope: &Scope<'_>, path: &Path) -> ErrorList {
    let Some(requirements) = &scope.spec.resources else { return vec![] };
    if scope.spec.os.as_ref().is_some_and(|os| os.name == "windows") {
        return vec![Error::forbidden(path, "may not be set for a windows pod")];
    }
    let mut errors = ErrorList::new();
    if requirements.claims.is_some() {
        let detail = "claims may not be set for Resources at pod-level";
        errors.push(Error::forbidden(&path.child("claims"), detail));
    }
    errors.extend(resources::validate_pod(requirements, &scope.terms(), path));
    let empty = Default::default();
    let requests = requirements.requests.as_ref().unwrap_or(&empty);
    for (name, aggregated) in aggregate::requests(scope.spec) {
        let request = requests.get(&name).and_then(|request| request.0.parse().ok());
        if let Some(request) = request.filter(|request| aggregated > *request) {
            let detail =
                format!("must be greater than or equal to aggregate container requests of {aggregated}");
            errors.push(Error::invalid(&path.child("requests").key(&name), request.to_string(), detail));
        }
    }
    errors.extend(validate_limits(scope.spec, requirements.limits.as_ref().unwrap_or(&empty), path));
    errors
}

/// Huge pages are not overcommitted, and no container may have more than the pod.
fn validate_limits(spec: &PodSpec, limits: &BTreeMap<String, Text>, path: &Path) -> ErrorList {
    let limit_of = |name: &str| limits.get(name).and_then(|limit| limit.0.parse::<Quantity>().ok());
    let mut errors = ErrorList::new();
    let pages = aggregate::limits(spec).into_iter().filter(|(name, _)| resources::is_huge_page(name));
    for (name, aggregated) in pages {
        if let Some(limit) = limit_of(&name).filter(|limit| aggregated > *limit) {
            let detail =
                format!("must be greater than or equal to aggregate container limits of {aggregated}");
            errors.push(Error::invalid(&path.child("limits").key(&name), limit.to_string(), detail));
        }
    }
    for (index, container) in spec.containers.iter().enumerate() {
        let own = container.resources.iter().flat_map(|resources| resources.limits.iter().flatten());
        for (name, own) in own {
            let (Some(limit), Ok(own)) = (limit_of(name), own.0.parse::<Quantity>()) else { continue };
            if own > limit {
                let path = path.child("containers").index(index).key(name).child("limits");
                let detail = format!("must be less than or equal to pod limits of {limit}");
                errors.push(Error::invalid(&path, own.to_string(), detail));
            }
        }
    }
    errors
}

/// Names of other objects and the pod's own.
fn validate_names(spec: &PodSpec, path: &Path) -> ErrorList {
    let references = [(&spec.service_account_name, "serviceAccountName"), (&spec.node_name, "nodeName")];
    let mut errors = ErrorList::new();
    for (name, field) in references.into_iter().filter(|(name, _)| !text(name).is_empty()) {
        errors.extend(checks::reference(text(name), &path.child(field)));
    }
    if let Some(seconds) = spec.active_deadline_seconds {
        let messages = names::in_range(seconds, 1, i32::MAX.into());
        errors.extend(checks::each(&path.child("activeDeadlineSeconds"), seconds, messages));
    }
    for (name, field) in [(&spec.hostname, "hostname"), (&spec.subdomain, "subdomain")] {
        if !text(name).is_empty() {
            errors.extend(checks::dns_label(text(name), &path.child(field)));
        }
    }
    errors
}

fn validate_rest(scope: &Scope<'_>, path: &Path) -> ErrorList {
    let spec = scope.spec;
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    let mut errors = validate_tolerations(tolerations, scope.allowed, &path.child("tolerations"));
    let aliases = spec.host_aliases.as_deref().unwrap_or_default();
    errors.extend(network::validate_host_aliases(aliases, &path.child("hostAliases")));
    let class = text(&spec.priority_class_name);
    if !class.is_empty() {
        errors.extend(checks::reference(class, &path.child("priorityClassName")));
    }
    if let Some(class) = &spec.runtime_class_name {
        errors.extend(checks::reference(class, &path.child("runtimeClassName")));
    }
    if let Some(policy) = &spec.preemption_policy {
        let policies = &["PreemptLowerPriority", "Never"];
        errors.extend(checks::one_of(Some(policy), policies, &path.child("preemptionPolicy")));
    }
    if let Some(overhead) = &spec.overhead {
        let limits = Some(overhead.clone());
        let requirements = ResourceRequirements { limits, ..Default::default() };
        let terms = resources::Terms { claims: &BTreeSet::new(), ..scope.terms() };
        errors.extend(resources::validate_container(&requirements, &terms, &path.child("overhead")));
    }
    if let Some(os) = &spec.os {
        errors.extend(operating_system::validate(&os.name, spec, path));
    }
    errors
}
