//! Stored objects as the typed values of `k8s-openapi`.
//!
//! Go writes a time that was never set as `null` and takes a missing one for that. `k8s-openapi` refuses both where the
//! schema requires the time, so that one service whose status names a condition without a time could be read by nobody.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Go's time that was never set.
const ZERO: &str = "0001-01-01T00:00:00Z";

/// The object whose JSON this is; required times that are absent become year one, as in Go.
///
/// # Errors
///
/// The JSON is not such an object for another reason.
pub fn from_json<K: DeserializeOwned>(json: &[u8]) -> Result<K, serde_json::Error> {
    serde_json::from_slice(json).or_else(|error| match with_times(json) {
        Some(mended) => serde_json::from_value(mended),
        None => Err(error),
    })
}

/// The object with its required times; none if it lacks none.
fn with_times(json: &[u8]) -> Option<Value> {
    let mut object: Value = serde_json::from_slice(json).ok()?;
    let conditions = object.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
    let mut mended = false;
    for condition in conditions.into_iter().flatten() {
        mended |= set_time(condition, "lastTransitionTime");
    }
    mended |= object.get_mut("series").is_some_and(|series| set_time(series, "lastObservedTime"));
    mended.then_some(object)
}

fn set_time(object: &mut Value, name: &str) -> bool {
    let Some(fields) = object.as_object_mut().filter(|fields| fields.get(name).is_none_or(Value::is_null))
    else {
        return false;
    };
    fields.insert(name.to_owned(), ZERO.into());
    true
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;

    use super::*;

    #[test]
    fn a_condition_without_its_time_has_the_zero_time() {
        for condition in [r#"{"type":"A","lastTransitionTime":null}"#, r#"{"type":"A"}"#] {
            let json = format!(r#"{{"metadata":{{"name":"s"}},"status":{{"conditions":[{condition}]}}}}"#);
            let service: Service = from_json(json.as_bytes()).unwrap();
            let conditions = service.status.unwrap().conditions.unwrap();
            assert_eq!(conditions[0].last_transition_time.0.to_string(), ZERO);
        }
    }

    #[test]
    fn what_is_wrong_otherwise_is_said_as_it_was() {
        let error = from_json::<Service>(br#"{"spec":{"ports":7}}"#).unwrap_err();
        assert!(error.to_string().contains("invalid type: integer `7`"), "{error}");
    }
}
