//! Node (upstream: `pkg/registry/core/node`, `ValidateNode`).

mod columns;

use k8s_openapi::api::core::v1::{Node, NodeSpec, NodeStatus, Taint};
use k8s_openapi::jiff::Timestamp;
use machinery::field::{Error, ErrorList, Path};
use machinery::names;
use machinery::table::Column;
use serde_json::Value;

use super::resources;
use crate::checks;
use crate::kind::{Context, Kind, Selectable, Subresource};

/// Values of a taint's effect, in the order in which upstream lists them.
pub(super) const TAINT_EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

impl Kind for Node {
    const SINGULAR: &'static str = "node";
    const SHORT_NAMES: &'static [&'static str] = &["no"];
    const NAMESPACED: bool = false;
    const SUBRESOURCES: &'static [Subresource] = &[Subresource::Status];
    const FIELDS: &'static [Selectable] =
        &[Selectable { name: "spec.unschedulable", paths: &[&["spec", "unschedulable"]], absent: "false" }];

    fn set_defaults(&mut self) {
        if let Some(spec) = &mut self.spec {
            pair_cidrs(spec);
        }
        let Some(status) = &mut self.status else { return };
        if status.allocatable.is_none() {
            status.allocatable = status.capacity.clone();
        }
    }

    /// A node that registers itself may bring its status along. Configuration by ConfigMap no longer exists.
    fn prepare_for_create(&mut self, _cx: &Context) {
        if let Some(spec) = &mut self.spec {
            spec.config_source = None;
        }
        if let Some(status) = &mut self.status {
            status.config = None;
        }
    }

    fn validate(&self) -> ErrorList {
        let mut errors = ErrorList::new();
        let spec = self.spec.as_ref();
        if let Some(taints) = spec.and_then(|spec| spec.taints.as_deref()) {
            errors.extend(validate_taints(taints, &Path::new("metadata.taints")));
        }
        if let Some(status) = &self.status {
            errors.extend(validate_status(status));
        }
        let cidrs = spec.and_then(|spec| spec.pod_cidrs.as_deref()).unwrap_or_default();
        errors.extend(validate_pod_cidrs(cidrs));
        errors
    }

    fn prepare_for_update(&mut self, old: &Self, _cx: &Context) {
        self.status = old.status.clone();
        let old_source = old.spec.as_ref().and_then(|spec| spec.config_source.as_ref());
        if let (None, Some(spec)) = (old_source, &mut self.spec) {
            spec.config_source = None;
        }
    }

    fn validate_update(&self, old: &Self) -> ErrorList {
        let mut errors = self.validate();
        errors.extend(validate_change(self, old));
        errors
    }

    fn prepare_for_status_update(&mut self, old: &Self) {
        self.spec = old.spec.clone();
        let old_config = old.status.as_ref().and_then(|status| status.config.as_ref());
        if let (None, Some(status)) = (old_config, &mut self.status) {
            status.config = None;
        }
    }

    fn validate_status_update(&self, old: &Self) -> ErrorList {
        let mut errors = self.status.as_ref().map(validate_status).unwrap_or_default();
        errors.extend(validate_change(self, old));
        errors
    }

    fn warnings(&self, _old: Option<&Self>) -> Vec<String> {
        let Some(spec) = &self.spec else { return vec![] };
        let mut warnings = vec![];
        if spec.config_source.is_some() {
            warnings.push("spec.configSource: the feature is removed".to_owned());
        }
        if spec.external_id.as_ref().is_some_and(|id| !id.is_empty()) {
            warnings
                .push("spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned());
        }
        for (index, cidr) in spec.pod_cidrs.iter().flatten().enumerate() {
            warnings.extend(checks::cidr_warnings(cidr, &Path::new("spec.podCIDRs").index(index)));
        }
        warnings
    }

    fn columns() -> Vec<Column> {
        columns::columns()
    }

    fn row(&self, now: Timestamp) -> Vec<Value> {
        columns::row(self, now)
    }
}

/// `podCIDR` is the first of `podCIDRs`; older clients write only one of them, and where they differ it wins.
fn pair_cidrs(spec: &mut NodeSpec) {
    let first = spec.pod_cidrs.as_ref().and_then(|cidrs| cidrs.first());
    match spec.pod_cidr.as_ref().filter(|cidr| !cidr.is_empty()) {
        Some(cidr) if Some(cidr) != first => spec.pod_cidrs = Some(vec![cidr.clone()]),
        Some(_) => {}
        None => spec.pod_cidr = first.cloned(),
    }
}

/// Upstream reports taints under `metadata`.
fn validate_taints(taints: &[Taint], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, taint) in taints.iter().enumerate() {
        let path = path.index(index);
        errors.extend(checks::label_key(&taint.key, &path.child("key")));
        let value = taint.value.as_deref().unwrap_or_default();
        let messages = names::label_value(value);
        if !messages.is_empty() {
            errors.push(Error::invalid(&path.child("value"), value, messages.join(";")));
        }
        errors.extend(checks::one_of(Some(&taint.effect), TAINT_EFFECTS, &path.child("effect")));
        if taints[..index].iter().any(|other| other.key == taint.key && other.effect == taint.effect) {
            let mut duplicate = Error::duplicate(&path, taint);
            duplicate.detail = "taints must be unique by key and effect pair".to_owned();
            errors.push(duplicate);
        }
    }
    errors
}

fn validate_status(status: &NodeStatus) -> ErrorList {
    let mut errors = ErrorList::new();
    for (list, name) in [(&status.capacity, "capacity"), (&status.allocatable, "allocatable")] {
        let path = Path::new("status").child(name);
        for (resource, quantity) in list.iter().flatten() {
            errors.extend(resources::validate_quantity(resource, quantity, &path.child(resource)));
        }
    }
    let path = Path::new("status.declaredFeatures");
    let features = status.declared_features.as_deref().unwrap_or_default();
    for (index, pair) in features.windows(2).enumerate() {
        let (path, next) = (path.index(index + 1), pair[1].as_str());
        match pair[0].cmp(&pair[1]) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => errors.push(Error::duplicate(&path, next)),
            std::cmp::Ordering::Greater => {
                errors.push(Error::invalid(&path, next, "list must be sorted alphabetically"));
            }
        }
    }
    errors
}

fn validate_pod_cidrs(cidrs: &[String]) -> ErrorList {
    let path = Path::new("spec.podCIDRs");
    let mut errors = ErrorList::new();
    for (index, cidr) in cidrs.iter().enumerate() {
        errors.extend(checks::legacy_cidr(cidr, &path.index(index)));
    }
    let families: Vec<bool> = cidrs
        .iter()
        .filter_map(|cidr| checks::Cidr::parse(cidr))
        .map(|cidr| cidr.address.is_ipv4())
        .collect();
    let one_each = matches!(families.as_slice(), [] | [_] | [true, false] | [false, true]);
    if errors.is_empty() && !one_each {
        errors.push(Error::invalid(&path, cidrs, "may specify no more than one CIDR for each IP family"));
    }
    errors
}

/// What neither an update nor an update of the status may do.
fn validate_change(new: &Node, old: &Node) -> ErrorList {
    let mut errors = ErrorList::new();
    let addresses = new.status.as_ref().and_then(|status| status.addresses.as_deref()).unwrap_or_default();
    for (index, address) in addresses.iter().enumerate() {
        if addresses[..index].contains(address) {
            let value = serde_json::json!({ "Address": address.address, "Type": address.type_ });
            errors.push(Error::duplicate(&Path::new("status.addresses").index(index), value));
        }
    }
    let (new, old) = (new.spec.clone().unwrap_or_default(), old.spec.clone().unwrap_or_default());
    let mut keep = |unset: bool, same: bool, field: &str, detail: &str| {
        if !unset && !same {
            errors.push(Error::forbidden(&Path::new(field), detail));
        }
    };
    keep(
        old.pod_cidrs.as_ref().is_none_or(Vec::is_empty),
        old.pod_cidrs == new.pod_cidrs,
        "spec.podCIDRs",
        "node updates may not change podCIDR except from \"\" to valid",
    );
    keep(
        old.provider_id.as_ref().is_none_or(String::is_empty),
        old.provider_id == new.provider_id,
        "spec.providerID",
        "node updates may not change providerID except from \"\" to valid",
    );
    let external_id = |id: Option<String>| id.unwrap_or_default();
    keep(
        false,
        external_id(old.external_id) == external_id(new.external_id),
        "spec.externalID",
        "may not be updated",
    );
    errors
}

#[cfg(test)]
mod tests;
