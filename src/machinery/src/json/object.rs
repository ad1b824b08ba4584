//! A JSON object: members in order, found by looking along them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::convert::Infallible;

use super::Tree;

/// Above so many members an index is cheaper than looking along them, and a scan per member would be quadratic.
pub(super) const FEW: usize = 32;

/// The members of an object, in the order in which they came. Keys are unique.
#[derive(Clone, Debug, Default)]
pub struct Object<'a>(Vec<(Cow<'a, str>, Tree<'a>)>);

impl<'a> Object<'a> {
    /// An object with room for `capacity` members.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// How many members it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value under `key`.
    pub fn get(&self, key: &str) -> Option<&Tree<'a>> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The value under `key`, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Tree<'a>> {
        self.0.iter_mut().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Whether there is a member `key`.
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Sets the value under `key`, at its old place or at the end; answers the value it replaces.
    pub fn insert(&mut self, key: impl Into<Cow<'a, str>>, value: Tree<'a>) -> Option<Tree<'a>> {
        let key = key.into();
        match self.get_mut(&key) {
            Some(old) => Some(std::mem::replace(old, value)),
            None => {
                self.0.push((key, value));
                None
            }
        }
    }

    /// The value under `key`, made if it is not there.
    pub fn get_or_insert_with(
        &mut self,
        key: Cow<'a, str>,
        make: impl FnOnce() -> Tree<'a>,
    ) -> &mut Tree<'a> {
        let place = self.0.iter().position(|(name, _)| *name == key).unwrap_or_else(|| {
            self.0.push((key, make()));
            self.0.len() - 1
        });
        &mut self.0[place].1
    }

    /// Takes the member `key` out; the order of the others stays.
    pub fn remove(&mut self, key: &str) -> Option<Tree<'a>> {
        let place = self.0.iter().position(|(name, _)| name == key)?;
        Some(self.0.remove(place).1)
    }

    /// Keeps the members for which `keep` is true.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut Tree<'a>) -> bool) {
        self.0.retain_mut(|(key, value)| keep(key, value));
    }

    /// The members in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Tree<'a>)> {
        self.0.iter().map(|(key, value)| (&**key, value))
    }

    /// The members in order, values to be changed.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = (&str, &mut Tree<'a>)> {
        self.0.iter_mut().map(|(key, value)| (&**key, value))
    }

    /// The keys in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|(key, _)| &**key)
    }

    /// The values in order.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Tree<'a>> {
        self.0.iter().map(|(_, value)| value)
    }

    /// The members sorted by key, as Go writes maps.
    pub fn sorted(&self) -> Vec<(&str, &Tree<'a>)> {
        let mut members: Vec<_> = self.iter().collect();
        members.sort_unstable_by_key(|(key, _)| *key);
        members
    }

    /// Gives every member of `changes` to `merge` together with the value that is here under its key, if any, and
    /// keeps what it answers (`None`: the member goes). Linear in both, however many members there are.
    pub fn merge_with(
        &mut self,
        changes: Object<'a>,
        mut merge: impl FnMut(Option<Tree<'a>>, Tree<'a>) -> Option<Tree<'a>>,
    ) {
        let merged = self.try_merge_with::<Infallible>(changes, |_, old, change| Ok(merge(old, change)));
        merged.unwrap_or_else(|never| match never {});
    }

    /// The same with a merge that knows the key and may fail, after which nothing is left here.
    pub fn try_merge_with<E>(
        &mut self,
        changes: Object<'a>,
        mut merge: impl FnMut(&str, Option<Tree<'a>>, Tree<'a>) -> Result<Option<Tree<'a>>, E>,
    ) -> Result<(), E> {
        let mut slots: Vec<(Cow<'a, str>, Option<Tree<'a>>)> =
            std::mem::take(&mut self.0).into_iter().map(|(key, value)| (key, Some(value))).collect();
        let index: HashMap<String, usize> = if changes.len().min(slots.len()) > FEW {
            slots.iter().enumerate().map(|(place, (key, _))| (key.to_string(), place)).collect()
        } else {
            HashMap::new()
        };
        let mut added = Vec::new();
        for (key, change) in changes.0 {
            let place = if index.is_empty() {
                slots.iter().position(|(name, _)| *name == key)
            } else {
                index.get(&*key).copied()
            };
            match place {
                Some(place) => slots[place].1 = merge(&key, slots[place].1.take(), change)?,
                None => added.extend(merge(&key, None, change)?.map(|value| (key, value))),
            }
        }
        self.0 = slots.into_iter().filter_map(|(key, value)| Some((key, value?))).chain(added).collect();
        Ok(())
    }

    /// Adds a member whose key is known to be new.
    pub(super) fn push(&mut self, key: Cow<'a, str>, value: Tree<'a>) {
        self.0.push((key, value));
    }

    /// Sets the value at a place.
    pub(super) fn replace_at(&mut self, place: usize, value: Tree<'a>) {
        self.0[place].1 = value;
    }

    /// Sets the value at a place; where both values are objects, the members of the new one go into the old one.
    pub(super) fn merge_at(&mut self, place: usize, value: Tree<'a>) {
        merge_into(&mut self.0[place].1, value);
    }

    fn equals_by_index(&self, other: &Self) -> bool {
        let index: HashMap<&str, &Tree<'a>> = other.iter().collect();
        self.iter().all(|(key, value)| index.get(key).is_some_and(|other| *other == value))
    }
}

fn merge_into<'a>(old: &mut Tree<'a>, new: Tree<'a>) {
    match (old, new) {
        (Tree::Object(old), Tree::Object(new)) => old.merge_with(new, |before, mut value| {
            if let Some(mut before) = before {
                merge_into(&mut before, value);
                value = before;
            }
            Some(value)
        }),
        (old, new) => *old = new,
    }
}

/// Equal when the same keys have equal values, in whatever order.
impl PartialEq for Object<'_> {
    fn eq(&self, other: &Self) -> bool {
        if self.len() != other.len() {
            return false;
        }
        if self.len() > FEW {
            return self.equals_by_index(other);
        }
        self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl<'a> FromIterator<(Cow<'a, str>, Tree<'a>)> for Object<'a> {
    /// Keys must be unique.
    fn from_iter<I: IntoIterator<Item = (Cow<'a, str>, Tree<'a>)>>(members: I) -> Self {
        Self(members.into_iter().collect())
    }
}

impl<'a> IntoIterator for Object<'a> {
    type Item = (Cow<'a, str>, Tree<'a>);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
