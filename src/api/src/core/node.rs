//! Node (upstream: `pkg/registry/core/node`, `ValidateNode`).

mod avoid_pods;
mod columns;
mod config;
mod validate;

use k8s_openapi::api::core::v1::{Node, NodeSpec};
use k8s_openapi::jiff::Timestamp;
use machinery::field::{ErrorList, Path};
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
        [&mut status.capacity, &mut status.allocatable].into_iter().flatten().for_each(resources::round_up);
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
        validate::validate(self)
    }

    fn prepare_for_update(&mut self, old: &Self, _cx: &Context) {
        self.status = old.status.clone();
        let old_source = old.spec.as_ref().and_then(|spec| spec.config_source.as_ref());
        if let (None, Some(spec)) = (old_source, &mut self.spec) {
            spec.config_source = None;
        }
    }

    fn validate_update(&self, old: &Self) -> ErrorList {
        let mut errors = checks::metadata(self);
        errors.extend(self.validate());
        errors.extend(validate::validate_change(self, old));
        errors
    }

    fn prepare_for_status_update(&mut self, old: &Self, _cx: &Context) {
        self.spec = old.spec.clone();
        let old_config = old.status.as_ref().and_then(|status| status.config.as_ref());
        if let (None, Some(status)) = (old_config, &mut self.status) {
            status.config = None;
        }
    }

    fn validate_status_update(&self, old: &Self) -> ErrorList {
        validate::validate_change(self, old)
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

#[cfg(test)]
mod tests;
