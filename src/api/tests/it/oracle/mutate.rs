//! One change to an object, at a place that its schema knows.

use machinery::schema::{Field, Shape, Type};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::Value;

use super::pool::Parts;
use super::values;

/// A place in an object: a field, or an element of a list or map in one.
struct Site {
    pointer: String,
    field: &'static Field,
    shape: &'static Shape,
    present: bool,
}

/// Fields that the server owns or that a request names twice.
const LEFT_ALONE: &[&str] = &[
    "/apiVersion",
    "/kind",
    "/metadata/uid",
    "/metadata/managedFields",
    "/metadata/resourceVersion",
    "/metadata/creationTimestamp",
    "/metadata/selfLink",
];

/// Where changes may be made.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Only beneath this pointer; empty for anywhere.
    pub(super) within: &'static str,
    /// Not the name and namespace.
    pub(super) keep_name: bool,
    /// Not the namespace.
    pub(super) keep_namespace: bool,
}

impl Limits {
    fn allow(self, pointer: &str) -> bool {
        let is_name = matches!(pointer, "/metadata/name" | "/metadata/generateName");
        let is_kept = LEFT_ALONE.iter().any(|left| pointer.starts_with(left))
            || (self.keep_name && is_name)
            || (self.keep_namespace && pointer == "/metadata/namespace");
        pointer.starts_with(self.within) && !is_kept
    }
}

/// Changes the object at one place; `parts` are what fields may hold, `limits` says where.
pub(super) fn mutate(
    object: &mut Value,
    type_: &'static Type,
    parts: &Parts,
    limits: Limits,
    rng: &mut StdRng,
) {
    let mut sites = vec![];
    in_struct(object, type_, "", &mut sites);
    let wants_present = rng.random_bool(0.65);
    let allowed = |site: &&Site| limits.allow(&site.pointer);
    let wanted: Vec<&Site> =
        sites.iter().filter(allowed).filter(|site| site.present == wants_present).collect();
    if let Some(site) = wanted.choose(rng) {
        change(object, site, parts, rng);
    }
}

fn in_struct(value: &Value, type_: &'static Type, at: &str, sites: &mut Vec<Site>) {
    for field in &type_.fields {
        let pointer = format!("{at}/{}", escaped(field.name));
        let inner = value.get(field.name);
        if let Some(inner) = inner {
            in_value(inner, field, &field.shape, &pointer, sites);
        } else {
            sites.push(Site { pointer, field, shape: &field.shape, present: false });
        }
    }
}

fn in_value(value: &Value, field: &'static Field, shape: &'static Shape, at: &str, sites: &mut Vec<Site>) {
    sites.push(Site { pointer: at.to_owned(), field, shape, present: true });
    match shape {
        Shape::Struct(reference) => in_struct(value, reference.get(), at, sites),
        Shape::List(element, _) => {
            for (place, one) in value.as_array().into_iter().flatten().enumerate() {
                in_value(one, field, element, &format!("{at}/{place}"), sites);
            }
        }
        Shape::Map(element, _) => {
            for (key, one) in value.as_object().into_iter().flatten() {
                in_value(one, field, element, &format!("{at}/{}", escaped(key)), sites);
            }
        }
        _ => {}
    }
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn change(object: &mut Value, site: &Site, parts: &Parts, rng: &mut StdRng) {
    let (parent, last) = site.pointer.rsplit_once('/').expect("a pointer begins with a slash");
    let last = last.replace("~1", "/").replace("~0", "~");
    let Some(parent) = object.pointer_mut(parent) else { return };
    if site.present && rng.random_bool(0.15) {
        remove(parent, &last);
    } else if let Some(place) = place(parent, &last) {
        *place = changed(place, site, parts, rng);
    }
}

fn place<'a>(parent: &'a mut Value, last: &str) -> Option<&'a mut Value> {
    match parent {
        Value::Object(fields) => Some(fields.entry(last).or_insert(Value::Null)),
        Value::Array(elements) => elements.get_mut(last.parse::<usize>().ok()?),
        _ => None,
    }
}

fn remove(parent: &mut Value, last: &str) {
    match parent {
        Value::Object(fields) => drop(fields.remove(last)),
        Value::Array(elements) => drop(elements.remove(last.parse().expect("a list has numbers"))),
        _ => {}
    }
}

fn changed(old: &Value, site: &Site, parts: &Parts, rng: &mut StdRng) -> Value {
    let Site { field, shape, .. } = site;
    match (shape, old) {
        (Shape::List(..), Value::Array(elements)) if !elements.is_empty() && rng.random_bool(0.7) => {
            let mut elements = elements.clone();
            let element = shape.element().expect("a list has elements");
            match rng.random_range(0..3) {
                0 => elements.push(elements.choose(rng).expect("not empty").clone()),
                1 => elements.push(values::plausible(field, element, parts, rng, 0)),
                _ => elements.reverse(),
            }
            Value::Array(elements)
        }
        (Shape::Map(element, _), Value::Object(entries)) if rng.random_bool(0.7) => {
            let mut entries = entries.clone();
            entries.insert(values::key(rng), values::plausible(field, element, parts, rng, 0));
            Value::Object(entries)
        }
        _ if !site.present && rng.random_bool(0.75) => values::plausible(field, shape, parts, rng, 0),
        _ if rng.random_bool(0.4) => values::plausible(field, shape, parts, rng, 0),
        _ => values::odd(field, shape, parts, rng),
    }
}
