//! Choices of devices by expressions (upstream: `validateSelector`).
//!
//! Upstream compiles an expression before it takes it. There is no compiler of CEL here yet, so that an expression is
//! refused: one that nobody has checked would fail wherever it is evaluated.

use k8s_openapi::api::resource::v1::{CELDeviceSelector, DeviceSelector};
use machinery::field::{Error, ErrorList, Path};

use super::lists;

const MAX_SELECTORS: usize = 32;
const MAX_EXPRESSION: usize = 10 * 1024;

/// Errors of a list of selectors at `path`.
pub(super) fn validate(selectors: Option<&[DeviceSelector]>, path: &Path) -> ErrorList {
    lists::bounded(selectors.unwrap_or_default(), MAX_SELECTORS, path, |selector, path| {
        let path = path.child("cel");
        vec![selector.cel.as_ref().map_or_else(|| Error::required(&path, ""), |cel| refuse(cel, &path))]
    })
}

fn refuse(cel: &CELDeviceSelector, path: &Path) -> Error {
    let path = path.child("expression");
    if cel.expression.len() > MAX_EXPRESSION {
        return Error::too_long(&path, MAX_EXPRESSION);
    }
    let detail = "CEL expressions cannot be compiled by this server yet";
    Error::invalid(&path, cel.expression.as_str(), detail)
}
