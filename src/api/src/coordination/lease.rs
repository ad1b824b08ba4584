//! Lease (upstream: `pkg/registry/coordination/lease`, `ValidateLease`).

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::jiff::Timestamp;
use machinery::field::{ErrorList, Path};
use machinery::table::Column;
use serde_json::Value;

use crate::kind::{Context, Kind};
use crate::{cells, checks};

impl Kind for Lease {
    const SINGULAR: &'static str = "lease";
    const NAMESPACED: bool = true;
    const ALLOW_CREATE_ON_UPDATE: bool = true;
    const ALLOW_UNCONDITIONAL_UPDATE: bool = false;
    const CHECKS_FINALIZERS: bool = false;

    /// Coordinated leader election is off by default upstream and absent here.
    fn prepare_for_create(&mut self, _cx: &Context) {
        if let Some(spec) = &mut self.spec {
            spec.strategy = None;
            spec.preferred_holder = None;
        }
    }

    fn validate(&self) -> ErrorList {
        self.spec.as_ref().map(validate_spec).unwrap_or_default()
    }

    fn validate_update(&self, old: &Self) -> ErrorList {
        let mut errors = checks::metadata_update(self, old);
        errors.extend(self.validate());
        errors
    }

    fn prepare_for_update(&mut self, _old: &Self, cx: &Context) {
        self.prepare_for_create(cx);
    }

    fn columns() -> Vec<Column> {
        vec![cells::name(), cells::column("Holder", "string", "Who holds the lease."), cells::age()]
    }

    fn row(&self, now: Timestamp) -> Vec<Value> {
        let holder = self.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
        vec![cells::name_of(&self.metadata), cells::text(holder), cells::age_of(&self.metadata, now)]
    }
}

fn validate_spec(spec: &LeaseSpec) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = ErrorList::new();
    if let Some(seconds) = spec.lease_duration_seconds {
        errors.extend(checks::positive(seconds.into(), &path.child("leaseDurationSeconds")));
    }
    if let Some(transitions) = spec.lease_transitions {
        errors.extend(checks::nonnegative(transitions.into(), &path.child("leaseTransitions")));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::errors_of;

    #[test]
    fn durations_are_positive() {
        errors_of::<Lease>(r#"{"spec":{"leaseDurationSeconds":1,"leaseTransitions":0}}"#, &[]);
        errors_of::<Lease>(
            r#"{"spec":{"leaseDurationSeconds":0,"leaseTransitions":-1}}"#,
            &[
                "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
                "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
            ],
        );
    }
}
