//! Strategic merge patch: a merge patch that knows which lists are merged and by which key.
//!
//! The algorithm and its texts are upstream's (`apimachinery/pkg/util/strategicpatch`): the directives `$patch`,
//! `$retainKeys`, `$setElementOrder/<field>` and `$deleteFromPrimitiveList/<field>` are obeyed and removed.

mod directives;
mod index;
mod list;
mod order;

pub use directives::in_go;
use directives::{
    DELETE_FROM_PRIMITIVE_LIST, PATCH, field_of, retain_keys, without_directives, without_nulls,
};

use super::Error;
use crate::json::{Object, Tree};
use crate::schema::{Field, Type};

/// The type of the object at hand, where it is a struct: maps have no fields to look up.
type Schema = Option<&'static Type>;

/// Lays `patch` over `current`, merging lists as the type says.
pub fn apply(current: &Tree<'_>, patch: &Tree<'_>, of: &'static Type) -> Result<Tree<'static>, Error> {
    match (current.clone().into_owned(), patch.clone().into_owned()) {
        (Tree::Object(original), Tree::Object(patch)) => {
            Ok(Tree::Object(merge_objects(original, patch, Some(of))?))
        }
        (_, Tree::Object(_)) => Err(Error::Malformed("invalid JSON document".to_owned())),
        (_, other) => Err(Error::Malformed(format!(
            "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            other.go_kind()
        ))),
    }
}

fn merge_objects(
    mut original: Object<'static>,
    mut patch: Object<'static>,
    schema: Schema,
) -> Result<Object<'static>, Error> {
    if let Some(directive) = patch.remove(PATCH) {
        return match directive.as_str() {
            Some("replace") => Ok(patch),
            Some("delete") => Ok(Object::default()),
            _ => {
                patch.insert(PATCH, directive.clone());
                Err(directives::unknown(&directive, &Tree::Object(patch)))
            }
        };
    }
    retain_keys(&mut original, &mut patch)?;
    order::apply_element_orders(&mut original, &mut patch, schema)?;
    let (deletions, members) = divided(patch)?;
    original.try_merge_with(members, |key, old, new| merge_member(key, old, new, schema, false))?;
    original.try_merge_with(deletions, |key, old, gone| merge_member(key, old, gone, schema, true))?;
    Ok(original)
}

/// The elements that the patch takes out of lists, by field, and the rest of the patch.
fn divided(patch: Object<'static>) -> Result<(Object<'static>, Object<'static>), Error> {
    let (deletions, members): (Vec<_>, Vec<_>) =
        patch.into_iter().partition(|(key, _)| key.starts_with(DELETE_FROM_PRIMITIVE_LIST));
    let deletions = deletions.into_iter().map(|(key, value)| Ok((field_of(&key)?.to_owned().into(), value)));
    Ok((deletions.collect::<Result<_, Error>>()?, members.into_iter().collect()))
}

/// What becomes of a member.
fn merge_member(
    key: &str,
    old: Option<Tree<'static>>,
    value: Tree<'static>,
    schema: Schema,
    deletes_elements: bool,
) -> Result<Option<Tree<'static>>, Error> {
    Ok(match (old, value) {
        (_, Tree::Null) => None,
        (Some(Tree::Object(old)), Tree::Object(new)) => {
            let field = look_up(schema, key)?;
            let members =
                if field.patch.replace { new } else { merge_objects(old, new, field.shape.as_struct())? };
            Some(Tree::Object(members))
        }
        (Some(Tree::Array(items)), Tree::Array(new)) => {
            let field = look_up(schema, key)?;
            Some(Tree::Array(list::merge_field(items, new, field, deletes_elements)?))
        }
        (old, _) if deletes_elements => old,
        // What is only a directive takes the member away.
        (_, new) => without_directives(without_nulls(new)),
    })
}

fn look_up(schema: Schema, key: &str) -> Result<&'static Field, Error> {
    let type_ = schema.ok_or_else(|| {
        Error::Malformed("merging an object in json but data type is not struct, instead is: map".to_owned())
    })?;
    type_.field(key).ok_or_else(|| {
        let name = type_.short_name();
        Error::Malformed(format!("unable to find api field in struct {name} for the json field \"{key}\""))
    })
}

#[cfg(test)]
mod tests;
