//! What becomes of an object, given the state of its owners. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::PropagationPolicy;

/// The state of an owner, found by a direct read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnerState {
    /// It is there.
    Solid,
    /// It is there, being deleted in the foreground.
    Waiting,
    /// It is not there.
    Dangling,
}

#[derive(Debug, PartialEq)]
pub(super) enum Decision {
    Keep,
    /// It stays, with these owners only.
    KeepWith(Vec<OwnerReference>),
    /// It goes; first its references are made not to block, where a circle would otherwise hold it for ever.
    Delete {
        policy: PropagationPolicy,
        unblock: bool,
    },
}

/// Decides about an object with `owners` in these states. `has_dependents` and `dependent_waits` tell of its own
/// dependents, `asked` is the policy that its finalizers ask for.
pub(super) fn decide(
    owners: Vec<(OwnerReference, OwnerState)>,
    has_dependents: bool,
    dependent_waits: bool,
    asked: PropagationPolicy,
) -> Decision {
    let any = |state: OwnerState| owners.iter().any(|(_, one)| *one == state);
    let all_solid = owners.iter().all(|(_, state)| *state == OwnerState::Solid);
    if all_solid {
        Decision::Keep
    } else if any(OwnerState::Solid) {
        let solid = owners.into_iter().filter(|(_, state)| *state == OwnerState::Solid);
        Decision::KeepWith(solid.map(|(owner, _)| owner).collect())
    } else if any(OwnerState::Waiting) && has_dependents {
        Decision::Delete { policy: PropagationPolicy::Foreground, unblock: dependent_waits }
    } else {
        Decision::Delete { policy: asked, unblock: false }
    }
}

#[cfg(test)]
mod tests {
    use super::{OwnerState::*, *};

    fn check(states: &[OwnerState], has_dependents: bool, dependent_waits: bool, expected: &str) {
        let owner = |(place, state): (usize, &OwnerState)| {
            (OwnerReference { uid: place.to_string(), ..OwnerReference::default() }, *state)
        };
        let owners = states.iter().enumerate().map(owner).collect();
        let outcome = match decide(owners, has_dependents, dependent_waits, PropagationPolicy::Background) {
            Decision::Keep => "keep".to_owned(),
            Decision::KeepWith(owners) => format!("keep with {}", owners[0].uid),
            Decision::Delete { policy, unblock } => {
                format!("{policy:?}{}", if unblock { ", unblocked" } else { "" })
            }
        };
        assert_eq!(outcome, expected);
    }

    #[test]
    fn one_solid_owner_keeps_an_object() {
        check(&[], false, false, "keep");
        check(&[Solid], false, false, "keep");
        check(&[Dangling, Solid, Waiting], false, false, "keep with 1");
    }

    #[test]
    fn without_one_it_goes_and_in_the_foreground_if_its_owner_does() {
        check(&[Dangling], true, false, "Background");
        check(&[Waiting], false, false, "Background");
        check(&[Waiting, Dangling], true, false, "Foreground");
        check(&[Waiting], true, true, "Foreground, unblocked");
    }
}
