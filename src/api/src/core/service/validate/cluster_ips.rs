//! Cluster addresses and address families of a service (upstream: `ValidateServiceClusterIPsRelatedFields`,
//! `validateUpgradeDowngradeClusterIPs`, `validateUpgradeDowngradeIPFamilies`, `initIPFamilyFields`).

use k8s_openapi::api::core::v1::ServiceSpec;
use machinery::field::{Error, ErrorList, Path};

use super::super::{cluster_ips, is_headless, type_of};
use crate::checks::{self, text};

const FAMILIES: &[&str] = &["IPv4", "IPv6"];
const POLICIES: &[&str] = &["PreferDualStack", "RequireDualStack", "SingleStack"];
const ONCE: &str = "may not change once set";

fn families(spec: &ServiceSpec) -> &[String] {
    spec.ip_families.as_deref().unwrap_or_default()
}

fn is_v6(ip: &str) -> bool {
    checks::parse_ip(ip).is_some_and(|address| address.to_canonical().is_ipv6())
}

/// How `clusterIP`, `clusterIPs`, `ipFamilies` and `ipFamilyPolicy` fit together.
pub(super) fn validate(spec: &ServiceSpec, path: &Path) -> ErrorList {
    if type_of(spec) == "ExternalName" {
        return vec![];
    }
    let ips_path = path.child("clusterIPs");
    let mut errors = ErrorList::from_iter(validate_first(spec, &ips_path));
    let families_path = path.child("ipFamilies");
    for (index, family) in families(spec).iter().enumerate() {
        let path = families_path.index(index);
        errors.extend(checks::supported_only(family, FAMILIES, &path));
        if families(spec)[..index].contains(family) {
            errors.push(Error::duplicate(&path, family.as_str()));
        }
    }
    if let Some(policy) = &spec.ip_family_policy {
        errors.extend(checks::supported_only(policy, POLICIES, &path.child("ipFamilyPolicy")));
    }
    let unreadable = validate_each(spec, &ips_path);
    let is_readable = unreadable.is_empty();
    errors.extend(unreadable);
    if cluster_ips(spec).len() > 2 {
        errors.push(Error::invalid(&ips_path, cluster_ips(spec), "may only hold up to 2 values"));
    }
    if is_readable {
        errors.extend(validate_match(spec, &ips_path));
    }
    errors
}

fn validate_first(spec: &ServiceSpec, path: &Path) -> Option<Error> {
    let ips = cluster_ips(spec);
    match (text(&spec.cluster_ip), ips) {
        ("", []) => None,
        ("", _) => Some(Error::invalid(path, ips, "must be empty when `clusterIP` is not specified")),
        (_, []) => Some(Error::required(path, "")),
        (ip, [first, ..]) if first == ip => None,
        _ => Some(Error::invalid(path, ips, "first value must match `clusterIP`")),
    }
}

fn validate_each(spec: &ServiceSpec, path: &Path) -> ErrorList {
    let ips = cluster_ips(spec);
    let mut errors = ErrorList::new();
    for (index, ip) in ips.iter().enumerate() {
        if index > 0 || ip != "None" {
            errors.extend(checks::legacy_ip(ip, &path.index(index)));
        } else if ips.len() > 1 {
            errors.push(Error::invalid(path, ips, "'None' must be the first and only value"));
        }
    }
    errors
}

fn validate_match(spec: &ServiceSpec, path: &Path) -> ErrorList {
    let ips = cluster_ips(spec);
    let mut errors = ErrorList::new();
    if let [first, second] = ips
        && is_v6(first) == is_v6(second)
    {
        errors.push(Error::invalid(path, ips, "may specify no more than one IP for each IP family"));
    }
    if is_headless(spec) {
        return errors;
    }
    for (index, (ip, family)) in ips.iter().zip(families(spec)).enumerate() {
        if is_v6(ip) != (family == "IPv6") {
            let detail = format!("expected an {family} value as indicated by `ipFamilies[{index}]`");
            errors.push(Error::invalid(&path.index(index), ip.as_str(), detail));
        }
    }
    errors
}

/// What is wrong with the addresses and families that are to be allocated. Later checks are only made where the earlier
/// ones find nothing. The cluster has IPv4 only.
pub(in super::super) fn validate_allocation(spec: &ServiceSpec, old: Option<&ServiceSpec>) -> ErrorList {
    let path = Path::new("spec");
    if type_of(spec) == "ExternalName" || old.is_some_and(|old| is_settled(spec, old)) {
        return vec![];
    }
    let errors = validate(spec, &path);
    if !errors.is_empty() {
        return errors;
    }
    let errors = validate_policy(spec, old, &path);
    let has_no_pods =
        is_headless(spec) && spec.selector.as_ref().is_none_or(std::collections::BTreeMap::is_empty);
    // Nothing is allocated for headless services without selector; they may name any family.
    if !errors.is_empty() || has_no_pods { errors } else { validate_families(spec, &path) }
}

/// Whether nothing is to be allocated or released: a service that merely prefers two families keeps what it has.
fn is_settled(new: &ServiceSpec, old: &ServiceSpec) -> bool {
    let prefers = |spec: &ServiceSpec| text(&spec.ip_family_policy) == "PreferDualStack";
    prefers(new) && prefers(old) && cluster_ips(new) == cluster_ips(old) && families(new) == families(old)
}

/// Whether the policy allows as many addresses and families as there are.
fn validate_policy(spec: &ServiceSpec, old: Option<&ServiceSpec>, path: &Path) -> ErrorList {
    let refuse =
        |detail: &str| Error::invalid(&path.child("ipFamilyPolicy"), &spec.ip_family_policy, detail).named();
    let mut errors = ErrorList::new();
    if text(&spec.ip_family_policy) == "SingleStack" {
        let detail =
            "must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified";
        errors.extend((cluster_ips(spec).len() == 2).then(|| refuse(detail)));
        let detail =
            "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified";
        errors.extend((families(spec).len() == 2).then(|| refuse(detail)));
    } else if let Some(old) = old {
        let reduced = |new: usize, old: usize| new == 1 && old == 2;
        let detail = "must be 'SingleStack' to release the secondary cluster IP";
        errors.extend(reduced(cluster_ips(spec).len(), cluster_ips(old).len()).then(|| refuse(detail)));
        let detail = "must be 'SingleStack' to release the secondary IP family";
        errors.extend(reduced(families(spec).len(), families(old).len()).then(|| refuse(detail)));
    }
    for (index, _) in cluster_ips(spec).iter().enumerate().filter(|(_, ip)| is_v6(ip)) {
        if index >= families(spec).len() {
            let path = path.child("clusterIPs").index(index);
            errors.push(Error::invalid(&path, cluster_ips(spec), "IPv6 is not configured on this cluster"));
        }
    }
    errors
}

fn validate_families(spec: &ServiceSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if text(&spec.ip_family_policy) == "RequireDualStack" {
        let detail = "this cluster is not configured for dual-stack services";
        errors.push(Error::invalid(&path.child("ipFamilyPolicy"), &spec.ip_family_policy, detail).named());
    }
    for (index, family) in families(spec).iter().enumerate().filter(|(_, family)| *family == "IPv6") {
        let path = path.child("ipFamilies").index(index);
        errors.push(Error::invalid(&path, family.as_str(), "not configured on this cluster").named());
    }
    errors
}

/// An address once given stays while the service has one.
pub(super) fn validate_change(new: &ServiceSpec, old: &ServiceSpec, path: &Path) -> ErrorList {
    if type_of(new) == "ExternalName" || type_of(old) == "ExternalName" {
        return vec![];
    }
    let mut errors = ErrorList::new();
    if !(is_headless(new) && is_headless(old)) {
        errors.extend(validate_ips_change(new, old, path));
    }
    if !is_headless(new) && !is_headless(old) {
        errors.extend(validate_families_change(new, old, path));
    }
    errors
}

fn validate_ips_change(new: &ServiceSpec, old: &ServiceSpec, path: &Path) -> ErrorList {
    let (new_ips, old_ips) = (cluster_ips(new), cluster_ips(old));
    let path_of = |index| path.child("clusterIPs").index(index);
    if new_ips.len() == old_ips.len() {
        let changed = (0..new_ips.len()).filter(|&index| new_ips[index] != old_ips[index]);
        return changed.map(|index| Error::invalid(&path_of(index), new_ips, ONCE)).collect();
    }
    let mut errors = ErrorList::new();
    match (new_ips, old_ips) {
        ([], _) => {
            errors.push(Error::invalid(&path_of(0), new_ips, "primary clusterIP can not be unset"));
        }
        ([new, ..], [old, ..]) if new != old => errors.push(Error::invalid(&path_of(0), new_ips, ONCE)),
        _ => {}
    }
    let releases = new_ips.len() == 1 && old_ips.len() > 1;
    errors.extend(validate_release(releases, new, "secondary clusterIP", path));
    errors
}

fn validate_families_change(new: &ServiceSpec, old: &ServiceSpec, path: &Path) -> ErrorList {
    let (new_families, old_families) = (families(new), families(old));
    let path_of = path.child("ipFamilies").index(0);
    if new_families.len() == old_families.len() {
        let changed = new_families.iter().zip(old_families).filter(|(new, old)| new != old);
        return changed.map(|_| Error::invalid(&path_of, new_families, ONCE)).collect();
    }
    let mut errors = ErrorList::new();
    match (new_families, old_families) {
        // Upstream shows the addresses here, not the families.
        ([first, ..], [old_first, ..]) if first != old_first => {
            errors.push(Error::invalid(&path_of, cluster_ips(new), ONCE));
        }
        _ => {}
    }
    let releases = new_families.len() == 1 && old_families.len() > 1;
    errors.extend(validate_release(releases, new, "secondary ipFamily", path));
    errors
}

fn validate_release(releases: bool, new: &ServiceSpec, what: &str, path: &Path) -> Option<Error> {
    let is_single = text(&new.ip_family_policy) == "SingleStack";
    let detail = format!("must be set to 'SingleStack' when releasing the {what}");
    let path = path.child("ipFamilyPolicy");
    (releases && !is_single).then(|| Error::invalid(&path, &new.ip_family_policy, detail))
}
