//! Strategic merge patch: a merge patch that knows which lists are merged and by which key.
//!
//! The algorithm and its texts are upstream's (`apimachinery/pkg/util/strategicpatch`): the directives `$patch`,
//! `$retainKeys`, `$setElementOrder/<field>` and `$deleteFromPrimitiveList/<field>` are obeyed and removed.

mod directives;
mod list;
mod order;

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
            _ => Err(directives::unknown(&directive, &Tree::Object(patch))),
        };
    }
    retain_keys(&mut original, &mut patch)?;
    order::apply_element_orders(&mut original, &mut patch, schema)?;
    for (key, value) in patch {
        merge_member(&mut original, &key, value, schema)?;
    }
    Ok(original)
}

fn merge_member(
    original: &mut Object<'static>,
    key: &str,
    value: Tree<'static>,
    schema: Schema,
) -> Result<(), Error> {
    let deletes_elements = key.starts_with(DELETE_FROM_PRIMITIVE_LIST);
    let key = if deletes_elements { field_of(key)? } else { key };
    if value.is_null() {
        original.remove(key);
        return Ok(());
    }
    let Some(old) = original.get_mut(key) else {
        if !deletes_elements {
            set(original, key, without_nulls(value));
        }
        return Ok(());
    };
    match (std::mem::take(old), value) {
        (Tree::Object(old_members), Tree::Object(new)) => {
            let field = look_up(schema, key)?;
            let members = if field.patch.replace {
                new
            } else {
                merge_objects(old_members, new, field.shape.as_struct())?
            };
            *old = Tree::Object(members);
        }
        (Tree::Array(items), Tree::Array(new)) => {
            let field = look_up(schema, key)?;
            *old = Tree::Array(list::merge_field(items, new, field, deletes_elements)?);
        }
        (kept, _) if deletes_elements => *old = kept,
        (_, new) => set(original, key, without_nulls(new)),
    }
    Ok(())
}

/// Sets a member to what is left of `value` without its directives; one that is only a directive takes it away.
fn set(original: &mut Object<'static>, key: &str, value: Tree<'static>) {
    match without_directives(value) {
        Some(value) => {
            original.insert(key.to_owned(), value);
        }
        None => {
            original.remove(key);
        }
    }
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
