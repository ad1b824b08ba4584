//! JSON for people who read differences: what fits on a line stands on one, anything longer is broken open.

use serde_json::Value;

const WIDTH: usize = 140;

/// A value as text, with a line break at the end.
pub(super) fn text(value: &Value) -> String {
    let mut out = String::new();
    write(value, 0, &mut out);
    out.push('\n');
    out
}

fn write(value: &Value, indent: usize, out: &mut String) {
    let short = value.to_string();
    let inner: Vec<(String, &Value)> = match value {
        Value::Array(items) => items.iter().map(|item| (String::new(), item)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, field)| (format!("{}: ", Value::from(name.as_str())), field)).collect()
        }
        _ => Vec::new(),
    };
    if inner.is_empty() || indent + short.len() <= WIDTH {
        out.push_str(&short);
        return;
    }
    let (open, close) = if value.is_array() { ('[', ']') } else { ('{', '}') };
    out.push(open);
    for (at, (name, item)) in inner.iter().enumerate() {
        out.push_str(if at == 0 { "\n" } else { ",\n" });
        out.push_str(&" ".repeat(indent + 1));
        out.push_str(name);
        write(item, indent + 1, out);
    }
    out.push('\n');
    out.push_str(&" ".repeat(indent));
    out.push(close);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_reads_as_the_same_value() {
        let long = "x".repeat(WIDTH);
        let value = json!({"short": [1, 2, {"a": null}], "long": [long, {"b": "\"quoted\""}], "empty": {}});
        let text = text(&value);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        assert!(text.contains("\n \"short\": [1,2,{\"a\":null}]"), "{text}");
    }
}
