//! JSON patch (RFC 6902) with the habits of upstream's library (`gopkg.in/evanphx/json-patch.v4`): negative indices count
//! from the end, `replace` makes a member that is not there, `test` takes what is not there for `null`.
//!
//! Whatever a patch says, its cost is bounded: by what it holds, by what it copies, and by how much it moves.

mod document;

use serde_json::Value;

use super::Error;
use crate::json::{Object, Parsed, Tree, parse, quoted};
use document::Document;

/// Upstream's limit.
const MAX_OPERATIONS: usize = 10_000;

/// The members that an operation may have.
const MEMBERS: [&str; 4] = ["op", "path", "from", "value"];

/// Applies the operations in `patch`, all or none.
pub fn apply(current: &Tree<'_>, patch: &[u8]) -> Result<Tree<'static>, Error> {
    let operations = operations(parse(patch).map_err(malformed)?.tree)?;
    let mut document = Document::new(current.clone().into_value());
    for operation in operations {
        Operation(operation).apply(&mut document)?;
    }
    Ok(Tree::from_value(&document.into_value()).into_owned())
}

/// What strict decoding finds in a patch: members that no operation has, and members that come twice.
pub fn strict_errors(patch: &[u8]) -> Result<Vec<String>, Error> {
    let Parsed { tree, duplicates } = parse(patch).map_err(malformed)?;
    let mut errors = Vec::new();
    for (place, operation) in operations(tree)?.iter().enumerate() {
        for (name, value) in operation.as_object().into_iter().flat_map(Object::iter) {
            if !MEMBERS.contains(&name) {
                errors.push(format!("json patch unknown field {}", quoted(&format!("[{place}].{name}"))));
            } else if name != "value" && !matches!(value, Tree::String(_) | Tree::Null) {
                let found = value.go_kind();
                return Err(Error::Malformed(format!(
                    "json: cannot unmarshal {found} into Go struct field jsonPatchOp.{name} of type string"
                )));
            }
        }
    }
    errors.extend(duplicates.iter().map(|path| format!("json patch duplicate field {}", quoted(path))));
    errors.truncate(MOST_ERRORS);
    Ok(errors)
}

/// Upstream collects no more.
const MOST_ERRORS: usize = 100;

fn malformed(error: impl ToString) -> Error {
    Error::Malformed(error.to_string())
}

fn operations(tree: Tree<'_>) -> Result<Vec<Tree<'_>>, Error> {
    let unfit = |found: &Tree<'_>, of: &str| {
        let found = found.go_kind();
        Error::Malformed(format!("json: cannot unmarshal {found} into Go value of type {of}"))
    };
    let Tree::Array(operations) = tree else { return Err(unfit(&tree, "jsonpatch.Patch")) };
    if let Some(other) = operations.iter().find(|one| !matches!(one, Tree::Object(_) | Tree::Null)) {
        return Err(unfit(other, "jsonpatch.Operation"));
    }
    if operations.len() > MAX_OPERATIONS {
        let count = operations.len();
        let message =
            format!("The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {count}");
        return Err(Error::TooLarge(message));
    }
    Ok(operations)
}

/// One operation.
struct Operation<'a>(Tree<'a>);

impl Operation<'_> {
    fn apply(mut self, document: &mut Document) -> Result<(), Error> {
        let kind = self.0.get("op").and_then(Tree::as_str).unwrap_or("unknown").to_owned();
        let value = self.0.as_object_mut().and_then(|object| object.remove("value"));
        let value = value.unwrap_or_default().into_value();
        match kind.as_str() {
            "add" => document.add(self.pointer("path")?, value),
            "remove" => document.remove(self.pointer("path")?),
            "replace" => document.replace(self.pointer("path")?, value),
            "move" => document.move_to(self.pointer("from")?, self.pointer("path")?),
            "copy" => document.copy_to(self.pointer("from")?, self.pointer("path")?),
            "test" => document.test(self.pointer("path")?, &value),
            other => Err(Error::Inapplicable(format!("Unexpected kind: {other}"))),
        }
    }

    fn pointer(&self, name: &str) -> Result<&str, Error> {
        let missing = || Error::Inapplicable(format!("operation missing {name} field: missing value"));
        self.0.get(name).and_then(Tree::as_str).ok_or_else(missing)
    }
}

/// A pointer's steps; none where it points to the document itself. What comes before the first slash is not looked at.
fn steps(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"))
}

fn missing(pointer: &str) -> Error {
    Error::Inapplicable(format!("doc is missing path: \"{pointer}\""))
}

/// Levels of nesting, and how many values there are.
fn measured(value: &Value) -> (usize, usize) {
    let deepest = |inner: &mut dyn Iterator<Item = &Value>| {
        inner.map(measured).fold((0, 0), |(depth, count), (own, values)| (depth.max(own), count + values))
    };
    let (depth, count) = match value {
        Value::Array(items) => deepest(&mut items.iter()),
        Value::Object(members) => deepest(&mut members.values()),
        _ => (0, 0),
    };
    (depth + 1, count + 1)
}

#[cfg(test)]
mod tests;
