//! What the store remembers of every object so that selectors need not read it: labels, selectable fields, uid.
//!
//! Read from the stored bytes in one pass that skips everything else; used by the store's extraction function. Builds
//! no tree of the object.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::kind::Selectable;

/// Labels, selectable fields and uid of one object; labels and fields are sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The labels.
    pub labels: Vec<(String, String)>,
    /// The selectable fields, `metadata.name` and `metadata.namespace` among them.
    pub fields: Vec<(String, String)>,
    /// The uid.
    pub uid: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Meta {
    name: String,
    namespace: String,
    uid: String,
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    metadata: Meta,
}

pub(crate) fn of(
    bytes: &[u8],
    fields: &[Selectable],
    namespaced: bool,
) -> Result<Attributes, serde_json::Error> {
    let Head { metadata } = serde_json::from_slice(bytes)?;
    let mut found = Vec::with_capacity(fields.len() + 2);
    found.push(("metadata.name".to_owned(), metadata.name));
    if namespaced {
        found.push(("metadata.namespace".to_owned(), metadata.namespace));
    }
    if !fields.is_empty() {
        found.extend(selectable(bytes, fields)?);
    }
    found.sort_unstable();
    Ok(Attributes { labels: metadata.labels.into_iter().collect(), fields: found, uid: metadata.uid })
}

fn selectable(bytes: &[u8], fields: &[Selectable]) -> Result<Vec<(String, String)>, serde_json::Error> {
    let wanted: Vec<&[&str]> = fields.iter().flat_map(|field| field.paths).copied().collect();
    let mut values = vec![String::new(); wanted.len()];
    let open: Vec<usize> = (0..wanted.len()).collect();
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    Walk { wanted: &wanted, open, depth: 0, values: &mut values }.deserialize(&mut reader)?;
    let mut values = values.into_iter();
    Ok(fields
        .iter()
        .map(|field| {
            let mut candidates = values.by_ref().take(field.paths.len()).collect::<Vec<_>>().into_iter();
            let value = candidates.find(|value| !value.is_empty()).unwrap_or_else(|| field.absent.to_owned());
            (field.name.to_owned(), value)
        })
        .collect())
}

/// Goes down the paths that are still `open` at this depth and keeps the scalars at their ends.
struct Walk<'a, 'p> {
    wanted: &'a [&'p [&'p str]],
    open: Vec<usize>,
    depth: usize,
    values: &'a mut Vec<String>,
}

impl Walk<'_, '_> {
    fn keep(self, value: &str) {
        for at in self.open {
            if self.wanted[at].len() == self.depth {
                self.values[at] = value.to_owned();
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            let here = |at: &usize| self.wanted[*at].get(self.depth).is_some_and(|part| *part == key);
            let open: Vec<usize> = self.open.iter().copied().filter(here).collect();
            if open.is_empty() {
                map.next_value::<IgnoredAny>()?;
            } else {
                let depth = self.depth + 1;
                map.next_value_seed(Walk { wanted: self.wanted, open, depth, values: self.values })?;
            }
        }
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<(), S::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.keep(value);
        Ok(())
    }
    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.keep(if value { "true" } else { "false" });
        Ok(())
    }
    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.keep(&value.to_string());
        Ok(())
    }
    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.keep(&value.to_string());
        Ok(())
    }
    fn visit_f64<E>(self, _value: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
