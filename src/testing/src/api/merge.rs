//! A strategic merge patch as far as components send one: conditions merge by type, other lists replace.

use serde_json::{Value, json};

/// Merges `patch` into `object`; `null` removes.
pub(super) fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else { return };
    let object = object.as_object_mut().unwrap();
    for (key, value) in patch {
        match value {
            Value::Null => drop(object.remove(key)),
            Value::Object(_) => merge(object.entry(key).or_insert_with(|| json!({})), value),
            Value::Array(list) if key == "conditions" => {
                let known = object.entry(key).or_insert_with(|| json!([])).as_array_mut().unwrap();
                for new in list {
                    known.retain(|old| old["type"] != new["type"]);
                    known.push(without_nulls(new));
                }
            }
            Value::Array(list) => {
                let items: Vec<&Value> = list.iter().filter(|item| item.get("$patch").is_none()).collect();
                object.insert(key.clone(), json!(items));
            }
            other => drop(object.insert(key.clone(), other.clone())),
        }
    }
}

fn without_nulls(value: &Value) -> Value {
    let fields = value.as_object().unwrap().iter().filter(|(_, value)| !value.is_null());
    fields.map(|(key, value)| (key.clone(), value.clone())).collect()
}
