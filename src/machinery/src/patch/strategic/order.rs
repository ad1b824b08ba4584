//! The order of merged lists: what the patch names comes in the patch's order, what only the server has keeps its place
//! among the others as well as it can.

use super::directives::{PATCH, without_nulls};
use super::directives::{
    SET_ELEMENT_ORDER, bad_element_order, field_of, not_a_list, order_mismatch, without_directives,
};
use super::index::Index;
use super::list::{element_type, key_of, merge_field};
use super::{Schema, look_up};
use crate::json::{Object, Tree};
use crate::patch::Error;

type List = Vec<Tree<'static>>;

/// By what elements are identified.
#[derive(Clone, Copy, Debug)]
pub(super) enum Key {
    /// Scalars by themselves.
    Itself,
    /// Objects by this member.
    Member(&'static str),
}

impl Key {
    /// What identifies an element.
    pub(super) fn of<'t>(self, element: &'t Tree<'static>) -> Result<&'t Tree<'static>, Error> {
        match self {
            Self::Itself => Ok(element),
            Self::Member(key) => key_of(element, key),
        }
    }

    /// Where in `index` an element of this identity is.
    fn place(self, index: &Index, element: &Tree<'static>) -> Option<usize> {
        index.place(self.of(element).ok()?)
    }
}

/// Obeys every `$setElementOrder/<field>` of the patch and takes it, with the field's list, out of the patch.
pub(super) fn apply_element_orders(
    original: &mut Object<'static>,
    patch: &mut Object<'static>,
    schema: Schema,
) -> Result<(), Error> {
    let directives: Vec<String> =
        patch.keys().filter(|key| key.starts_with(SET_ELEMENT_ORDER)).map(str::to_owned).collect();
    for directive in directives {
        let Some(order) = patch.remove(&directive) else { continue };
        let Tree::Array(order) = order else { return Err(not_a_list(&order)) };
        apply_order(original, patch, schema, field_of(&directive)?, &order)?;
    }
    Ok(())
}

fn apply_order(
    original: &mut Object<'static>,
    patch: &mut Object<'static>,
    schema: Schema,
    name: &str,
    order: &[Tree<'static>],
) -> Result<(), Error> {
    let (old, new) = (list_at(original, name)?, list_at(patch, name)?);
    let field = look_up(schema, name)?;
    let key = if field.patch_merge_key.is_empty() { Key::Itself } else { Key::Member(field.patch_merge_key) };
    check_order(new.as_deref().unwrap_or_default(), order, key)?;
    let server_order = old.clone().unwrap_or_default();
    let merged = match (old, new) {
        (None, None) => return Ok(()),
        (Some(old), None) => old,
        (None, Some(new)) => new.into_iter().map(without_nulls).filter_map(without_directives).collect(),
        (Some(old), Some(new)) => merge_field(old, new, field, false)?,
    };
    patch.remove(name);
    element_type(&[&merged, &server_order])?;
    let (from_patch, server_only) = partition(merged, order, key)?;
    let ordered = normalise(from_patch, server_only, order, &server_order, key)?;
    original.insert(name.to_owned(), Tree::Array(ordered));
    Ok(())
}

fn list_at(object: &Object<'static>, name: &str) -> Result<Option<List>, Error> {
    match object.get(name) {
        None => Ok(None),
        Some(Tree::Array(items)) => Ok(Some(items.clone())),
        Some(other) => Err(not_a_list(other)),
    }
}

/// The elements of the patch must come in the order that the directive gives, which may name more.
fn check_order(patch: &[Tree<'static>], order: &[Tree<'static>], key: Key) -> Result<(), Error> {
    if order.is_empty() {
        return Ok(());
    }
    let mut rest = order.iter();
    for element in patch.iter().filter(|element| element.get(PATCH).is_none()) {
        let wanted = key.of(element)?;
        loop {
            let Some(other) = rest.next() else { return Err(order_mismatch(patch, order)) };
            if matches!(key, Key::Member(_)) && other.as_object().is_none() {
                return Err(bad_element_order());
            }
            if key.of(other)? == wanted {
                break;
            }
        }
    }
    Ok(())
}

/// Divides a merged list into what `by` names and what it does not.
pub(super) fn partition(merged: List, by: &[Tree<'static>], key: Key) -> Result<(List, List), Error> {
    let (mut named, mut others) = (List::new(), List::new());
    let index = Index::of(by, key);
    for element in merged {
        let list = if index.place(key.of(&element)?).is_some() { &mut named } else { &mut others };
        list.push(element);
    }
    Ok((named, others))
}

/// Sorts what the patch names by the patch and the others by the server's list, and joins them.
pub(super) fn normalise(
    from_patch: List,
    server_only: List,
    patch_order: &[Tree<'static>],
    server_order: &[Tree<'static>],
    key: Key,
) -> Result<List, Error> {
    let server_order = Index::of(server_order, key);
    let from_patch = sorted(from_patch, &Index::of(patch_order, key), key);
    let server_only = sorted(server_only, &server_order, key);
    Ok(join(server_only, from_patch, &server_order, key))
}

fn sorted(mut list: List, order: &Index, key: Key) -> List {
    list.sort_by_cached_key(|element| key.place(order, element).unwrap_or(usize::MAX));
    list
}

/// Merges two lists: an element that only the server has goes before one of the patch if it did so on the server.
fn join(server_only: List, from_patch: List, server_order: &Index, key: Key) -> List {
    let mut joined = List::with_capacity(server_only.len() + from_patch.len());
    let mut server_only = server_only.into_iter().peekable();
    for element in from_patch {
        let place = key.place(server_order, &element);
        while let Some(before) = server_only.next_if(|other| {
            matches!((key.place(server_order, other), place), (Some(other), Some(place)) if other < place)
        }) {
            joined.push(before);
        }
        joined.push(element);
    }
    joined.extend(server_only);
    joined
}
