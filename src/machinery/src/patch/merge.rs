//! JSON merge patch (RFC 7386), with one habit of upstream's library: `null` members go from objects in lists too.

use crate::json::{Object, Tree};

/// Lays `patch` over `current`: objects are merged member by member, `null` takes a member away, all else replaces.
pub fn apply<'a>(current: Tree<'a>, patch: Tree<'a>) -> Tree<'a> {
    let Tree::Object(changes) = patch else { return without_nulls(patch) };
    let mut merged = match current {
        Tree::Object(object) => object,
        _ => Object::default(),
    };
    merged.merge_with(changes, |old, change| match change {
        Tree::Null => None,
        change => Some(apply(old.unwrap_or_default(), change)),
    });
    Tree::Object(merged)
}

fn without_nulls(tree: Tree<'_>) -> Tree<'_> {
    match tree {
        Tree::Array(items) => Tree::Array(items.into_iter().map(without_nulls).collect()),
        Tree::Object(object) => Tree::Object(
            object
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key, without_nulls(value)))
                .collect(),
        ),
        scalar => scalar,
    }
}

#[cfg(test)]
mod tests {
    use crate::json::parse;

    #[track_caller]
    fn check(current: &str, patch: &str, expected: &str) {
        let current = parse(current.as_bytes()).unwrap().tree;
        let patch = parse(patch.as_bytes()).unwrap().tree;
        assert_eq!(super::apply(current, patch).to_string(), expected);
    }

    #[test]
    fn members_are_merged_replaced_and_taken_away() {
        check(r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#);
        check(r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#);
        check(r#"{"a":"b","b":1}"#, r#"{"a":null,"x":null}"#, r#"{"b":1}"#);
        check(r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#);
        check(r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#);
        check(r#"{"a":1}"#, r#"{"a":[{"b":null,"c":1},null]}"#, r#"{"a":[{"c":1},null]}"#);
        check(r#"{"a":"c"}"#, r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#);
    }
}
