//! The directives that a strategic merge patch may hold.

use std::collections::HashSet;

use crate::json::{Object, Tree, quoted};
use crate::patch::Error;

pub(super) const PATCH: &str = "$patch";
pub(super) const DELETE_FROM_PRIMITIVE_LIST: &str = "$deleteFromPrimitiveList";
pub(super) const SET_ELEMENT_ORDER: &str = "$setElementOrder";
const RETAIN_KEYS: &str = "$retainKeys";

/// The field that a directive like `$setElementOrder/<field>` is about.
pub(super) fn field_of(directive: &str) -> Result<&str, Error> {
    match directive.split_once('/') {
        Some((DELETE_FROM_PRIMITIVE_LIST | SET_ELEMENT_ORDER, field)) => Ok(field),
        _ if directive.starts_with(SET_ELEMENT_ORDER) => Err(bad_element_order()),
        _ => Err(Error::Malformed("invalid patch format of primitive list".to_owned())),
    }
}

/// Obeys `$retainKeys`: what it does not list goes.
pub(super) fn retain_keys(original: &mut Object<'static>, patch: &mut Object<'static>) -> Result<(), Error> {
    let Some(directive) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let bad = || Error::Malformed("invalid patch format of retainKeys".to_owned());
    let listed = directive.as_array().ok_or_else(bad)?;
    let listed: HashSet<&str> = listed.iter().filter_map(Tree::as_str).collect();
    let is_listed = |key: &str| listed.contains(key);
    let is_directive =
        |key: &str| key.starts_with(DELETE_FROM_PRIMITIVE_LIST) || key.starts_with(SET_ELEMENT_ORDER);
    if patch.iter().any(|(key, value)| !value.is_null() && !is_directive(key) && !is_listed(key)) {
        return Err(bad());
    }
    original.retain(|key, _| is_listed(key));
    Ok(())
}

/// What is left of a value that nothing is merged with: no directives, and nothing where an object was one.
pub(super) fn without_directives(value: Tree<'static>) -> Option<Tree<'static>> {
    match value {
        Tree::Object(object) if object.contains_key(PATCH) => None,
        Tree::Object(object) => Some(Tree::Object(
            object.into_iter().filter_map(|(key, value)| Some((key, without_directives(value)?))).collect(),
        )),
        Tree::Array(items) => Some(Tree::Array(items.into_iter().filter_map(without_directives).collect())),
        scalar => Some(scalar),
    }
}

/// The value without members that are `null`: there is nothing for them to take away.
pub(super) fn without_nulls(value: Tree<'static>) -> Tree<'static> {
    match value {
        Tree::Object(object) => Tree::Object(
            object
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key, without_nulls(value)))
                .collect(),
        ),
        Tree::Array(items) => Tree::Array(items.into_iter().map(without_nulls).collect()),
        scalar => scalar,
    }
}

pub(super) fn unknown(directive: &Tree<'_>, within: &Tree<'_>) -> Error {
    Error::Malformed(format!("unknown patch type: {} in map: {}", in_go(directive), in_go(within)))
}

pub(super) fn no_merge_key(element: &Tree<'_>, key: &str) -> Error {
    Error::Malformed(format!("map: {} does not contain declared merge key: {key}", in_go(element)))
}

pub(super) fn not_a_list(value: &Tree<'_>) -> Error {
    Error::Malformed(format!("expected a []interface {{}}, but received a {}", go_type(value)))
}

pub(super) fn not_a_map(value: &Tree<'_>) -> Error {
    Error::Malformed(format!("expected a map[string]interface {{}}, but received a {}", go_type(value)))
}

pub(super) fn bad_element_order() -> Error {
    Error::Malformed("invalid patch format of setElementOrder list".to_owned())
}

/// The type of a decoded value as Go prints it.
fn go_type(value: &Tree<'_>) -> &'static str {
    match value {
        Tree::Null => "%!s(<nil>)",
        Tree::Bool(_) => "bool",
        Tree::Int(_) => "int64",
        Tree::Uint(_) | Tree::Float(_) => "float64",
        Tree::String(_) => "string",
        Tree::Array(_) => "[]interface {}",
        Tree::Object(_) => "map[string]interface {}",
    }
}

/// A value as Go's `%v` prints it.
pub fn in_go(value: &Tree<'_>) -> String {
    match value {
        Tree::Null => "<nil>".to_owned(),
        Tree::String(text) => text.to_string(),
        Tree::Array(items) => format!("[{}]", items.iter().map(in_go).collect::<Vec<_>>().join(" ")),
        Tree::Object(object) => {
            let members: Vec<String> =
                object.sorted().iter().map(|(key, value)| format!("{key}:{}", in_go(value))).collect();
            format!("map[{}]", members.join(" "))
        }
        number => number.to_string(),
    }
}

/// Tells whether two elements are of one type to Go, which merges lists of one type only.
pub(super) fn are_alike(one: &Tree<'_>, other: &Tree<'_>) -> bool {
    go_type(one) == go_type(other)
}

/// What Go says of a list of several types.
pub(super) fn not_alike(lists: &[&[Tree<'static>]]) -> Error {
    let printed: Vec<String> = lists
        .iter()
        .map(|list| format!("[{}]", list.iter().map(in_go).collect::<Vec<_>>().join(" ")))
        .collect();
    Error::Malformed(format!("list element types are not identical: [{}]", printed.join(" ")))
}

/// What Go says where the patch names elements in another order than `$setElementOrder`.
pub(super) fn order_mismatch(patch: &[Tree<'static>], order: &[Tree<'static>]) -> Error {
    let printed = |list: &[Tree<'static>]| list.iter().map(in_go).collect::<Vec<_>>().join(" ");
    Error::Malformed(format!(
        "The order in patch list:\n[{}]\n doesn't match {SET_ELEMENT_ORDER} list:\n[{}]\n",
        printed(patch),
        printed(order)
    ))
}

/// What upstream says where a list of objects has no key to merge by.
pub(super) fn no_key_declared(field: &str) -> Error {
    Error::Malformed(format!("cannot merge lists without merge key for {}", quoted(field)))
}
