//! Merging lists.

use super::directives::{self, PATCH, are_alike, no_key_declared, no_merge_key, not_a_map, not_alike};
use super::index::Index;
use super::order::{Key, normalise, partition};
use super::{Schema, merge_objects};
use crate::json::{Object, Tree};
use crate::patch::Error;
use crate::schema::{Field, Shape};

type List = Vec<Tree<'static>>;

/// Merges the list of a field with that of the patch, or replaces it, as the field says.
pub(super) fn merge_field(
    original: List,
    patch: List,
    field: &'static Field,
    deletes: bool,
) -> Result<List, Error> {
    if !field.patch.merge && !deletes {
        return Ok(patch);
    }
    let Some(first) = element_type(&[&original, &patch])? else { return Ok(original) };
    if !matches!(first, Tree::Object(_)) {
        return if deletes { Ok(without(original, &patch)) } else { merge_scalars(original, patch) };
    }
    let key = field.patch_merge_key;
    if key.is_empty() {
        return Err(no_key_declared(field.name));
    }
    let schema = field.shape.element().and_then(Shape::as_struct);
    merge_maps(original, patch, key, schema)
}

/// Any element of the lists, whose elements must all be alike; `None` when there is none.
pub(super) fn element_type(lists: &[&[Tree<'static>]]) -> Result<Option<Tree<'static>>, Error> {
    let mut elements = lists.iter().flat_map(|list| list.iter());
    let Some(first) = elements.next() else { return Ok(None) };
    if matches!(first, Tree::Array(_)) {
        return Err(Error::Inapplicable("lists of lists are not supported".to_owned()));
    }
    if !elements.all(|element| are_alike(first, element)) {
        return Err(not_alike(lists));
    }
    Ok(Some(if matches!(first, Tree::Object(_)) { Tree::empty_object() } else { first.clone() }))
}

fn without(original: List, gone: &[Tree<'static>]) -> List {
    let gone = Index::of(gone, Key::Itself);
    original.into_iter().filter(|element| gone.place(element).is_none()).collect()
}

fn merge_scalars(original: List, patch: List) -> Result<List, Error> {
    let (server_order, patch_order) = (original.clone(), patch.clone());
    let mut seen = Index::default();
    let merged = original.into_iter().chain(patch).filter(|element| seen.add(element, 0)).collect();
    let (from_patch, server_only) = partition(merged, &patch_order, Key::Itself)?;
    normalise(from_patch, server_only, &patch_order, &server_order, Key::Itself)
}

fn merge_maps(original: List, patch: List, key: &'static str, schema: Schema) -> Result<List, Error> {
    let (mut merged, patch) = obey_directives(original, patch, key)?;
    let keys =
        |list: &List| list.iter().map(|element| key_only(element, key)).collect::<Result<List, Error>>();
    let server_order = keys(&merged)?;
    let patch_order = keys(&patch)?;
    let mut index = Index::of(&merged, Key::Member(key));
    for element in patch {
        let wanted = key_of(&element, key)?;
        match index.place(wanted) {
            Some(place) => {
                let (Tree::Object(old), Tree::Object(new)) = (std::mem::take(&mut merged[place]), element)
                else {
                    return Err(Error::Malformed("lists of maps hold maps".to_owned()));
                };
                merged[place] = Tree::Object(merge_objects(old, new, schema)?);
            }
            None => {
                index.add(wanted, merged.len());
                merged.push(element);
            }
        }
    }
    let (from_patch, server_only) = partition(merged, &patch_order, Key::Member(key))?;
    normalise(from_patch, server_only, &patch_order, &server_order, Key::Member(key))
}

/// Obeys the `$patch` directives among the elements of the patch; answers what is left to merge, and with what.
fn obey_directives(mut original: List, patch: List, key: &str) -> Result<(List, List), Error> {
    let (mut rest, mut gone) = (List::new(), Index::default());
    let mut replace = false;
    for element in patch {
        match element.get(PATCH) {
            None => rest.push(element),
            Some(directive) => match directive.as_str() {
                Some("delete") => {
                    gone.add(key_of(&element, key)?, 0);
                }
                Some("replace") => replace = true,
                Some("merge") => {
                    let message = "merging lists cannot yet be specified in the patch";
                    return Err(Error::Malformed(message.to_owned()));
                }
                _ => return Err(directives::unknown(directive, &element)),
            },
        }
    }
    original.retain(|element| element.get(key).is_none_or(|own| gone.place(own).is_none()));
    Ok(if replace { (rest, List::new()) } else { (original, rest) })
}

/// The value of an element's merge key.
pub(super) fn key_of<'t>(element: &'t Tree<'static>, key: &str) -> Result<&'t Tree<'static>, Error> {
    let Tree::Object(object) = element else { return Err(not_a_map(element)) };
    object.get(key).ok_or_else(|| no_merge_key(element, key))
}

/// An element with nothing but its merge key, to remember the order by.
fn key_only(element: &Tree<'static>, key: &'static str) -> Result<Tree<'static>, Error> {
    let value = key_of(element, key)?.clone();
    Ok(Tree::Object(Object::from_iter([(key.into(), value)])))
}
