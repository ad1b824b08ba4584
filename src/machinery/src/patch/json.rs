//! JSON patch (RFC 6902).

use json_patch::PatchOperation;
use serde_json::Value;

use super::Error;
use crate::json::{MAX_DEPTH, Tree, parse};

/// Upstream's limit.
const MAX_OPERATIONS: usize = 10_000;
/// What `copy` operations may copy together, in bytes of JSON; upstream's limit. Without one, copying a document into
/// itself doubles it with every operation.
const MAX_COPIED: usize = 3 * 1024 * 1024;

/// Applies the operations in `patch`, all or none.
pub fn apply(current: &Tree<'_>, patch: &[u8]) -> Result<Tree<'static>, Error> {
    let operations = decode(patch)?;
    let mut document = current.clone().into_value();
    let mut copied = 0;
    for operation in &operations {
        copied += copied_by(operation, &document);
        if copied > MAX_COPIED {
            return inapplicable(format!("the copies of the patch are larger than {MAX_COPIED} bytes"));
        }
        if depth_after(operation, &document) > MAX_DEPTH {
            return inapplicable("exceeded max depth".to_owned());
        }
        json_patch::patch(&mut document, std::slice::from_ref(operation))
            .map_err(|error| Error::Inapplicable(error.to_string()))?;
    }
    Ok(Tree::from_value(&document).into_owned())
}

fn inapplicable<T>(why: String) -> Result<T, Error> {
    Err(Error::Inapplicable(why))
}

fn decode(patch: &[u8]) -> Result<Vec<PatchOperation>, Error> {
    let tree = parse(patch).map_err(|error| Error::Malformed(error.to_string()))?.tree;
    let Tree::Array(operations) = tree else {
        let found = tree.go_kind();
        let message = format!("json: cannot unmarshal {found} into Go value of type jsonpatch.Patch");
        return Err(Error::Malformed(message));
    };
    if operations.len() > MAX_OPERATIONS {
        let count = operations.len();
        let message =
            format!("The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {count}");
        return Err(Error::TooLarge(message));
    }
    operations
        .into_iter()
        .map(|operation| {
            serde_json::from_value(operation.into_value())
                .map_err(|error| Error::Inapplicable(error.to_string()))
        })
        .collect()
}

fn copied_by(operation: &PatchOperation, document: &Value) -> usize {
    let PatchOperation::Copy(copy) = operation else { return 0 };
    copy.from.resolve(document).map_or(0, |value| value.to_string().len())
}

/// How deep the document may be at the operation's target afterwards.
fn depth_after(operation: &PatchOperation, document: &Value) -> usize {
    let found = |value: Option<&Value>| value.map_or(0, |value| Tree::from_value(value).depth());
    let (path, depth) = match operation {
        PatchOperation::Add(add) => (&add.path, found(Some(&add.value))),
        PatchOperation::Replace(replace) => (&replace.path, found(Some(&replace.value))),
        PatchOperation::Copy(copy) => (&copy.path, found(copy.from.resolve(document).ok())),
        PatchOperation::Move(moved) => (&moved.path, found(moved.from.resolve(document).ok())),
        PatchOperation::Remove(_) | PatchOperation::Test(_) => return 0,
    };
    path.count() + depth
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(current: &str, patch: &str, expected: &str) {
        let current = parse(current.as_bytes()).unwrap().tree;
        let patched = apply(&current, patch.as_bytes()).unwrap();
        assert_eq!(patched, parse(expected.as_bytes()).unwrap().tree);
    }

    #[track_caller]
    fn check_error(current: &str, patch: &str, error: fn(String) -> Error) {
        let current = parse(current.as_bytes()).unwrap().tree;
        let found = apply(&current, patch.as_bytes()).unwrap_err();
        assert_eq!(std::mem::discriminant(&found), std::mem::discriminant(&error(String::new())), "{found}");
    }

    #[test]
    fn operations_are_applied_in_order() {
        check(
            r#"{"a":[1,2],"b":{"c":1}}"#,
            r#"[{"op":"add","path":"/a/-","value":3},{"op":"replace","path":"/b/c","value":2},{"op":"move","from":"/b/c","path":"/d"},
                {"op":"test","path":"/d","value":2},{"op":"copy","from":"/d","path":"/e~1f"},{"op":"remove","path":"/a/0"}]"#,
            r#"{"a":[2,3],"b":{},"d":2,"e/f":2}"#,
        );
    }

    #[test]
    fn bad_patches_are_told_apart() {
        check_error("{}", "{}", Error::Malformed);
        check_error("{}", "[", Error::Malformed);
        check_error("{}", r#"[{"op":"jump","path":"/a"}]"#, Error::Inapplicable);
        check_error("{}", r#"[{"op":"remove","path":"/a"}]"#, Error::Inapplicable);
        check_error(r#"{"a":1}"#, r#"[{"op":"test","path":"/a","value":2}]"#, Error::Inapplicable);
        let many =
            format!("[{}]", vec![r#"{"op":"test","path":"","value":{}}"#; MAX_OPERATIONS + 1].join(","));
        check_error("{}", &many, Error::TooLarge);
    }

    #[test]
    fn copies_cannot_blow_up_the_document() {
        let start = format!(r#"{{"a":"{}"}}"#, "x".repeat(1000));
        let doubling: Vec<String> =
            (0..60).map(|n| format!(r#"{{"op":"copy","from":"","path":"/b{n}"}}"#)).collect();
        check_error(&start, &format!("[{}]", doubling.join(",")), Error::Inapplicable);
    }

    #[test]
    fn operations_cannot_nest_without_end() {
        let mut path = String::new();
        let mut operations = Vec::new();
        for _ in 0..200 {
            path.push_str("/a");
            operations.push(format!(r#"{{"op":"add","path":"{path}","value":{{}}}}"#));
        }
        check_error("{}", &format!("[{}]", operations.join(",")), Error::Inapplicable);
    }
}
