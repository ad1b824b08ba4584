//! ResourceClaim (upstream: `pkg/registry/resource/resourceclaim`). What it asks for never changes; its status is written by
//! schedulers, which allocate, and by drivers. Who may is the API server's to know.

mod status;

use std::collections::BTreeSet;

use k8s_openapi::api::resource::v1::{
    AllocatedDeviceStatus, DeviceRequestAllocationResult, ResourceClaim, ResourceClaimStatus,
};
use k8s_openapi::jiff::Timestamp;
use machinery::field::{Error, ErrorList, Path};
use machinery::table::Column;
use serde_json::Value;

use super::{claim_spec, taints};
use crate::kind::{Context, Kind, Subresource};
use crate::{cells, checks};

const SPEC: &str = "io.k8s.api.resource.v1.ResourceClaimSpec";

impl Kind for ResourceClaim {
    const SINGULAR: &'static str = "resourceclaim";
    const RETURNS_DELETED: bool = true;
    const NAMESPACED: bool = true;
    const SUBRESOURCES: &'static [Subresource] = &[Subresource::Status];

    fn set_defaults(&mut self) {
        claim_spec::set_defaults(&mut self.spec);
        let allocation = self.status.iter_mut().flat_map(|status| &mut status.allocation);
        let results = allocation.flat_map(|allocation| &mut allocation.devices);
        for result in results.flat_map(|devices| devices.results.iter_mut().flatten()) {
            taints::set_defaults(result.tolerations.as_mut());
        }
    }

    fn prepare_for_create(&mut self, _cx: &Context) {
        self.status = None;
    }

    fn validate(&self) -> ErrorList {
        claim_spec::validate(&self.spec, &Path::new("spec"))
    }

    fn prepare_for_update(&mut self, old: &Self, _cx: &Context) {
        self.status = old.status.clone();
    }

    fn validate_update(&self, old: &Self) -> ErrorList {
        let mut errors = checks::metadata(self);
        errors.extend(checks::metadata_update(self, old));
        if !checks::same(SPEC, &self.spec, &old.spec) {
            let shown = checks::internal(SPEC, &self.spec);
            errors.push(Error::invalid(&Path::new("spec"), shown, "field is immutable"));
        }
        errors
    }

    fn prepare_for_status_update(&mut self, old: &Self, _cx: &Context) {
        self.spec = old.spec.clone();
        checks::keep_metadata(&mut self.metadata, &old.metadata);
        drop_deallocated(self, old);
    }

    fn validate_status_update(&self, old: &Self) -> ErrorList {
        let mut errors = checks::metadata_update(self, old);
        errors.extend(status::validate(self, old));
        errors
    }

    fn columns() -> Vec<Column> {
        vec![
            cells::name(),
            cells::column("State", "string", "Whether it is allocated and in use."),
            cells::age(),
        ]
    }

    fn row(&self, now: Timestamp) -> Vec<Value> {
        vec![cells::name_of(&self.metadata), Value::from(state(self)), cells::age_of(&self.metadata, now)]
    }
}

/// A device: driver, pool, name, share; the share is empty where the whole device is meant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct DeviceId([String; 4]);

impl DeviceId {
    fn of_result(result: &DeviceRequestAllocationResult) -> DeviceId {
        let share = result.share_id.clone().unwrap_or_default();
        DeviceId([result.driver.clone(), result.pool.clone(), result.device.clone(), share])
    }

    fn of_status(device: &AllocatedDeviceStatus) -> DeviceId {
        let share = device.share_id.clone().unwrap_or_default();
        DeviceId([device.driver.clone(), device.pool.clone(), device.device.clone(), share])
    }
}

/// The devices that a claim has.
fn allocated(status: Option<&ResourceClaimStatus>) -> BTreeSet<DeviceId> {
    let allocation = status.and_then(|status| status.allocation.as_ref());
    let devices = allocation.and_then(|allocation| allocation.devices.as_ref());
    devices
        .into_iter()
        .flat_map(|devices| devices.results.iter().flatten())
        .map(DeviceId::of_result)
        .collect()
}

/// What a driver said of a device goes with the device.
fn drop_deallocated(new: &mut ResourceClaim, old: &ResourceClaim) {
    let kept = allocated(new.status.as_ref());
    let before = allocated(old.status.as_ref());
    let Some(status) = &mut new.status else { return };
    let devices = status.devices.get_or_insert_default();
    devices.retain(|device| {
        let id = DeviceId::of_status(device);
        kept.contains(&id) || !before.contains(&id)
    });
    if devices.is_empty() {
        status.devices = None;
    }
}

fn state(claim: &ResourceClaim) -> String {
    let is_deleted = claim.metadata.deletion_timestamp.is_some();
    let status = claim.status.clone().unwrap_or_default();
    let is_reserved = status.reserved_for.is_some_and(|users| !users.is_empty());
    let states = match status.allocation {
        None if is_deleted => vec!["deleted"],
        None => vec!["pending"],
        Some(_) => [(is_deleted, "deleted"), (true, "allocated"), (is_reserved, "reserved")]
            .into_iter()
            .filter_map(|(holds, word)| holds.then_some(word))
            .collect(),
    };
    states.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, defaulted, errors_of, errors_of_update, object};

    #[test]
    fn one_device_is_asked_for_unless_said_otherwise() {
        defaulted::<ResourceClaim>(
            r#"{"spec":{"devices":{"requests":[{"name":"a","exactly":{"deviceClassName":"c","tolerations":[{"key":"k"}]}}]}}}"#,
            r#"{"spec":{"devices":{"requests":[{"name":"a","exactly":{"deviceClassName":"c","allocationMode":"ExactCount","count":1,
                "tolerations":[{"key":"k","operator":"Equal"}]}}]}}}"#,
        );
    }

    #[test]
    fn constraints_and_parameters_name_requests_of_the_claim() {
        errors_of::<ResourceClaim>(
            r#"{"spec":{"devices":{"requests":[{"name":"a","firstAvailable":[{"name":"x","deviceClassName":"c"}]},{"name":"b"}],
            "constraints":[{"requests":["a/x","a/y"],"matchAttribute":"d.e/f"}]}}}"#,
            &[
                "spec.devices.requests[1]: Required value: exactly one of `exactly` or `firstAvailable` is required",
                "spec.devices.constraints[0].requests[1]: Invalid value: \"a/y\": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
            ],
        );
    }

    #[test]
    fn what_is_asked_for_does_not_change() {
        errors_of_update::<ResourceClaim>(
            r#"{"spec":{}}"#,
            r#"{"spec":{"devices":{"constraints":[{"matchAttribute":"a/b"}]}}}"#,
            &[
                r#"spec: Invalid value: {"Devices":{"Requests":null,"Constraints":[{"Requests":null,"MatchAttribute":"a/b","DistinctAttribute":null}],"Config":null}}: field is immutable"#,
            ],
        );
    }

    #[test]
    fn a_device_that_is_given_back_takes_its_status_along() {
        let old: ResourceClaim = object(
            r#"{"spec":{},"status":{"allocation":{"devices":{"results":[{"request":"a","driver":"d","pool":"p","device":"x"}]}},
            "devices":[{"driver":"d","pool":"p","device":"x"}]}}"#,
        );
        let mut new = old.clone();
        new.status.as_mut().unwrap().allocation = None;
        assert_eq!((state(&old), state(&new)), ("allocated".to_owned(), "pending".to_owned()));
        new.prepare_for_status_update(&old, &context());
        assert_eq!(new.status.unwrap().devices, None);
    }
}
