//! A claim's status: who uses it, which devices it has, what their drivers say of them (upstream:
//! `validateResourceClaimStatusUpdate`).

use std::collections::BTreeSet;

use k8s_openapi::api::resource::v1::{
    AllocatedDeviceStatus, AllocationResult, DeviceAllocationConfiguration, DeviceAllocationResult,
    DeviceRequestAllocationResult, NetworkDeviceData, ResourceClaim, ResourceClaimConsumerReference,
    ResourceClaimStatus,
};
use machinery::field::{Error, ErrorList, Path};
use machinery::json::Tree;
use serde_json::json;

use super::super::claim_spec::{MAX_CONFIGURATIONS, Requests};
use super::super::configuration::{self, Age};
use super::super::{lists, names, resource_slice};
use super::{DeviceId, allocated};
use crate::checks;
use crate::core::pod::validate_node_selector;

const ALLOCATION: &str = "io.k8s.api.resource.v1.AllocationResult";
const MAX_USERS: usize = 256;
const MAX_RESULTS: usize = 32;
const MAX_CONDITIONS: usize = 8;
const MAX_INTERFACE_NAME: usize = 256;
const MAX_HARDWARE_ADDRESS: usize = 128;
const MAX_IPS: usize = 16;

/// Errors of the status that replaces an old one.
pub(super) fn validate(claim: &ResourceClaim, old: &ResourceClaim) -> ErrorList {
    let path = Path::new("status");
    let (new, old) = (claim.status.clone().unwrap_or_default(), old.status.clone().unwrap_or_default());
    let mut errors = validate_users(&new, &path.child("reservedFor"));
    errors.extend(validate_devices(&new, &path.child("devices")));
    let is_deleted = claim.metadata.deletion_timestamp.is_some();
    errors.extend(validate_reservation(&new, &old, is_deleted, &path.child("reservedFor")));
    let path = path.child("allocation");
    match (&new.allocation, &old.allocation) {
        (Some(new), Some(old)) if !checks::same(ALLOCATION, new, old) => {
            errors.push(Error::invalid(&path, checks::internal(ALLOCATION, new), "field is immutable"));
        }
        (Some(new), None) => {
            let requests = Requests::of(&claim.spec.devices.clone().unwrap_or_default());
            errors.extend(validate_allocation(new, &requests, &path));
        }
        _ => {}
    }
    errors
}

fn validate_users(status: &ResourceClaimStatus, path: &Path) -> ErrorList {
    let users = status.reserved_for.as_deref().unwrap_or_default();
    let mut errors = lists::bounded(users, MAX_USERS, path, validate_user);
    if users.len() <= MAX_USERS {
        let repeated = |path: &Path, uid: &str| Error::duplicate(path, uid).named();
        errors.extend(lists::duplicates(users, path, |user| user.uid.as_str(), repeated));
    }
    errors
}

fn validate_user(user: &ResourceClaimConsumerReference, path: &Path) -> ErrorList {
    let fields = [("resource", &user.resource), ("name", &user.name), ("uid", &user.uid)];
    let empty = fields.into_iter().filter(|(_, value)| value.is_empty());
    empty.map(|(name, _)| Error::required(&path.child(name), "")).collect()
}

/// Only what is allocated is used, and nothing new uses what is on its way out.
fn validate_reservation(
    new: &ResourceClaimStatus,
    old: &ResourceClaimStatus,
    is_deleted: bool,
    path: &Path,
) -> Option<Error> {
    let (users, before) = (new.reserved_for.as_deref()?, old.reserved_for.as_deref().unwrap_or_default());
    if users.is_empty() {
        return None;
    }
    if new.allocation.is_none() {
        return Some(Error::forbidden(path, "may not be specified when `allocated` is not set"));
    }
    let detail = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
    let has_new = users.iter().any(|user| !before.contains(user));
    (is_deleted && has_new).then(|| Error::forbidden(path, detail))
}

fn validate_allocation(allocation: &AllocationResult, requests: &Requests, path: &Path) -> ErrorList {
    let devices = allocation.devices.clone().unwrap_or_default();
    let mut errors = validate_results(&devices, requests, &path.child("devices"));
    if let Some(selector) = &allocation.node_selector {
        errors.extend(validate_node_selector(selector, true, &path.child("nodeSelector")));
    }
    errors
}

fn validate_results(devices: &DeviceAllocationResult, requests: &Requests, path: &Path) -> ErrorList {
    let results = devices.results.as_deref().unwrap_or_default();
    let validate =
        |result: &DeviceRequestAllocationResult, path: &Path| validate_result(result, requests, path);
    let mut errors = lists::bounded(results, MAX_RESULTS, &path.child("results"), validate);
    let configurations = devices.config.as_deref().unwrap_or_default();
    let validate =
        |config: &DeviceAllocationConfiguration, path: &Path| validate_configuration(config, requests, path);
    // Those of the class and those of the claim.
    errors.extend(lists::bounded(configurations, 2 * MAX_CONFIGURATIONS, &path.child("config"), validate));
    errors
}

fn validate_result(result: &DeviceRequestAllocationResult, requests: &Requests, path: &Path) -> ErrorList {
    let mut errors = requests.validate_reference(&result.request, &path.child("request"));
    errors.extend(checks::driver_name(&result.driver, &path.child("driver")));
    errors.extend(names::pool(&result.pool, &path.child("pool")));
    errors.extend(checks::dns_label(&result.device, &path.child("device")));
    errors.extend(resource_slice::validate_binding(
        result.binding_conditions.as_deref(),
        result.binding_failure_conditions.as_deref(),
        path,
    ));
    if let Some(share) = &result.share_id {
        errors.extend(names::uid(share, &path.child("shareID")));
    }
    errors
}

fn validate_configuration(
    configuration: &DeviceAllocationConfiguration,
    requests: &Requests,
    path: &Path,
) -> ErrorList {
    let source = Some(configuration.source.as_str());
    let mut errors = checks::one_of(source, &["FromClaim", "FromClass"], &path.child("source"));
    errors.extend(requests.validate_references(configuration.requests.as_deref(), path));
    errors.extend(configuration::validate(configuration.opaque.as_ref(), Age::New, path));
    errors
}

fn validate_devices(status: &ResourceClaimStatus, path: &Path) -> ErrorList {
    let allocated = allocated(Some(status));
    let devices = status.devices.as_deref().unwrap_or_default();
    let mut errors = lists::each(devices, path, |device, path| validate_device(device, &allocated, path));
    let repeated = |path: &Path, id: DeviceId| Error::duplicate(path, shown(&id));
    errors.extend(lists::duplicates(devices, path, DeviceId::of_status, repeated));
    errors
}

/// A device's id as upstream prints it.
fn shown(DeviceId([driver, pool, device, share]): &DeviceId) -> Tree<'static> {
    let members = [("Driver", driver), ("Pool", pool), ("Device", device), ("ShareID", share)];
    Tree::Object(members.into_iter().map(|(name, value)| (name.into(), value.clone().into())).collect())
}

fn validate_device(device: &AllocatedDeviceStatus, allocated: &BTreeSet<DeviceId>, path: &Path) -> ErrorList {
    let mut errors = checks::driver_name(&device.driver, &path.child("driver"));
    errors.extend(names::pool(&device.pool, &path.child("pool")));
    errors.extend(checks::dns_label(&device.device, &path.child("device")));
    if let Some(share) = &device.share_id {
        errors.extend(names::uid(share, &path.child("shareID")));
    }
    let id = DeviceId::of_status(device);
    if !allocated.contains(&id) {
        errors.push(Error::invalid(path, shown(&id), "must be an allocated device in the claim"));
    }
    let conditions = device.conditions.as_deref().unwrap_or_default();
    let conditions_path = path.child("conditions");
    if conditions.len() > MAX_CONDITIONS {
        errors.push(Error::too_many(&conditions_path, conditions.len(), MAX_CONDITIONS));
    }
    errors.extend(checks::conditions(conditions, &conditions_path));
    if let Some(data) = device.data.as_ref().filter(|data| data.0 != json!(null)) {
        errors.extend(configuration::validate_raw(data, Age::New, &path.child("data")));
    }
    if let Some(network) = &device.network_data {
        errors.extend(validate_network(network, &path.child("networkData")));
    }
    errors
}

fn validate_network(network: &NetworkDeviceData, path: &Path) -> ErrorList {
    let limited = [
        ("interfaceName", &network.interface_name, MAX_INTERFACE_NAME),
        ("hardwareAddress", &network.hardware_address, MAX_HARDWARE_ADDRESS),
    ];
    let too_long = limited.into_iter().filter(|(_, value, max)| checks::text(value).len() > *max);
    let mut errors: ErrorList =
        too_long.map(|(name, _, max)| Error::too_long(&path.child(name), max)).collect();
    let ips = network.ips.as_deref().unwrap_or_default();
    let validate = |ip: &String, path: &Path| checks::interface_address(ip, path);
    errors.extend(lists::set(ips, MAX_IPS, &path.child("ips"), validate, String::clone));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    #[test]
    fn only_what_is_allocated_is_used_and_reported_on() {
        let claim: ResourceClaim = object(
            r#"{"status":{"reservedFor":[{"resource":"pods","name":"p","uid":"u"}],"devices":[{"driver":"d","pool":"p","device":"x"}]}}"#,
        );
        let errors = validate(&claim, &ResourceClaim::default());
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                r#"status.devices[0]: Invalid value: {"Driver":"d","Pool":"p","Device":"x","ShareID":""}: must be an allocated device in the claim"#,
                "status.reservedFor: Forbidden: may not be specified when `allocated` is not set",
            ]
        );
    }
}
