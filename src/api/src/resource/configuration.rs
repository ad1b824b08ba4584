//! Parameters that only a driver understands (upstream: `validateDeviceConfiguration`, `validateRawExtension`).

use k8s_openapi::api::resource::v1::OpaqueDeviceConfiguration;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use machinery::field::{Error, ErrorList, Path};

use crate::checks;

const MAX_LENGTH: usize = 10 * 1024;

/// Whether a value is new or was taken by a server before; what is stored may be longer than what is taken today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// It has to meet today's limits.
    New,
    /// It may stay.
    Stored,
}

/// Errors of a driver's parameters, which have to be there.
pub(super) fn validate(opaque: Option<&OpaqueDeviceConfiguration>, age: Age, path: &Path) -> ErrorList {
    let path = path.child("opaque");
    let Some(opaque) = opaque else { return vec![Error::required(&path, "")] };
    let mut errors = checks::driver_name(&opaque.driver, &path.child("driver"));
    errors.extend(validate_raw(&opaque.parameters, age, &path.child("parameters")));
    errors
}

/// Errors of a JSON object of limited length.
pub(super) fn validate_raw(raw: &RawExtension, age: Age, path: &Path) -> Option<Error> {
    if raw.0.is_null() {
        return Some(Error::required(path, ""));
    }
    if age == Age::New && raw.0.to_string().len() > MAX_LENGTH {
        return Some(Error::too_long(path, MAX_LENGTH));
    }
    let detail = "must be a valid JSON object";
    (!raw.0.is_object()).then(|| Error::invalid(path, "<value omitted>", detail))
}
