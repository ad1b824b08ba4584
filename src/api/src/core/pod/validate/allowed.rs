//! What an update may keep although nobody may begin with it: a pod that older servers took stays updatable (upstream:
//! `GetValidationOptionsFromPodSpecAndMeta`).
//!
//! Made from the object that is replaced; a new one is allowed nothing.

use k8s_openapi::api::core::v1::{Container, PodAffinityTerm, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::field::Path;
use machinery::quantity::Quantity;

use super::{affinity, annotations, containers_with_paths, projected, security};
use crate::checks;
use crate::core::resources;

/// What the old spec already had.
#[derive(Clone, Copy, Default)]
pub(in super::super) struct Allowed {
    /// Huge pages that are not whole pages.
    pub(in super::super) indivisible_huge_pages: bool,
    /// Values of selectors in affinity that no label can have.
    pub(in super::super) selector_values: bool,
    /// Values in required node affinity that no label can have.
    pub(in super::super) node_values: bool,
    /// Values of selectors in spread constraints that no label can have.
    pub(in super::super) spread_values: bool,
    /// Label keys of spread constraints that contradict their selectors.
    pub(in super::super) spread_keys: bool,
    /// Tokens outside of their volume.
    pub(in super::super) token_paths: bool,
    /// Sysctls of namespaces that are the host's.
    pub(in super::super) host_sysctls: bool,
    /// Tolerations that compare numbers.
    pub(in super::super) comparisons: bool,
    /// Any policy of changing labels of SELinux.
    pub(in super::super) any_se_linux_policy: bool,
    /// The host's network together with users of the pod's own.
    pub(in super::super) host_network_users: bool,
    /// Block devices together with users of the pod's own.
    pub(in super::super) devices_with_users: bool,
    /// Init containers that end but are restarted when they are resized.
    pub(in super::super) resize_restarts: bool,
    /// A deletion cost that is no number.
    pub(in super::super) deletion_cost: bool,
}

impl Allowed {
    /// What an update of an object with this metadata and spec may keep.
    pub(in super::super) fn by(metadata: &ObjectMeta, old: &PodSpec) -> Allowed {
        let constraints = || old.topology_spread_constraints.iter().flatten();
        let own_users = old.host_users == Some(false);
        let context = old.security_context.as_ref();
        Allowed {
            indivisible_huge_pages: has_indivisible_huge_pages(old),
            selector_values: pod_terms(old).any(|term| !affinity::has_valid_selectors(term)),
            node_values: affinity::has_invalid_node_values(old),
            spread_values: constraints().any(|constraint| {
                !checks::label_selector(constraint.label_selector.as_ref(), &Path::root()).is_empty()
            }),
            spread_keys: constraints().any(|constraint| {
                let (keys, selector) =
                    (constraint.match_label_keys.as_deref(), constraint.label_selector.as_ref());
                !affinity::validate_label_keys(keys, None, selector, &Path::root()).is_empty()
            }),
            token_paths: projected::has_foreign_token_path(old),
            host_sysctls: security::has_host_sysctls(old),
            comparisons: old
                .tolerations
                .iter()
                .flatten()
                .any(|toleration| matches!(toleration.operator.as_deref(), Some("Lt" | "Gt"))),
            any_se_linux_policy: context.is_some_and(|context| context.se_linux_change_policy.is_some()),
            host_network_users: own_users && old.host_network == Some(true),
            devices_with_users: own_users
                && containers_with_paths(old, &Path::root())
                    .iter()
                    .any(|(container, _)| container.volume_devices.iter().flatten().next().is_some()),
            resize_restarts: old.init_containers.iter().flatten().any(restarts_for_resize),
            deletion_cost: annotations::has_wrong_cost(metadata.annotations.as_ref()),
        }
    }
}

fn has_indivisible_huge_pages(spec: &PodSpec) -> bool {
    let overhead = ResourceRequirements { limits: spec.overhead.clone(), ..Default::default() };
    let of_containers = containers_with_paths(spec, &Path::root());
    let of_containers = of_containers.into_iter().filter_map(|(container, _)| container.resources);
    of_containers.chain([overhead]).any(|requirements| {
        let amounts = requirements.limits.iter().chain(&requirements.requests).flatten();
        amounts
            .filter_map(|(name, amount)| Some((name, Quantity::parse(&amount.0).ok()?)))
            .any(|(name, amount)| resources::is_huge_page(name) && !resources::is_whole_pages(name, &amount))
    })
}

fn pod_terms(spec: &PodSpec) -> impl Iterator<Item = &PodAffinityTerm> {
    let with = spec.affinity.iter().filter_map(|affinity| affinity.pod_affinity.as_ref());
    let with = with.map(|with| {
        (
            &with.required_during_scheduling_ignored_during_execution,
            &with.preferred_during_scheduling_ignored_during_execution,
        )
    });
    let against = spec.affinity.iter().filter_map(|affinity| affinity.pod_anti_affinity.as_ref());
    let against = against.map(|against| {
        (
            &against.required_during_scheduling_ignored_during_execution,
            &against.preferred_during_scheduling_ignored_during_execution,
        )
    });
    with.chain(against).flat_map(|(required, preferred)| {
        let preferred = preferred.iter().flatten().map(|weighted| &weighted.pod_affinity_term);
        required.iter().flatten().chain(preferred)
    })
}

fn restarts_for_resize(container: &Container) -> bool {
    let mut policies = container.resize_policy.iter().flatten();
    container.restart_policy.as_deref() != Some("Always")
        && policies.any(|policy| policy.restart_policy == "RestartContainer")
}
