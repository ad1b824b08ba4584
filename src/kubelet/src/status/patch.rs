//! The patch that turns the status the API has into the one it should have.
//!
//! A strategic merge patch: conditions of other owners are not touched, whatever they become in the meantime.

use k8s_openapi::api::core::v1::PodStatus;
use serde_json::{Map, Value, json};

/// The body of a patch of `pods/status`; the uid makes it fail for a pod that has been replaced.
pub(crate) fn patch(uid: &str, old: &PodStatus, new: &PodStatus) -> Result<Value, serde_json::Error> {
    let old = object(serde_json::to_value(old)?);
    let mut new = object(serde_json::to_value(new)?);
    merge_conditions(old.get("conditions"), new.get_mut("conditions"));
    replace_merged_list(&old, &mut new, "podIPs");
    replace_merged_list(&old, &mut new, "hostIPs");
    let absent: Vec<String> = old.keys().filter(|key| !new.contains_key(*key)).cloned().collect();
    new.extend(absent.into_iter().filter(|key| key != "conditions").map(|key| (key, Value::Null)));
    let is_empty_list =
        |key: &str, value: &Value| key == "conditions" && value.as_array().is_some_and(Vec::is_empty);
    new.retain(|key, value| old.get(key) != Some(value) && !is_empty_list(key, value));
    Ok(json!({"metadata": {"uid": uid}, "status": new}))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Conditions are merged by type, so a field that went away must be named.
fn merge_conditions(old: Option<&Value>, new: Option<&mut Value>) {
    let Some(Value::Array(new)) = new else { return };
    let old = old.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    new.retain(|condition| !old.contains(condition));
    for condition in new.iter_mut().filter_map(Value::as_object_mut) {
        let before = old.iter().find(|before| before.get("type") == condition.get("type"));
        for key in before.and_then(Value::as_object).into_iter().flat_map(Map::keys) {
            condition.entry(key.clone()).or_insert(Value::Null);
        }
    }
}

/// The API merges lists of addresses by address; a changed list must take the place of the old one.
fn replace_merged_list(old: &Map<String, Value>, new: &mut Map<String, Value>, key: &str) {
    let before = old.get(key).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    let changed = old.get(key) != new.get(key);
    if let (true, true, Some(Value::Array(list))) = (before, changed, new.get_mut(key)) {
        list.push(json!({"$patch": "replace"}));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(old: Value, new: Value, expected: Value) {
        let old = serde_json::from_value(old).unwrap();
        let new = serde_json::from_value(new).unwrap();
        assert_eq!(patch("u", &old, &new).unwrap(), json!({"metadata": {"uid": "u"}, "status": expected}));
    }

    #[test]
    fn only_differences_are_sent() {
        check(json!({"phase": "Running"}), json!({"phase": "Running"}), json!({}));
        check(
            json!({"phase": "Pending", "reason": "x"}),
            json!({"phase": "Running"}),
            json!({"phase": "Running", "reason": null}),
        );
    }

    #[test]
    fn conditions_of_others_are_left_alone_and_lost_fields_are_named() {
        check(
            json!({"conditions": [{"type": "Mine", "status": "False", "reason": "R"}, {"type": "Theirs", "status": "True"}]}),
            json!({"conditions": [{"type": "Theirs", "status": "True"}, {"type": "Mine", "status": "True"}]}),
            json!({"conditions": [{"type": "Mine", "status": "True", "reason": null}]}),
        );
    }

    #[test]
    fn addresses_are_replaced_not_added() {
        check(
            json!({"podIP": "a", "podIPs": [{"ip": "a"}]}),
            json!({"podIP": "b", "podIPs": [{"ip": "b"}]}),
            json!({"podIP": "b", "podIPs": [{"ip": "b"}, {"$patch": "replace"}]}),
        );
    }
}
