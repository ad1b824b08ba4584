//! The moves of a rollout: which ReplicaSet grows or shrinks next. Pure; works on the draft.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;

use super::{draft::Draft, plan::Step, sets, sizes, status};

/// One step of a rolling update: first grow the new set, else shrink old ones, else clean up.
pub(super) fn rolling(draft: &mut Draft, now: Timestamp) {
    if draft.new.is_none() {
        draft.create_new(now);
    }
    if grow_new(draft) || shrink_old(draft) {
        return;
    }
    clean_up_when_complete(draft);
}

/// One step of a recreation: stop everything old, wait until it has ended, then start the new.
pub(super) fn recreate(draft: &mut Draft, old_pods_run: impl Fn(Option<&str>) -> bool, now: Timestamp) {
    let mut scaled = false;
    for place in 0..draft.old.len() {
        scaled |= draft.scale_old(place, 0);
    }
    let new = draft.new.as_ref().and_then(|set| set.metadata.uid.as_deref());
    if scaled || draft.old.iter().any(|set| actual(set) > 0) || old_pods_run(new) {
        return;
    }
    match draft.new {
        Some(_) => drop(draft.scale_new(sizes::wanted(&draft.deployment))),
        None => draft.create_new(now),
    }
    clean_up_when_complete(draft);
}

fn actual(set: &ReplicaSet) -> i32 {
    set.status.as_ref().map_or(0, |status| status.replicas)
}

fn grow_new(draft: &mut Draft) -> bool {
    let wanted = sizes::wanted(&draft.deployment);
    let present = draft.new.as_ref().map_or(0, sets::replicas);
    let size = match present > wanted {
        true => wanted,
        false => sizes::of_new(&draft.deployment, draft.all(), present),
    };
    draft.scale_new(size)
}

/// Shrinks old sets as far as availability allows: unhealthy pods first, then healthy ones.
fn shrink_old(draft: &mut Draft) -> bool {
    let wanted = sizes::wanted(&draft.deployment);
    let least = wanted - sizes::max_unavailable(&draft.deployment);
    let new_unavailable = draft.new.as_ref().map_or(0, |new| sets::replicas(new) - sets::available(new));
    let most = sizes::total(draft.all()) - least - new_unavailable;
    if sizes::total(draft.old.iter()) == 0 || most <= 0 {
        return false;
    }
    let unhealthy = shrink(draft, most, |set| sets::replicas(set) - sets::available(set));
    let spare = draft.all().map(sets::available).sum::<i32>() - least;
    let healthy = shrink(draft, spare, sets::replicas);
    unhealthy + healthy > 0
}

/// Takes up to `most` replicas from the old sets, oldest first, from each at most what `from` says.
fn shrink(draft: &mut Draft, most: i32, from: impl Fn(&ReplicaSet) -> i32) -> i32 {
    let mut taken = 0;
    for place in 0..draft.old.len() {
        let set = &draft.old[place];
        let count = from(set).min(sets::replicas(set)).min(most - taken);
        if count > 0 {
            let size = sets::replicas(set) - count;
            draft.scale_old(place, size);
            taken += count;
        }
    }
    taken
}

/// Follows a change of the Deployment's size outside a rollout: all active sets keep their proportions.
pub(super) fn scale(draft: &mut Draft) {
    let wanted = sizes::wanted(&draft.deployment);
    if let Some(name) = only_active_or_latest(draft) {
        let size = draft.all().find(|set| set.metadata.name.as_deref() == Some(&name)).map(sets::replicas);
        if size != Some(wanted) {
            draft.scale_named(&name, wanted);
        }
        return;
    }
    if sizes::is_saturated(&draft.deployment, draft.new.as_ref()) {
        for place in 0..draft.old.len() {
            draft.scale_old(place, 0);
        }
        return;
    }
    if sizes::is_rolling(&draft.deployment) {
        for (name, size) in proportional_sizes(draft, wanted) {
            draft.scale_named(&name, size);
        }
    }
}

/// The name of the only active set, or of the newest where none is active.
fn only_active_or_latest(draft: &Draft) -> Option<String> {
    let active: Vec<&ReplicaSet> = draft.all().filter(|set| sets::replicas(set) > 0).collect();
    let set = match active[..] {
        [] => draft.new.as_ref().or(draft.old.last()),
        [only] => Some(only),
        _ => None,
    };
    set.and_then(|set| set.metadata.name.clone())
}

fn proportional_sizes(draft: &Draft, wanted: i32) -> Vec<(String, i32)> {
    let mut active: Vec<&ReplicaSet> = draft.all().filter(|set| sets::replicas(set) > 0).collect();
    let allowed = if wanted > 0 { wanted + sizes::max_surge(&draft.deployment) } else { 0 };
    let to_add = allowed - sizes::total(active.iter().copied());
    // The largest sets change most; among equals the newer grows and the older shrinks.
    active.sort_by(|a, b| {
        let by_size = sets::replicas(b).cmp(&sets::replicas(a));
        by_size.then_with(|| if to_add > 0 { sets::by_age(b, a) } else { sets::by_age(a, b) })
    });
    let mut added = 0;
    let mut sizes: Vec<(String, i32)> = active
        .iter()
        .map(|set| {
            let share = sizes::proportion(set, &draft.deployment, to_add, added);
            added += share;
            (set.metadata.name.clone().unwrap_or_default(), sets::replicas(set) + share)
        })
        .collect();
    if let Some((_, largest)) = sizes.first_mut() {
        *largest = (*largest + to_add - added).max(0);
    }
    sizes
}

fn clean_up_when_complete(draft: &mut Draft) {
    let reported = draft.deployment.status.clone().unwrap_or_default();
    if status::is_complete(&draft.deployment, &reported) {
        clean_up(draft);
    }
}

/// Deletes the oldest revisions beyond the history limit, of those that have no pods left.
pub(super) fn clean_up(draft: &mut Draft) {
    let limit = draft.deployment.spec.as_ref().and_then(|spec| spec.revision_history_limit);
    let Some(limit) = limit.filter(|limit| *limit != i32::MAX) else { return };
    let mut old: Vec<&ReplicaSet> =
        draft.old.iter().filter(|set| set.metadata.deletion_timestamp.is_none()).collect();
    let surplus = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    old.sort_by(|a, b| sets::revision(a).cmp(&sets::revision(b)).then_with(|| sets::by_age(a, b)));
    let unused = |set: &&&ReplicaSet| {
        let observed = set.status.as_ref().and_then(|status| status.observed_generation);
        actual(set) == 0 && sets::replicas(set) == 0 && set.metadata.generation <= observed
    };
    let deletions: Vec<Step> =
        old.iter().take(surplus).filter(unused).map(|set| Step::Delete((*set).clone())).collect();
    draft.steps.extend(deletions);
}
