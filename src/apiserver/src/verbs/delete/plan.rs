//! What a delete does to an object: pure, from the object, the options and the time (upstream `rest.BeforeDelete` and
//! `updateForGracefulDeletionAndFinalizers`).

use api::{Descriptor, Object, Propagation};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use machinery::meta::{FINALIZER_FOREGROUND_DELETION, FINALIZER_ORPHAN, whole_seconds};

use super::options::{DeleteOptions, PropagationPolicy};
use crate::special;

/// What to do.
#[derive(Debug)]
pub(crate) enum Plan {
    /// It is being deleted already, and not more slowly than asked.
    Nothing,
    /// Store it marked; somebody else (a kubelet, a finalizer's owner) finishes.
    Mark(Object),
    /// Remove it; this is its final state.
    Remove(Object),
}

/// Whether the kind's grace was applied.
enum Grace {
    /// The kind has none, or it is over.
    Over,
    /// A grace period was set or shortened to so many seconds.
    Set(i64),
    /// One is running that is not longer than asked.
    Running,
}

/// Plans the deletion of an object.
pub(crate) fn plan(kind: &Descriptor, mut object: Object, options: &DeleteOptions, now: Timestamp) -> Plan {
    let grace = apply_grace(kind, &mut object, options, now);
    if matches!(grace, Grace::Running) {
        return Plan::Nothing;
    }
    set_finalizers(kind.default_propagation, object.meta_mut(), options);
    let pending = object.meta().finalizers.as_ref().is_some_and(|list| !list.is_empty());
    let pending = pending || !special::is_finalized(&object);
    match grace {
        Grace::Set(seconds) if seconds > 0 || pending => Plan::Mark(object),
        Grace::Over if pending => {
            mark(object.meta_mut(), now);
            special::terminating(&mut object);
            Plan::Mark(object)
        }
        _ => Plan::Remove(object),
    }
}

fn apply_grace(kind: &Descriptor, object: &mut Object, options: &DeleteOptions, now: Timestamp) -> Grace {
    let requested = options.grace_period_seconds;
    let Some(wanted) = kind.grace_period(object, requested) else {
        return Grace::Over;
    };
    let meta = object.meta_mut();
    let Some(deletion) = meta.deletion_timestamp.clone() else {
        meta.deletion_timestamp = Some(later(now, wanted));
        meta.deletion_grace_period_seconds = Some(wanted);
        bump_generation(meta);
        return Grace::Set(wanted);
    };
    let running = meta.deletion_grace_period_seconds.map(|seconds| if seconds < 0 { 1 } else { seconds });
    match (running.unwrap_or(0), requested) {
        (0, _) => Grace::Over,
        (running, Some(requested)) if requested < running => {
            let started = earlier(deletion.0, running);
            let mut seconds = requested;
            let mut ends = later(started, requested).0;
            if ends < now {
                ends = now;
                seconds = requested.min(1);
            }
            meta.deletion_timestamp = Some(whole_seconds(ends));
            meta.deletion_grace_period_seconds = Some(seconds);
            Grace::Set(seconds)
        }
        _ => Grace::Running,
    }
}

/// Marks an object that is gone once its finalizers are.
fn mark(meta: &mut ObjectMeta, now: Timestamp) {
    if meta.deletion_timestamp.is_none() {
        bump_generation(meta);
    }
    if meta.deletion_timestamp.as_ref().is_none_or(|time| time.0 > now) {
        meta.deletion_timestamp = Some(whole_seconds(now));
    }
    meta.deletion_grace_period_seconds = Some(0);
}

fn later(now: Timestamp, seconds: i64) -> Time {
    // Beyond the end of time is as good as its end.
    whole_seconds(now.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX))
}

fn earlier(time: Timestamp, seconds: i64) -> Timestamp {
    time.saturating_sub(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MIN)
}

fn bump_generation(meta: &mut ObjectMeta) {
    meta.generation =
        meta.generation.map(|generation| if generation > 0 { generation + 1 } else { generation });
}

/// The garbage collector's two finalizers follow the options; the others stay.
fn set_finalizers(default: Propagation, meta: &mut ObjectMeta, options: &DeleteOptions) {
    let has = |name: &str| meta.finalizers.iter().flatten().any(|own| own == name);
    let policy = match (options.orphan_dependents, options.propagation_policy) {
        _ if default == Propagation::Unsupported => PropagationPolicy::Background,
        (Some(true), _) => PropagationPolicy::Orphan,
        (Some(false), _) => PropagationPolicy::Background,
        (None, Some(policy)) => policy,
        (None, None) if has(FINALIZER_ORPHAN) => PropagationPolicy::Orphan,
        (None, None) if has(FINALIZER_FOREGROUND_DELETION) => PropagationPolicy::Foreground,
        (None, None) if default == Propagation::Orphan => PropagationPolicy::Orphan,
        (None, None) => PropagationPolicy::Background,
    };
    let wanted = match policy {
        PropagationPolicy::Orphan => Some(FINALIZER_ORPHAN),
        PropagationPolicy::Foreground => Some(FINALIZER_FOREGROUND_DELETION),
        PropagationPolicy::Background => None,
    };
    let finalizers = meta.finalizers.get_or_insert_default();
    finalizers.retain(|own| {
        Some(own.as_str()) == wanted
            || !matches!(own.as_str(), FINALIZER_ORPHAN | FINALIZER_FOREGROUND_DELETION)
    });
    if let Some(wanted) = wanted.filter(|wanted| !finalizers.iter().any(|own| own == wanted)) {
        finalizers.push(wanted.to_owned());
    }
    if finalizers.is_empty() {
        meta.finalizers = None;
    }
}
