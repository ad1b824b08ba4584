//! Where two answers differ.

use std::fmt;

use serde_json::Value;

use super::answer::Answer;

/// One place where two answers differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// `status`, `header/<name>` or `body/<field>/<index>/…`.
    pub at: String,
    /// What stock has there; `None` where it has nothing.
    pub stock: Option<Value>,
    /// What ours has there.
    pub ours: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), Value::to_string);
        write!(f, "{}\n    stock {}\n    ours  {}", self.at, shown(&self.stock), shown(&self.ours))
    }
}

/// Every difference between two answers, in a stable order.
pub(super) fn between(stock: &Answer, ours: &Answer) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("status", Some(&stock.status.into()), Some(&ours.status.into()), &mut found);
    for name in
        stock.headers.keys().chain(ours.headers.keys().filter(|name| !stock.headers.contains_key(*name)))
    {
        let value = |answer: &Answer| answer.headers.get(name).map(|value| Value::from(value.as_str()));
        compare(&format!("header/{name}"), value(stock).as_ref(), value(ours).as_ref(), &mut found);
    }
    compare("body", Some(&stock.body), Some(&ours.body), &mut found);
    found
}

fn compare(at: &str, stock: Option<&Value>, ours: Option<&Value>, found: &mut Vec<Difference>) {
    match (stock, ours) {
        (stock, ours) if stock == ours => {}
        (Some(Value::Object(stock)), Some(Value::Object(ours))) => {
            for name in stock.keys().chain(ours.keys().filter(|name| !stock.contains_key(*name))) {
                compare(&format!("{at}/{name}"), stock.get(name), ours.get(name), found);
            }
        }
        (Some(Value::Array(stock)), Some(Value::Array(ours))) => {
            for index in 0..stock.len().max(ours.len()) {
                compare(&format!("{at}/{index}"), stock.get(index), ours.get(index), found);
            }
        }
        _ => found.push(Difference { at: at.to_owned(), stock: stock.cloned(), ours: ours.cloned() }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_place_is_named_once() {
        let answer = |status, header: Option<&str>, body| Answer {
            status,
            headers: header.map(|value| ("warning".to_owned(), value.to_owned())).into_iter().collect(),
            body,
        };
        let stock = answer(200, Some("w"), json!({"a": {"b": 1, "c": 2}, "list": [1, 2]}));
        let ours = answer(201, None, json!({"a": {"b": 1, "c": 3, "d": 4}, "list": [1]}));
        let found: Vec<String> = between(&stock, &ours).into_iter().map(|one| one.at).collect();
        assert_eq!(found, ["status", "header/warning", "body/a/c", "body/a/d", "body/list/1"]);
        assert_eq!(between(&stock, &stock), []);
    }
}
