//! The Deployment and its ReplicaSets as they will be once the steps so far are done. Pure.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};

use super::{conditions, plan::Step, sets, sizes};

/// The state that planning works on: steps change it as applying them will.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) deployment: Deployment,
    /// The set with the present template.
    pub(super) new: Option<ReplicaSet>,
    /// All others, oldest first.
    pub(super) old: Vec<ReplicaSet>,
    pub(super) steps: Vec<Step>,
}

impl Draft {
    pub(super) fn new(deployment: &Deployment, owned: &[Arc<ReplicaSet>]) -> Self {
        let mut old: Vec<ReplicaSet> = owned.iter().map(|set| (**set).clone()).collect();
        old.sort_by(sets::by_age);
        let place = old.iter().position(|set| sets::has_template_of(set, deployment));
        let new = place.map(|place| old.remove(place));
        Self { deployment: deployment.clone(), new, old, steps: Vec::new() }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &ReplicaSet> {
        self.old.iter().chain(&self.new)
    }

    /// Brings annotations, revision and minReadySeconds of the new set, and the Deployment's revision, up to date.
    pub(super) fn sync_new(&mut self, now: Timestamp) {
        let revision = sets::max_revision(&self.old) + 1;
        let Some(new) = &mut self.new else { return };
        let mut changed = sets::annotate(new, &self.deployment, revision);
        let minimum = self.deployment.spec.as_ref().and_then(|spec| spec.min_ready_seconds);
        let spec = new.spec.get_or_insert_default();
        if spec.min_ready_seconds.unwrap_or(0) != minimum.unwrap_or(0) {
            spec.min_ready_seconds = minimum;
            changed = true;
        }
        if changed {
            push_update(&mut self.steps, new.clone(), None);
            return;
        }
        let revision = sets::revision_of(&new.metadata).map(str::to_owned);
        sets::set_revision(&mut self.deployment, revision);
        let name = new.metadata.name.clone().unwrap_or_default();
        conditions::note_found(&mut self.deployment, &name, now);
    }

    /// Creates the set for the present template, as large as the strategy allows at once.
    pub(super) fn create_new(&mut self, now: Timestamp) {
        let mut new = sets::build(&self.deployment);
        let size = sizes::of_new(&self.deployment, self.all(), 0);
        new.spec.get_or_insert_default().replicas = Some(size);
        let revision = sets::max_revision(&self.old) + 1;
        sets::annotate(&mut new, &self.deployment, revision);
        sets::set_replicas_annotations(&mut new, &self.deployment);
        sets::set_revision(&mut self.deployment, Some(revision.to_string()));
        let name = new.metadata.name.clone().unwrap_or_default();
        conditions::note_created(&mut self.deployment, &name, now);
        self.steps.push(Step::Create(new.clone()));
        self.new = Some(new);
    }

    /// Resizes the new set; tells whether that changes anything.
    pub(super) fn scale_new(&mut self, size: i32) -> bool {
        let Some(new) = &mut self.new else { return false };
        resize(new, &self.deployment, size, &mut self.steps)
    }

    /// Resizes the old set at `place`; tells whether that changes anything.
    pub(super) fn scale_old(&mut self, place: usize, size: i32) -> bool {
        resize(&mut self.old[place], &self.deployment, size, &mut self.steps)
    }

    /// Resizes a set by name and renews its annotations even where the size stays.
    pub(super) fn scale_named(&mut self, name: &str, size: i32) {
        let named = |set: &&mut ReplicaSet| set.metadata.name.as_deref() == Some(name);
        let Some(set) = self.old.iter_mut().chain(&mut self.new).find(named) else { return };
        if sets::replicas(set) != size {
            resize(set, &self.deployment, size, &mut self.steps);
        } else if sets::set_replicas_annotations(set, &self.deployment) {
            push_update(&mut self.steps, set.clone(), None);
        }
    }
}

fn resize(set: &mut ReplicaSet, deployment: &Deployment, size: i32, steps: &mut Vec<Step>) -> bool {
    let before = sets::replicas(set);
    if before == size {
        return false;
    }
    set.spec.get_or_insert_default().replicas = Some(size);
    sets::set_replicas_annotations(set, deployment);
    push_update(steps, set.clone(), Some((before, size)));
    true
}

/// Adds an update, or folds it into the earlier step about the same set: one write per set, so that no write is made
/// against a resourceVersion that the write before it has outdated.
fn push_update(steps: &mut Vec<Step>, set: ReplicaSet, scaled: Option<(i32, i32)>) {
    let same = |other: &ReplicaSet| other.metadata.name == set.metadata.name;
    for step in steps.iter_mut() {
        match step {
            Step::Update { set: earlier, scaled: before } if same(earlier) => {
                let from = before.map(|(from, _)| from).or(scaled.map(|(from, _)| from));
                *before = from.zip(scaled.map(|(_, to)| to).or(before.map(|(_, to)| to)));
                *earlier = set;
                return;
            }
            Step::Create(earlier) if same(earlier) => {
                *earlier = set;
                return;
            }
            _ => {}
        }
    }
    steps.push(Step::Update { set, scaled });
}
