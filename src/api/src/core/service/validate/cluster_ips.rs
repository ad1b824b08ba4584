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

/// How `clusterIP`, `clusterIPs`, `ipFamilies` and `ipFamilyPolicy` fit together. Addresses that `old` has may stay.
pub(in super::super) fn validate(spec: &ServiceSpec, old: Option<&ServiceSpec>, path: &Path) -> ErrorList {
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
            errors.push(Error::duplicate(&path, family.as_str()).named());
        }
    }
    if let Some(policy) = &spec.ip_family_policy {
        errors.extend(checks::supported_only(policy, POLICIES, &path.child("ipFamilyPolicy")));
    }
    let unreadable = validate_each(spec, old, &ips_path);
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

fn validate_each(spec: &ServiceSpec, old: Option<&ServiceSpec>, path: &Path) -> ErrorList {
    let ips = cluster_ips(spec);
    let old = old.map(cluster_ips).unwrap_or_default();
    let mut errors = ErrorList::new();
    for (index, ip) in ips.iter().enumerate() {
        if index > 0 || ip != "None" {
            errors.extend(checks::kept_ip(ip, old.iter().map(String::as_str), &path.index(index)));
        } else if ips.len() > 1 {
            errors.push(Error::invalid(path, ips, "'None' must be the first and only value"));
        }
    }
    errors
}

fn validate_match(spec: &ServiceSpec, path: &Path) -> ErrorList {
    let ips = cluster_ips(spec);
    let mut errors = ErrorList::new();
    if ips.len() > 1 {
        let texts: Vec<&str> = ips.iter().map(String::as_str).collect();
        errors.extend(checks::dual_stack(&texts, ips, path));
    }
    if is_headless(spec) {
        return errors;
    }
    for (index, (ip, family)) in ips.iter().zip(families(spec)).enumerate() {
        let is_wrong = match family.as_str() {
            "IPv4" => is_v6(ip),
            "IPv6" => !is_v6(ip),
            _ => false,
        };
        if is_wrong {
            let detail = format!("expected an {family} value as indicated by `ipFamilies[{index}]`");
            errors.push(Error::invalid(&path.index(index), ip.as_str(), detail));
        }
    }
    errors
}

/// Whether the policy allows as many addresses and families as there are.
pub(in super::super) fn validate_policy(
    spec: &ServiceSpec,
    old: Option<&ServiceSpec>,
    path: &Path,
) -> ErrorList {
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
        let reduced = |new: usize, old: usize| new > 0 && new < old;
        let detail = "must be 'SingleStack' to release the secondary cluster IP";
        errors.extend(reduced(cluster_ips(spec).len(), cluster_ips(old).len()).then(|| refuse(detail)));
        let detail = "must be 'SingleStack' to release the secondary IP family";
        errors.extend(reduced(families(spec).len(), families(old).len()).then(|| refuse(detail)));
    }
    errors
}

/// Whether the cluster has what is asked for: IPv4.
pub(in super::super) fn validate_families(spec: &ServiceSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if text(&spec.ip_family_policy) == "RequireDualStack" {
        let detail = "this cluster is not configured for dual-stack services";
        errors.push(Error::invalid(&path.child("ipFamilyPolicy"), &spec.ip_family_policy, detail).named());
    }
    for (index, family) in families(spec).iter().enumerate().filter(|(_, family)| *family != "IPv4") {
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
