//! A device's capacities, and how much of one may be asked for (upstream: `validateRequestPolicy`).

use k8s_openapi::api::resource::v1::{CapacityRequestPolicy, CapacityRequestPolicyRange, DeviceCapacity};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use machinery::field::{Error, ErrorList, Path};
use machinery::quantity::Quantity;

use super::super::lists;

const MAX_VALUES: usize = 10;

/// Errors of a capacity of a device that several claims may share.
pub(super) fn validate_shared(capacity: &DeviceCapacity, path: &Path) -> ErrorList {
    let path = path.child("requestPolicy");
    let value = amount(&capacity.value);
    capacity.request_policy.as_ref().map(|policy| validate_policy(policy, &value, &path)).unwrap_or_default()
}

/// Errors of a capacity of a device that one claim has.
pub(super) fn validate_whole(capacity: &DeviceCapacity, path: &Path) -> ErrorList {
    let detail = "allowMultipleAllocations must be true";
    let error = |_| Error::forbidden(&path.child("requestPolicy"), detail);
    capacity.request_policy.as_ref().map(error).into_iter().collect()
}

/// Decoding has refused what is no quantity; one that is absent is nothing.
fn amount(text: &Text) -> Quantity {
    Quantity::parse(&text.0).unwrap_or_default()
}

fn validate_policy(policy: &CapacityRequestPolicy, capacity: &Quantity, path: &Path) -> ErrorList {
    let values = policy.valid_values.as_deref().unwrap_or_default();
    let default = policy.default.as_ref().map(amount);
    let missing =
        |of: &str| vec![Error::required(&path.child("default"), format!("required when {of} is defined"))];
    match (values, &policy.valid_range, default) {
        ([], None, _) => ErrorList::new(),
        ([_, ..], Some(_), _) => {
            let detail = "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the same time";
            vec![Error::forbidden(path, detail)]
        }
        ([_, ..], None, None) => missing("validValues"),
        ([], Some(_), None) => missing("validRange"),
        (values, None, Some(default)) => {
            let values: Vec<Quantity> = values.iter().map(amount).collect();
            validate_values(&values, &default, capacity, &path.child("validValues"))
        }
        ([], Some(range), Some(default)) => {
            validate_range(range, &default, capacity, &path.child("validRange"))
        }
    }
}

fn validate_values(values: &[Quantity], default: &Quantity, capacity: &Quantity, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, pair) in values.windows(2).enumerate().filter(|(_, pair)| pair[0] > pair[1]) {
        let detail = "values must be sorted in ascending order";
        errors.push(Error::invalid(&path.index(index + 1), pair[1].to_string(), detail));
    }
    let larger = |value: &Quantity, path: &Path| {
        let detail = format!("option is larger than capacity value: {capacity}");
        ErrorList::from_iter((value > capacity).then(|| Error::invalid(path, value.to_string(), detail)))
    };
    errors.extend(lists::set(values, MAX_VALUES, path, larger, |value| value.wrapping_value().to_string()));
    if values.len() > MAX_VALUES || !values.contains(default) {
        let detail = "default value is not valid according to the requestPolicy";
        errors.push(Error::invalid(path, default.to_string(), detail));
    }
    errors
}

fn validate_range(
    range: &CapacityRequestPolicyRange,
    default: &Quantity,
    capacity: &Quantity,
    path: &Path,
) -> ErrorList {
    let min_path = path.child("min");
    if range.min.0.is_empty() {
        return vec![Error::required(&min_path, "required when validRange is defined")];
    }
    let min = amount(&range.min);
    let max = range.max.as_ref().map(amount);
    let mut errors = ErrorList::new();
    let mut check = |holds: bool, path: &Path, shown: &Quantity, detail: String| {
        errors.extend((!holds).then(|| Error::invalid(path, shown.to_string(), detail)));
    };
    check(min <= *capacity, &min_path, &min, format!("min is larger than capacity value: {capacity}"));
    check(*default >= min, &min_path, default, format!("default is less than min: {min}"));
    if let Some(max) = &max {
        let path = path.child("max");
        check(min <= *max, &path, &min, format!("min is larger than max: {max}"));
        check(max <= capacity, &path, max, format!("max is larger than capacity value: {capacity}"));
        check(default <= max, &path, default, format!("default is more than max: {max}"));
    }
    if let Some(step) = range.step.as_ref().map(amount) {
        let path = path.child("step");
        let mut first = min.clone();
        first.add(&step);
        let detail = format!("one step {first} is larger than capacity value: {capacity}");
        check(first <= *capacity, &path, &step, detail);
        for value in [Some(default), max.as_ref()].into_iter().flatten() {
            let detail = format!("value is not a multiple of a given step ({step}) from ({min})");
            check(is_multiple(value, &min, &step), &path, value, detail);
        }
    }
    errors
}

/// Whether a value is a whole number of steps from the first one. A step of nothing, by which upstream divides, leads nowhere.
fn is_multiple(value: &Quantity, min: &Quantity, step: &Quantity) -> bool {
    let distance = value.wrapping_value().wrapping_sub(min.wrapping_value());
    distance.checked_rem(step.wrapping_value()) == Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_nothing_is_refused() {
        let quantity = |text| Quantity::parse(text).unwrap();
        assert!(is_multiple(&quantity("3"), &quantity("1"), &quantity("2")));
        assert!(!is_multiple(&quantity("4"), &quantity("1"), &quantity("2")));
        assert!(!is_multiple(&quantity("4"), &quantity("1"), &quantity("0")));
    }
}
