//! Deployment (upstream: `pkg/registry/apps/deployment`, `ValidateDeployment`).

mod strategy;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStatus};
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::jiff::Timestamp;
use machinery::field::{Error, ErrorList, Path};
use machinery::json::{self, Tree};
use machinery::table::Column;
use serde_json::Value;

use super::replicas::{self, Counts};
use crate::autoscaling;
use crate::core::pod;
use crate::kind::{Context, Kind, Subresource};
use crate::{cells, checks};

const SPEC: &str = "io.k8s.api.apps.v1.DeploymentSpec";

impl Kind for Deployment {
    const SINGULAR: &'static str = "deployment";
    const SHORT_NAMES: &'static [&'static str] = &["deploy"];
    const CATEGORIES: &'static [&'static str] = &["all"];
    const NAMESPACED: bool = true;
    const SUBRESOURCES: &'static [Subresource] = &[Subresource::Status, Subresource::Scale];

    fn from_request(tree: &Tree<'_>) -> Result<Self, json::Error> {
        let mut deployment: Deployment = json::from_tree(tree)?;
        if let Some(spec) = &mut deployment.spec {
            replicas::mark_present(&mut spec.selector, tree);
        }
        Ok(deployment)
    }

    fn set_defaults(&mut self) {
        let spec = self.spec.get_or_insert_default();
        spec.replicas.get_or_insert(1);
        spec.revision_history_limit.get_or_insert(10);
        spec.progress_deadline_seconds.get_or_insert(600);
        strategy::set_defaults(spec.strategy.get_or_insert_default());
        pod::template::set_defaults(&mut spec.template);
    }

    fn prepare_for_create(&mut self, _cx: &Context) {
        self.status = None;
        self.metadata.generation = Some(1);
        let spec = self.spec.get_or_insert_default();
        pod::template::prepare(&mut spec.template);
    }

    fn validate(&self) -> ErrorList {
        validate_spec(&spec_of(self), None, &Path::new("spec"))
    }

    fn warnings(&self, old: Option<&Self>) -> Vec<String> {
        let template = self.spec.as_ref().map(|spec| &spec.template);
        replicas::warnings(&self.metadata, old.map(|old| &old.metadata), template)
    }

    /// Annotations count, since they are copied to the replica sets.
    fn prepare_for_update(&mut self, old: &Self, _cx: &Context) {
        self.status = old.status.clone();
        let spec = self.spec.get_or_insert_default();
        pod::template::prepare(&mut spec.template);
        let (new_meta, old_meta) = (&self.metadata, &old.metadata);
        if !checks::same(SPEC, &spec_of(self), &spec_of(old))
            || !checks::same_map(new_meta.annotations.as_ref(), old_meta.annotations.as_ref())
        {
            self.metadata.generation = Some(old.metadata.generation.unwrap_or_default() + 1);
        }
    }

    fn validate_update(&self, old: &Self) -> ErrorList {
        let mut errors = checks::metadata_update(self, old);
        let (new, old) = (spec_of(self), spec_of(old));
        errors.extend(validate_spec(&new, Some(&old.template), &Path::new("spec")));
        errors.extend(replicas::validate_selector_unchanged(&new.selector, &old.selector));
        errors
    }

    fn prepare_for_status_update(&mut self, old: &Self, _cx: &Context) {
        self.spec = old.spec.clone();
        self.metadata.labels = old.metadata.labels.clone();
    }

    fn validate_status_update(&self, old: &Self) -> ErrorList {
        let mut errors = checks::metadata_update(self, old);
        let (status, old) = (status_of(self), status_of(old));
        errors.extend(validate_status(&status));
        if checks::is_decremented(status.collision_count, old.collision_count) {
            let count = status.collision_count.unwrap_or_default();
            let path = Path::new("status.collisionCount");
            errors.push(Error::invalid(&path, count, "cannot be decremented"));
        }
        errors
    }

    fn columns() -> Vec<Column> {
        vec![
            cells::name(),
            cells::column("Ready", "string", "Replicas ready, of those asked for."),
            cells::column("Up-to-date", "string", "Replicas of the present template."),
            cells::column("Available", "string", "Replicas ready for long enough."),
            cells::age(),
            cells::wide("Containers", "string", "Names of the template's containers."),
            cells::wide("Images", "string", "Images of the template's containers."),
            cells::wide("Selector", "string", "Which pods are meant."),
        ]
    }

    fn row(&self, now: Timestamp) -> Vec<Value> {
        let status = status_of(self);
        let spec = self.spec.as_ref();
        let wanted = spec.and_then(|spec| spec.replicas).unwrap_or_default();
        let [containers, images] = cells::containers(spec.and_then(|spec| spec.template.spec.as_ref()));
        vec![
            cells::name_of(&self.metadata),
            format!("{}/{wanted}", status.ready_replicas.unwrap_or_default()).into(),
            cells::number(status.updated_replicas),
            cells::number(status.available_replicas),
            cells::age_of(&self.metadata, now),
            containers,
            images,
            cells::plain_selector(spec.map(|spec| &spec.selector), "<invalid>").into(),
        ]
    }

    fn scale(&self) -> Option<Scale> {
        let spec = self.spec.as_ref()?;
        let present = status_of(self).replicas.unwrap_or_default();
        autoscaling::scale(&self.metadata, spec.replicas, present, &spec.selector)
    }

    fn set_scale(&mut self, scale: &Scale) {
        let wanted = scale.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or_default();
        self.spec.get_or_insert_default().replicas = Some(wanted);
    }
}

fn spec_of(deployment: &Deployment) -> DeploymentSpec {
    deployment.spec.clone().unwrap_or_default()
}

fn status_of(deployment: &Deployment) -> DeploymentStatus {
    deployment.status.clone().unwrap_or_default()
}

fn validate_spec(spec: &DeploymentSpec, old: Option<&PodTemplateSpec>, path: &Path) -> ErrorList {
    let number = |value: Option<i32>| i64::from(value.unwrap_or_default());
    let mut errors = checks::nonnegative(number(spec.replicas), &path.child("replicas"));
    errors.extend(replicas::validate(&spec.selector, Some(&spec.template), old, path));
    if let Some(strategy) = &spec.strategy {
        errors.extend(strategy::validate(strategy, &path.child("strategy")));
    }
    let min_ready = number(spec.min_ready_seconds);
    errors.extend(checks::nonnegative(min_ready, &path.child("minReadySeconds")));
    let history = number(spec.revision_history_limit);
    errors.extend(checks::nonnegative(history, &path.child("revisionHistoryLimit")));
    if let Some(deadline) = spec.progress_deadline_seconds.map(i64::from) {
        let path = path.child("progressDeadlineSeconds");
        errors.extend(checks::nonnegative(deadline, &path));
        if deadline <= min_ready {
            errors.push(Error::invalid(&path, deadline, "must be greater than minReadySeconds"));
        }
    }
    errors
}

fn validate_status(status: &DeploymentStatus) -> ErrorList {
    Counts {
        generation: status.observed_generation,
        replicas: status.replicas.unwrap_or_default(),
        parts: &[
            ("updatedReplicas", status.updated_replicas),
            ("readyReplicas", status.ready_replicas),
            ("availableReplicas", status.available_replicas),
        ],
        others: &[
            ("unavailableReplicas", status.unavailable_replicas.map(i64::from)),
            ("terminatingReplicas", status.terminating_replicas.map(i64::from)),
            ("collisionCount", status.collision_count.map(i64::from)),
        ],
        ready: status.ready_replicas,
        available: status.available_replicas,
    }
    .validate()
}

#[cfg(test)]
mod tests;
