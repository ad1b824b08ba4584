//! How large ReplicaSets may be: surge, unavailability, proportions (upstream `deployment/util`). Pure.

use k8s_openapi::{
    api::apps::v1::{Deployment, ReplicaSet},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::sets;

/// The number of replicas the Deployment asks for.
pub(super) fn wanted(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// Whether the strategy is RollingUpdate, which is also the default.
pub(super) fn is_rolling(deployment: &Deployment) -> bool {
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    strategy.and_then(|strategy| strategy.type_.as_deref()) != Some("Recreate")
}

/// So many pods may exist beyond the wanted number during a rolling update.
pub(super) fn max_surge(deployment: &Deployment) -> i32 {
    if is_rolling(deployment) { fenceposts(deployment).0 } else { 0 }
}

/// So many of the wanted pods may be missing during a rolling update.
pub(super) fn max_unavailable(deployment: &Deployment) -> i32 {
    let wanted = wanted(deployment);
    if !is_rolling(deployment) || wanted == 0 { 0 } else { fenceposts(deployment).1.min(wanted) }
}

/// Surge is rounded up, unavailability down; if both come to nothing one pod may be unavailable, else nothing moves.
fn fenceposts(deployment: &Deployment) -> (i32, i32) {
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
    let wanted = wanted(deployment);
    let surge = rolling.and_then(|rolling| rolling.max_surge.as_ref()).map_or(0, |surge| {
        scaled(surge, wanted, |share| share.div_euclid(100) + i64::from(share.rem_euclid(100) > 0))
    });
    let unavailable = rolling
        .and_then(|rolling| rolling.max_unavailable.as_ref())
        .map_or(0, |unavailable| scaled(unavailable, wanted, |share| share.div_euclid(100)));
    (surge, if surge == 0 && unavailable == 0 { 1 } else { unavailable })
}

/// A number, or a percentage of `of` rounded by `round`. What is neither (validation refuses it) counts as 0.
fn scaled(value: &IntOrString, of: i32, round: impl Fn(i64) -> i64) -> i32 {
    match value {
        IntOrString::Int(number) => *number,
        IntOrString::String(text) => {
            let percent = text.strip_suffix('%').and_then(|digits| digits.parse::<i64>().ok()).unwrap_or(0);
            i32::try_from(round(percent.saturating_mul(of.into()))).unwrap_or(i32::MAX)
        }
    }
}

/// The sum of the sizes of `sets`.
pub(super) fn total<'a>(sets: impl Iterator<Item = &'a ReplicaSet>) -> i32 {
    sets.map(sets::replicas).sum()
}

/// The size that the new set may have, being `present` now, beside all sets (itself included).
pub(super) fn of_new<'a>(
    deployment: &Deployment,
    all: impl Iterator<Item = &'a ReplicaSet>,
    present: i32,
) -> i32 {
    let wanted = wanted(deployment);
    if !is_rolling(deployment) {
        return wanted;
    }
    let room = wanted + max_surge(deployment) - total(all);
    match room > 0 {
        true => present + room.min(wanted - present),
        false => present,
    }
}

/// Whether the new set has all the replicas, was sized for them, and all are available.
pub(super) fn is_saturated(deployment: &Deployment, new: Option<&ReplicaSet>) -> bool {
    let wanted = wanted(deployment);
    new.is_some_and(|new| {
        sets::replicas(new) == wanted
            && sets::desired_annotation(new) == Some(wanted)
            && sets::available(new) == wanted
    })
}

/// The change of size of `set` when `to_add` (maybe negative) is spread over all sets and `added` already is.
pub(super) fn proportion(set: &ReplicaSet, deployment: &Deployment, to_add: i32, added: i32) -> i32 {
    if sets::replicas(set) == 0 || to_add == 0 || to_add == added {
        return 0;
    }
    let share = fraction(set, deployment);
    let allowed = to_add - added;
    if to_add > 0 { share.min(allowed) } else { share.max(allowed) }
}

/// The change of size that keeps the set's share of the Deployment.
fn fraction(set: &ReplicaSet, deployment: &Deployment) -> i32 {
    let wanted = wanted(deployment);
    let size = sets::replicas(set);
    if wanted == 0 {
        return -size;
    }
    let most = f64::from(wanted + max_surge(deployment));
    let reported = deployment.status.as_ref().and_then(|status| status.replicas);
    let before = sets::max_annotation(set).filter(|most| *most > 0).or(reported).unwrap_or(0);
    if before == 0 {
        return 0;
    }
    let new_size = (f64::from(size) * most / f64::from(before)).round();
    new_size as i32 - size
}
