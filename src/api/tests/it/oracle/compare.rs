//! Where two answers differ, in words that are the same for differences of the same sort.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::upstream::Answer;

/// A difference: its sort, and what is particular to this one.
#[derive(Clone, Debug)]
pub(super) struct Difference {
    /// Field and message, without places in lists and without values.
    pub(super) sort: String,
    pub(super) example: String,
}

fn difference(sort: impl Into<String>, example: impl Into<String>) -> Difference {
    Difference { sort: sort.into(), example: example.into() }
}

/// All differences between our answer and upstream's.
pub(super) fn differences(ours: &Answer, theirs: &Answer) -> Vec<Difference> {
    if !theirs.panic.is_empty() {
        return vec![difference("upstream panics", theirs.panic.lines().next().unwrap_or_default())];
    }
    match (ours.undecodable.is_empty(), theirs.undecodable.is_empty()) {
        (false, false) => return vec![],
        (true, false) => return vec![difference("only upstream cannot read it", &theirs.undecodable)],
        (false, true) => return vec![difference("only we cannot read it", &ours.undecodable)],
        (true, true) => {}
    }
    let mut found = causes(ours, theirs);
    if found.is_empty() {
        found.extend(order(ours, theirs));
    }
    found.extend(warnings(ours, theirs));
    if theirs.status.is_null() {
        // Nobody sees an object that was refused.
        found.extend(objects(&ours.object, &theirs.object, ""));
        found.extend(protobuf(ours, theirs));
        found.extend(fields(ours, theirs));
        found.extend(tables(ours, theirs));
    }
    found
}

/// A cause as one text: reason, field, message.
fn texts(answer: &Answer) -> Vec<[&str; 3]> {
    let causes = answer.status.pointer("/details/causes").and_then(Value::as_array);
    causes
        .into_iter()
        .flatten()
        .map(|cause| {
            let part = |name: &str| cause.get(name).and_then(Value::as_str).unwrap_or_default();
            [part("reason"), part("field"), without_diff(part("message"))]
        })
        .collect()
}

/// Upstream shows what a pod's update changed as a diff of Go's own form of the two pods; ours is a diff of its own.
fn without_diff(message: &str) -> &str {
    let cut = message.find('\n').filter(|_| message.contains("pod updates may not change fields"));
    cut.map_or(message, |end| &message[..end])
}

fn causes(ours: &Answer, theirs: &Answer) -> Vec<Difference> {
    let (mut our_rest, mut their_rest) = (texts(ours), texts(theirs));
    our_rest.retain(|cause| {
        let place = their_rest.iter().position(|other| other == cause);
        place.map(|place| their_rest.remove(place)).is_none()
    });
    let all: BTreeSet<[&str; 3]> = texts(ours).into_iter().collect();
    let named = |sort: &str, cause: [&str; 3], again: bool| {
        let again = if again { " (again)" } else { "" };
        let message = generalised(cause[2]);
        difference(
            format!("{sort}{again}  {}  {message}", field(cause[1])),
            format!("{}: {}", cause[1], cause[2]),
        )
    };
    let missing = their_rest.iter().map(|&cause| named("missing error", cause, all.contains(&cause)));
    let theirs: BTreeSet<[&str; 3]> = texts(theirs).into_iter().collect();
    let surplus = our_rest.iter().map(|&cause| named("surplus error", cause, theirs.contains(&cause)));
    missing.chain(surplus).collect()
}

/// The same causes in another order, or another text around them.
fn order(ours: &Answer, theirs: &Answer) -> Option<Difference> {
    if theirs.unordered {
        return None;
    }
    let message = |answer: &Answer| answer.status["message"].as_str().unwrap_or_default().to_owned();
    if texts(ours) != texts(theirs) {
        let fields =
            |answer: &Answer| -> Vec<String> { texts(answer).iter().map(|cause| field(cause[1])).collect() };
        let sort = format!("order of errors  {}", fields(theirs).join(" "));
        return Some(difference(sort, format!("ours: {}", fields(ours).join(" "))));
    }
    let (ours, theirs) = (message(ours), message(theirs));
    if ours.contains("pod updates may not change fields") {
        return None;
    }
    (ours != theirs).then(|| difference("message", format!("ours: {ours}\n        upstream: {theirs}")))
}

fn objects(ours: &Value, theirs: &Value, at: &str) -> Vec<Difference> {
    match (ours, theirs) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            let inner = |key: &String| {
                let (one, other) = (one.get(key), other.get(key));
                let (one, other) = (one.unwrap_or(&Value::Null), other.unwrap_or(&Value::Null));
                objects(one, other, &format!("{at}.{key}"))
            };
            keys.into_iter().flat_map(inner).collect()
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let inner = |(one, other)| objects(one, other, &format!("{at}[*]"));
            one.iter().zip(other).flat_map(inner).collect()
        }
        _ if ours == theirs || (is_now(ours) && is_now(theirs)) => vec![],
        _ => vec![difference(
            format!("object  {}", at.trim_start_matches('.')),
            format!("ours: {ours}  upstream: {theirs}"),
        )],
    }
}

/// The same object has the same message; one with a time of this run has another at the other end.
fn protobuf(ours: &Answer, theirs: &Answer) -> Option<Difference> {
    let differs = ours.object == theirs.object && ours.protobuf != theirs.protobuf;
    differs.then(|| difference("protobuf", format!("ours: {} upstream: {}", ours.protobuf, theirs.protobuf)))
}

/// Of what upstream keeps, what no request may select by does not count.
fn fields(ours: &Answer, theirs: &Answer) -> Option<Difference> {
    let ours = &ours.fields;
    let mut theirs = theirs.fields.clone();
    theirs.retain(|name, _| !matches!(name.as_str(), "name" | "status.replicas"));
    let theirs = &theirs;
    let example = || format!("ours: {ours:?}\n        upstream: {theirs:?}");
    (ours != theirs).then(|| difference("selectable fields", example()))
}

/// Whether a value is a time of this test's run: both sides look at their own clock.
fn is_now(value: &Value) -> bool {
    let time: Option<Timestamp> = value.as_str().and_then(|text| text.parse().ok());
    time.is_some_and(|time| Timestamp::now().duration_since(time).as_secs().unsigned_abs() < 3600)
}

fn warnings(ours: &Answer, theirs: &Answer) -> Vec<Difference> {
    if ours.warnings == theirs.warnings {
        return vec![];
    }
    let only = |some: &[String], others: &[String], sort: &str| -> Vec<Difference> {
        let rest = some.iter().filter(|one| !others.contains(one));
        rest.map(|one| difference(format!("{sort} warning  {}", generalised(&field(one))), one)).collect()
    };
    let mut found = only(&theirs.warnings, &ours.warnings, "missing");
    found.extend(only(&ours.warnings, &theirs.warnings, "surplus"));
    if found.is_empty() && !theirs.unordered {
        found.push(difference("order of warnings", theirs.warnings.join(" | ")));
    }
    found
}

fn tables(ours: &Answer, theirs: &Answer) -> Vec<Difference> {
    if theirs.columns.is_empty() {
        return vec![];
    }
    if ours.columns != theirs.columns {
        return vec![difference(
            "columns",
            format!("ours: {:?}\n        upstream: {:?}", ours.columns, theirs.columns),
        )];
    }
    let cells = ours.cells.iter().zip(&theirs.cells).zip(&theirs.columns);
    cells
        .filter(|((ours, theirs), _)| ours != theirs)
        .map(|((ours, theirs), column)| {
            difference(format!("cell  {}", column.name), format!("ours: {ours}  upstream: {theirs}"))
        })
        .collect()
}

/// A path without places in lists and keys of maps.
fn field(path: &str) -> String {
    let mut out = String::new();
    let mut rest = path;
    while let Some(open) = rest.find('[') {
        let Some(close) = rest[open..].find(']') else { break };
        out.push_str(&rest[..open]);
        out.push_str("[*]");
        rest = &rest[open + close + 1..];
    }
    out + rest
}

/// A message without the value that it names, and without the values that it quotes.
fn generalised(message: &str) -> String {
    let without_value = message.split_once(": ").map_or(message.to_owned(), |(kind, rest)| {
        let end = value_end(rest);
        if kind.ends_with("value") { format!("{kind}:{}", &rest[end..]) } else { message.to_owned() }
    });
    let mut out = String::new();
    let mut quoted = false;
    for c in without_value.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                out.push('"');
            }
            _ if quoted => {}
            '0'..='9' if out.ends_with('#') => {}
            '0'..='9' => out.push('#'),
            c => out.push(c),
        }
    }
    out.chars().take(160).collect()
}

/// Where the value at the beginning of a text ends: at the first colon outside of quotes and brackets.
fn value_end(text: &str) -> usize {
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for (place, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            ':' if depth == 0 && text[place..].starts_with(": ") => return place,
            _ => {}
        }
    }
    text.len()
}
