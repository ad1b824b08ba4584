//! What a claim asks for: requests, constraints between the devices, parameters (upstream: `validateDeviceClaim`).
//!
//! Shared by ResourceClaim and ResourceClaimTemplate.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::resource::v1::{
    DeviceClaim, DeviceClaimConfiguration, DeviceConstraint, DeviceRequest, DeviceSubRequest,
    ExactDeviceRequest, ResourceClaimSpec,
};
use machinery::field::{Error, ErrorList, Path};

use super::configuration::{self, Age};
use super::{lists, names, selectors, taints};
use crate::checks::{self, text};

const MAX_REQUESTS: usize = 32;
const MAX_CONSTRAINTS: usize = 32;
/// How many configurations a claim may have.
pub(super) const MAX_CONFIGURATIONS: usize = 32;
const MAX_ALTERNATIVES: usize = 8;
const MODES: &[&str] = &["All", "ExactCount"];

/// Fills in what requests leave out.
pub(super) fn set_defaults(spec: &mut ResourceClaimSpec) {
    let requests = spec.devices.iter_mut().flat_map(|devices| devices.requests.iter_mut().flatten());
    for request in requests {
        if let Some(exactly) = &mut request.exactly {
            set_amount(&mut exactly.allocation_mode, &mut exactly.count);
            taints::set_defaults(exactly.tolerations.as_mut());
        }
        for alternative in request.first_available.iter_mut().flatten() {
            set_amount(&mut alternative.allocation_mode, &mut alternative.count);
            taints::set_defaults(alternative.tolerations.as_mut());
        }
    }
}

/// One device, unless something else is said.
fn set_amount(mode: &mut Option<String>, count: &mut Option<i64>) {
    crate::defaults::string(mode, "ExactCount");
    if mode.as_deref() == Some("ExactCount") && count.unwrap_or_default() == 0 {
        *count = Some(1);
    }
}

/// Errors of a claim's spec.
pub(super) fn validate(spec: &ResourceClaimSpec, path: &Path) -> ErrorList {
    let path = path.child("devices");
    let devices = spec.devices.clone().unwrap_or_default();
    let known = Requests::of(&devices);
    let requests = devices.requests.as_deref().unwrap_or_default();
    let mut errors =
        lists::set(requests, MAX_REQUESTS, &path.child("requests"), validate_request, |request| {
            request.name.clone()
        });
    let constraints = devices.constraints.as_deref().unwrap_or_default();
    errors.extend(lists::bounded(
        constraints,
        MAX_CONSTRAINTS,
        &path.child("constraints"),
        |constraint, path| validate_constraint(constraint, &known, path),
    ));
    let configurations = devices.config.as_deref().unwrap_or_default();
    errors.extend(lists::bounded(
        configurations,
        MAX_CONFIGURATIONS,
        &path.child("config"),
        |configuration, path| validate_configuration(configuration, &known, path),
    ));
    errors
}

/// The names of a claim's requests, each with those of its alternatives.
pub(super) struct Requests(BTreeMap<String, BTreeSet<String>>);

impl Requests {
    /// The names in a claim.
    pub(super) fn of(devices: &DeviceClaim) -> Requests {
        let alternatives = |request: &DeviceRequest| {
            request.first_available.iter().flatten().map(|alternative| alternative.name.clone()).collect()
        };
        let requests = devices.requests.iter().flatten();
        Requests(requests.map(|request| (request.name.clone(), alternatives(request))).collect())
    }

    fn has(&self, name: &str) -> bool {
        match name.split_once('/') {
            None => self.0.contains_key(name),
            Some((request, alternative)) => {
                self.0.get(request).is_some_and(|alternatives| alternatives.contains(alternative))
            }
        }
    }

    /// Errors of a list of references to requests.
    pub(super) fn validate_references(&self, names: Option<&[String]>, path: &Path) -> ErrorList {
        let names = names.unwrap_or_default();
        let path = path.child("requests");
        lists::set(
            names,
            MAX_REQUESTS,
            &path,
            |name, path| self.validate_reference(name, path),
            String::clone,
        )
    }

    /// Errors of `request` or `request/alternative`.
    pub(super) fn validate_reference(&self, name: &str, path: &Path) -> ErrorList {
        let unknown = || {
            let detail = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
            Error::invalid(path, name, detail)
        };
        if name.split('/').count() > 2 {
            return vec![unknown()];
        }
        let mut errors: ErrorList = name.split('/').flat_map(|part| checks::dns_label(part, path)).collect();
        errors.extend((!self.has(name)).then(unknown));
        errors
    }
}

fn validate_request(request: &DeviceRequest, path: &Path) -> ErrorList {
    let mut errors = checks::dns_label(&request.name, &path.child("name"));
    let alternatives = request.first_available.as_deref().unwrap_or_default();
    match (&request.exactly, alternatives) {
        (None, []) => {
            errors.push(Error::required(path, "exactly one of `exactly` or `firstAvailable` is required"));
        }
        (Some(exactly), []) => errors.extend(validate_exact(exactly, &path.child("exactly"))),
        (Some(_), _) => {
            let detail =
                "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
            errors.push(Error::invalid(path, (), detail));
        }
        (None, alternatives) => errors.extend(lists::set(
            alternatives,
            MAX_ALTERNATIVES,
            &path.child("firstAvailable"),
            validate_alternative,
            |alternative| alternative.name.clone(),
        )),
    }
    errors
}

fn validate_exact(request: &ExactDeviceRequest, path: &Path) -> ErrorList {
    let mut errors = checks::required_reference(&request.device_class_name, &path.child("deviceClassName"));
    errors.extend(selectors::validate(request.selectors.as_deref(), &path.child("selectors")));
    errors.extend(validate_amount(text(&request.allocation_mode), request.count, path));
    errors.extend(taints::validate_tolerations(request.tolerations.as_deref(), path));
    errors
}

fn validate_alternative(request: &DeviceSubRequest, path: &Path) -> ErrorList {
    let mut errors = checks::dns_label(&request.name, &path.child("name"));
    errors.extend(checks::required_reference(&request.device_class_name, &path.child("deviceClassName")));
    errors.extend(selectors::validate(request.selectors.as_deref(), &path.child("selectors")));
    errors.extend(validate_amount(text(&request.allocation_mode), request.count, path));
    errors.extend(taints::validate_tolerations(request.tolerations.as_deref(), path));
    errors
}

fn validate_amount(mode: &str, count: Option<i64>, path: &Path) -> Option<Error> {
    let (count, count_path) = (count.unwrap_or_default(), path.child("count"));
    match mode {
        "All" if count != 0 => {
            let detail = "must not be specified when allocationMode is 'All'";
            Some(Error::invalid(&count_path, count, detail))
        }
        "ExactCount" if count <= 0 => Some(Error::invalid(&count_path, count, "must be greater than zero")),
        "All" | "ExactCount" => None,
        other => Some(Error::not_supported(&path.child("allocationMode"), other, MODES)),
    }
}

fn validate_constraint(constraint: &DeviceConstraint, known: &Requests, path: &Path) -> ErrorList {
    let mut errors = known.validate_references(constraint.requests.as_deref(), path);
    match (&constraint.match_attribute, &constraint.distinct_attribute) {
        (Some(name), _) => errors.extend(names::fully_qualified(name, &path.child("matchAttribute"))),
        (None, Some(name)) => errors.extend(names::fully_qualified(name, &path.child("distinctAttribute"))),
        (None, None) => {
            let detail = "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set";
            errors.push(Error::required(path, detail));
        }
    }
    errors
}

fn validate_configuration(
    configuration: &DeviceClaimConfiguration,
    known: &Requests,
    path: &Path,
) -> ErrorList {
    let mut errors = known.validate_references(configuration.requests.as_deref(), path);
    errors.extend(configuration::validate(configuration.opaque.as_ref(), Age::New, path));
    errors
}
