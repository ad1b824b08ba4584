//! ReplicaSet (upstream: `pkg/registry/apps/replicaset`, `ValidateReplicaSet`).

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetSpec, ReplicaSetStatus};
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::jiff::Timestamp;
use machinery::field::{ErrorList, Path};
use machinery::json::{self, Tree};
use machinery::table::Column;
use serde_json::Value;

use super::replicas::{self, Counts};
use crate::autoscaling;
use crate::core::pod;
use crate::kind::{Context, Kind, Selectable, Subresource};
use crate::{cells, checks};

const SPEC: &str = "io.k8s.api.apps.v1.ReplicaSetSpec";

impl Kind for ReplicaSet {
    const SINGULAR: &'static str = "replicaset";
    const SHORT_NAMES: &'static [&'static str] = &["rs"];
    const CATEGORIES: &'static [&'static str] = &["all"];
    const NAMESPACED: bool = true;
    const SUBRESOURCES: &'static [Subresource] = &[Subresource::Status, Subresource::Scale];
    const FIELDS: &'static [Selectable] = &[];

    fn from_request(tree: &Tree<'_>) -> Result<Self, json::Error> {
        let mut set: ReplicaSet = json::from_tree(tree)?;
        if let Some(spec) = &mut set.spec {
            replicas::mark_present(&mut spec.selector, tree);
        }
        Ok(set)
    }

    fn set_defaults(&mut self) {
        let spec = self.spec.get_or_insert_default();
        spec.replicas.get_or_insert(1);
        pod::template::set_defaults(spec.template.get_or_insert_default());
    }

    fn prepare_for_create(&mut self, _cx: &Context) {
        self.status = None;
        self.metadata.generation = Some(1);
        let spec = self.spec.get_or_insert_default();
        pod::template::prepare(spec.template.get_or_insert_default());
    }

    fn validate(&self) -> ErrorList {
        validate_spec(&spec_of(self), None)
    }

    fn warnings(&self, old: Option<&Self>) -> Vec<String> {
        let template = self.spec.as_ref().and_then(|spec| spec.template.as_ref());
        replicas::warnings(&self.metadata, old.map(|old| &old.metadata), template)
    }

    fn prepare_for_update(&mut self, old: &Self, _cx: &Context) {
        self.status = old.status.clone();
        let spec = self.spec.get_or_insert_default();
        pod::template::prepare(spec.template.get_or_insert_default());
        if !checks::same(SPEC, &spec_of(self), &spec_of(old)) {
            self.metadata.generation = Some(old.metadata.generation.unwrap_or_default() + 1);
        }
    }

    fn validate_update(&self, old: &Self) -> ErrorList {
        let mut errors = checks::metadata_update(self, old);
        let (new, old) = (spec_of(self), spec_of(old));
        errors.extend(validate_spec(&new, old.template.as_ref()));
        errors.extend(replicas::validate_selector_unchanged(&new.selector, &old.selector));
        errors
    }

    fn prepare_for_status_update(&mut self, old: &Self, _cx: &Context) {
        self.spec = old.spec.clone();
    }

    fn validate_status_update(&self, old: &Self) -> ErrorList {
        let mut errors = checks::metadata_update(self, old);
        let status = self.status.clone().unwrap_or_default();
        let counts = Counts {
            generation: None,
            replicas: status.replicas,
            parts: &[
                ("fullyLabeledReplicas", status.fully_labeled_replicas),
                ("readyReplicas", status.ready_replicas),
                ("availableReplicas", status.available_replicas),
            ],
            others: &[
                ("observedGeneration", status.observed_generation),
                ("terminatingReplicas", status.terminating_replicas.map(i64::from)),
            ],
            ready: status.ready_replicas,
            available: status.available_replicas,
        };
        errors.extend(counts.validate());
        errors
    }

    fn columns() -> Vec<Column> {
        vec![
            cells::name(),
            cells::column("Desired", "integer", "Number of replicas asked for."),
            cells::column("Current", "integer", "Number of replicas present."),
            cells::column("Ready", "integer", "Number of replicas ready."),
            cells::age(),
            cells::wide("Containers", "string", "Names of the template's containers."),
            cells::wide("Images", "string", "Images of the template's containers."),
            cells::wide("Selector", "string", "Which pods are meant."),
        ]
    }

    fn row(&self, now: Timestamp) -> Vec<Value> {
        let unset = ReplicaSetStatus::default();
        let status = self.status.as_ref().unwrap_or(&unset);
        let spec = self.spec.as_ref();
        let template = spec.and_then(|spec| spec.template.as_ref());
        let [containers, images] = cells::containers(template.and_then(|template| template.spec.as_ref()));
        vec![
            cells::name_of(&self.metadata),
            cells::number(spec.and_then(|spec| spec.replicas)),
            Value::from(status.replicas),
            cells::number(status.ready_replicas),
            cells::age_of(&self.metadata, now),
            containers,
            images,
            cells::selector(spec.map(|spec| &spec.selector), "<error>"),
        ]
    }

    fn scale(&self) -> Option<Scale> {
        let spec = self.spec.as_ref()?;
        let present = self.status.as_ref().map_or(0, |status| status.replicas);
        autoscaling::scale(&self.metadata, spec.replicas, present, &spec.selector)
    }

    fn set_scale(&mut self, scale: &Scale) {
        let wanted = scale.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or_default();
        self.spec.get_or_insert_default().replicas = Some(wanted);
    }
}

fn validate_spec(spec: &ReplicaSetSpec, old: Option<&PodTemplateSpec>) -> ErrorList {
    let path = Path::new("spec");
    let number = |value: Option<i32>| i64::from(value.unwrap_or_default());
    let mut errors = checks::nonnegative(number(spec.replicas), &path.child("replicas"));
    errors.extend(checks::nonnegative(number(spec.min_ready_seconds), &path.child("minReadySeconds")));
    errors.extend(replicas::validate(&spec.selector, spec.template.as_ref(), old, &path));
    errors
}

fn spec_of(set: &ReplicaSet) -> ReplicaSetSpec {
    set.spec.clone().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, errors_of, object, stored};

    const SET: &str = r#"{"metadata":{"name":"a"},"spec":{"selector":{"matchLabels":{"a":"b"}},
        "template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}"#;

    #[test]
    fn a_new_set_wants_one_replica() {
        let mut set: ReplicaSet = object(SET);
        set.set_defaults();
        set.prepare_for_create(&context());
        assert_eq!(set.spec.as_ref().and_then(|spec| spec.replicas), Some(1));
        assert_eq!(set.metadata.generation, Some(1));
        assert_eq!(set.validate(), vec![]);
    }

    #[test]
    fn the_selector_fits_the_template() {
        errors_of::<ReplicaSet>(
            &SET.replacen("\"a\":\"b\"", "\"a\":\"c\"", 1),
            &[
                "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`",
            ],
        );
    }

    #[test]
    fn a_scale_goes_both_ways() {
        let mut set: ReplicaSet = object(SET);
        let mut scale = set.scale().unwrap();
        assert_eq!(scale.status.as_ref().and_then(|status| status.selector.as_deref()), Some("a=b"));
        scale.spec.get_or_insert_default().replicas = Some(5);
        set.set_scale(&scale);
        assert_eq!(set.spec.and_then(|spec| spec.replicas), Some(5));
    }

    #[test]
    fn counts_of_the_status_fit_together() {
        let set: ReplicaSet = stored(r#"{"status":{"replicas":1,"readyReplicas":2,"availableReplicas":3}}"#);
        let errors: Vec<String> = set.validate_status_update(&set).iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            [
                "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
                "status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas",
                "status.availableReplicas: Invalid value: 3: cannot be greater than readyReplicas",
            ]
        );
    }
}
