//! Pod (upstream: `pkg/registry/core/pod`). Binding, eviction, logs and exec are the API server's.
//!
//! [`template`] is what ReplicaSet and Deployment share with it.

mod aggregate;
mod app_armor;
mod columns;
mod defaults;
mod ephemeral;
mod prepare;
mod status;
pub(crate) mod template;
mod update;
mod validate;
mod warnings;

use k8s_openapi::api::core::v1::{Pod, PodSpec, PodStatus};
use k8s_openapi::jiff::Timestamp;
use machinery::field::{Error, ErrorList, Path};
use machinery::names;
use machinery::table::{Column, RowCondition};
use serde_json::Value;

use crate::checks;
use crate::kind::{Context, Kind, Selectable, Subresource};

pub(crate) use validate::validate_node_selector;

const SPEC: &str = "io.k8s.api.core.v1.PodSpec";

impl Kind for Pod {
    const SINGULAR: &'static str = "pod";
    const SHORT_NAMES: &'static [&'static str] = &["po"];
    const CATEGORIES: &'static [&'static str] = &["all"];
    const NAMESPACED: bool = true;
    const SUBRESOURCES: &'static [Subresource] = &[Subresource::Status, Subresource::EphemeralContainers];
    const RETURNS_DELETED: bool = true;
    const FIELDS: &'static [Selectable] = &[
        Selectable::new("spec.nodeName", &[&["spec", "nodeName"]]),
        Selectable::new("spec.restartPolicy", &[&["spec", "restartPolicy"]]),
        Selectable::new("spec.schedulerName", &[&["spec", "schedulerName"]]),
        Selectable::new("spec.serviceAccountName", &[&["spec", "serviceAccountName"]]),
        Selectable { name: "spec.hostNetwork", paths: &[&["spec", "hostNetwork"]], absent: "false" },
        Selectable::new("status.phase", &[&["status", "phase"]]),
        Selectable::new("status.podIP", &[&["status", "podIP"]]),
        Selectable::new("status.nominatedNodeName", &[&["status", "nominatedNodeName"]]),
    ];
    const FIELD_ALIASES: &'static [(&'static str, &'static str)] = &[("spec.host", "spec.nodeName")];

    /// The list of the addresses is a name that upstream takes and has no value for.
    fn is_selectable(label: &str) -> bool {
        label == "status.podIPs" || Self::FIELDS.iter().any(|field| field.name == label)
    }

    fn set_defaults(&mut self) {
        template::drop_annotations(&mut self.metadata);
        let spec = self.spec.get_or_insert_default();
        defaults::set_pod(spec);
        // A conversion upstream, which is why templates keep theirs.
        if spec.termination_grace_period_seconds.is_some_and(|seconds| seconds < 0) {
            spec.termination_grace_period_seconds = Some(1);
        }
        let status = self.status.get_or_insert_default();
        status::pair_addresses(status);
        status::round_amounts(status);
    }

    fn prepare_for_create(&mut self, cx: &Context) {
        self.metadata.generation = Some(1);
        let spec = self.spec.get_or_insert_default();
        prepare::drop_disabled(spec);
        prepare::merge_label_keys(spec, self.metadata.labels.as_ref());
        // Upstream asks for the class before it clears the status, and so takes one that was sent.
        let sent = self.status.take().and_then(|status| status.qos_class).filter(|class| !class.is_empty());
        let qos_class = sent.unwrap_or_else(|| objects::pod::qos_class(self).to_owned());
        self.status = Some(PodStatus { phase: Some("Pending".to_owned()), ..Default::default() });
        let status = self.status.get_or_insert_default();
        status.qos_class = Some(qos_class);
        let gates = self.spec.as_ref().and_then(|spec| spec.scheduling_gates.as_deref());
        let gated = prepare::gated_condition(gates.unwrap_or_default(), cx.now);
        status.conditions = gated.map(|gated| vec![gated]);
        app_armor::sync(self);
    }

    fn preparation_warnings(&self) -> Vec<String> {
        app_armor::warnings(self)
    }

    fn validate(&self) -> ErrorList {
        let spec = spec_of(self);
        let path = Path::new("spec");
        let mut errors = validate::validate_pod(&self.metadata, spec, &validate::Allowed::default(), &path);
        if spec.ephemeral_containers.as_ref().is_some_and(|containers| !containers.is_empty()) {
            errors.push(Error::forbidden(&path.child("ephemeralContainers"), "cannot be set on create"));
        }
        let is_gated = spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty());
        if is_gated && !checks::text(&spec.node_name).is_empty() {
            let detail = "cannot be set until all schedulingGates have been cleared";
            errors.push(Error::forbidden(&path.child("nodeName"), detail));
        }
        errors.extend(validate::profiles(self.metadata.annotations.as_ref(), spec, &path));
        errors
    }

    /// Warnings are for people, who do not update pods.
    fn warnings(&self, old: Option<&Self>) -> Vec<String> {
        if old.is_some() {
            return vec![];
        }
        let mut warnings = Vec::from_iter(long_name(checks::text(&self.metadata.name)));
        warnings.extend(warnings::of(&self.metadata, spec_of(self), &Path::root()));
        warnings
    }

    /// Clients of the deprecated field read what stands in the new one, whoever set it.
    fn canonicalize(&mut self) {
        if let Some(spec) = &mut self.spec {
            spec.service_account = spec.service_account_name.clone();
        }
    }

    fn prepare_for_update(&mut self, old: &Self, _cx: &Context) {
        self.status = old.status.clone();
        prepare::drop_disabled(self.spec.get_or_insert_default());
        if !checks::same(SPEC, spec_of(self), spec_of(old)) {
            self.metadata.generation = Some(old.metadata.generation.unwrap_or_default() + 1);
        }
    }

    fn validate_update(&self, old: &Self) -> ErrorList {
        update::validate(self, old)
    }

    fn prepare_for_status_update(&mut self, old: &Self, _cx: &Context) {
        self.spec = old.spec.clone();
        self.metadata.deletion_timestamp = old.metadata.deletion_timestamp.clone();
        self.metadata.owner_references = old.metadata.owner_references.clone();
        let unset = PodStatus::default();
        status::prepare(self.status.get_or_insert_default(), old.status.as_ref().unwrap_or(&unset));
    }

    fn validate_status_update(&self, old: &Self) -> ErrorList {
        status::validate(self, old)
    }

    fn status_warnings(&self) -> Vec<String> {
        self.status.as_ref().map(status::warnings).unwrap_or_default()
    }

    fn prepare_for_ephemeral_containers_update(&mut self, old: &Self, _cx: &Context) {
        let containers = self.spec.take().and_then(|spec| spec.ephemeral_containers);
        self.spec = Some(PodSpec { ephemeral_containers: containers, ..spec_of(old).clone() });
        self.status = old.status.clone();
        ephemeral::keep_metadata(&mut self.metadata, &old.metadata);
        prepare::drop_disabled(self.spec.get_or_insert_default());
        if !checks::same(SPEC, spec_of(self), spec_of(old)) {
            self.metadata.generation = Some(old.metadata.generation.unwrap_or_default() + 1);
        }
    }

    fn validate_ephemeral_containers_update(&self, old: &Self) -> ErrorList {
        update::validate_ephemeral_containers(self, old)
    }

    fn columns() -> Vec<Column> {
        columns::columns()
    }

    fn row(&self, now: Timestamp) -> Vec<Value> {
        columns::row(self, now)
    }

    fn row_conditions(&self) -> Vec<RowCondition> {
        columns::row_conditions(self)
    }

    /// A pod that no kubelet has, or that has ended, goes at once.
    fn grace_period(&self, requested: Option<i64>) -> Option<i64> {
        let spec = spec_of(self);
        if checks::text(&spec.node_name).is_empty() || objects::pod::is_terminal(self) {
            return Some(0);
        }
        let seconds = requested.or(spec.termination_grace_period_seconds).unwrap_or(0);
        Some(if seconds < 0 { 1 } else { seconds })
    }
}

fn spec_of(pod: &Pod) -> &PodSpec {
    static UNSET: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);
    pod.spec.as_ref().unwrap_or(&UNSET)
}

fn long_name(name: &str) -> Option<String> {
    let messages = names::dns1123_label(name);
    let text = format!(
        "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [{}]",
        messages.join(" ")
    );
    (!messages.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests;
