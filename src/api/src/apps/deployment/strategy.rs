//! How a deployment replaces its pods (upstream: `ValidateDeploymentStrategy`).

use k8s_openapi::api::apps::v1::{DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::field::{Error, ErrorList, Path};
use machinery::names;

use crate::{checks, defaults};

const RECREATE: &str = "Recreate";
const ROLLING: &str = "RollingUpdate";

pub(super) fn set_defaults(strategy: &mut DeploymentStrategy) {
    defaults::string(&mut strategy.type_, ROLLING);
    if strategy.type_.as_deref() != Some(ROLLING) {
        return;
    }
    let quarter = || IntOrString::String("25%".to_owned());
    let rolling = strategy.rolling_update.get_or_insert_default();
    rolling.max_unavailable.get_or_insert_with(quarter);
    rolling.max_surge.get_or_insert_with(quarter);
}

pub(super) fn validate(strategy: &DeploymentStrategy, path: &Path) -> ErrorList {
    let rolling_path = path.child("rollingUpdate");
    match (checks::text(&strategy.type_), &strategy.rolling_update) {
        (RECREATE, None) => vec![],
        (RECREATE, Some(_)) => {
            vec![Error::forbidden(&rolling_path, "may not be specified when strategy `type` is 'Recreate'")]
        }
        (ROLLING, None) => {
            vec![Error::required(&rolling_path, "this should be defaulted and never be nil")]
        }
        (ROLLING, Some(rolling)) => validate_rolling(rolling, &rolling_path),
        _ => {
            let shown = checks::internal("io.k8s.api.apps.v1.DeploymentStrategy", strategy);
            vec![Error::not_supported(path, shown, &[RECREATE, ROLLING])]
        }
    }
}

fn validate_rolling(rolling: &RollingUpdateDeployment, path: &Path) -> ErrorList {
    let zero = IntOrString::Int(0);
    let unavailable = rolling.max_unavailable.as_ref().unwrap_or(&zero);
    let surge = rolling.max_surge.as_ref().unwrap_or(&zero);
    let unavailable_path = path.child("maxUnavailable");
    let mut errors = validate_amount(unavailable, &unavailable_path);
    errors.extend(validate_amount(surge, &path.child("maxSurge")));
    if number(unavailable) == 0 && number(surge) == 0 {
        let detail = "may not be 0 when `maxSurge` is 0";
        errors.push(Error::invalid(&unavailable_path, unavailable, detail));
    }
    if percentage(unavailable).is_some_and(|value| value > 100) {
        errors.push(Error::invalid(&unavailable_path, unavailable, "must not be greater than 100%"));
    }
    errors
}

fn validate_amount(amount: &IntOrString, path: &Path) -> ErrorList {
    match amount {
        IntOrString::Int(count) => checks::nonnegative((*count).into(), path),
        IntOrString::String(text) => checks::each(path, text.as_str(), names::percent(text)),
    }
}

fn percentage(amount: &IntOrString) -> Option<i64> {
    match amount {
        IntOrString::Int(_) => None,
        IntOrString::String(text) => text.strip_suffix('%')?.parse().ok(),
    }
}

/// The number before the per cent sign, or the number; what is neither counts as 0, as upstream.
fn number(amount: &IntOrString) -> i64 {
    match amount {
        IntOrString::Int(count) => (*count).into(),
        IntOrString::String(text) => percentage(amount).or_else(|| text.parse().ok()).unwrap_or_default(),
    }
}
