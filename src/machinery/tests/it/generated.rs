//! Objects made from the schema alone, by a fixed seed: what goes through our encodings comes out the same, and the bytes are
//! those that upstream writes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use coxswain_machinery::gvk::GroupVersionKind;
use coxswain_machinery::json::{self, Object, Tree};
use coxswain_machinery::protobuf;
use coxswain_machinery::quantity::Quantity;
use coxswain_machinery::schema::{self, Field, Shape, Type};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::oracle::{Question, ask};
use super::sparse::is_known;

/// How many objects of each kind.
const OBJECTS: u64 = 6;
/// Structs below this depth are empty.
const DEEPEST: usize = 12;

/// Makes values that fit a schema.
pub(crate) struct Generator {
    pub(crate) rng: StdRng,
    /// Of ten members, how many an object has.
    pub(crate) density: u32,
}

impl Generator {
    /// An object of a kind.
    pub(crate) fn object(&mut self, kind: &GroupVersionKind, of: &Type) -> Tree<'static> {
        let mut object = Object::default();
        if of.field("kind").is_some() {
            object.insert("kind", Tree::from(kind.kind.clone()));
            object.insert("apiVersion", Tree::from(kind.api_version()));
        }
        self.members(of, &mut object, 0);
        Tree::Object(object)
    }

    fn members(&mut self, of: &Type, object: &mut Object<'static>, depth: usize) {
        let in_protobuf =
            |field: &&Field| field.number != 0 && field.within.iter().all(|embedded| embedded.number != 0);
        for field in of.fields.iter().filter(in_protobuf) {
            // The deeper, the fewer: an object is not to be of every size at once.
            let density = self.density.saturating_sub(depth as u32 / 3).max(1);
            if depth < DEEPEST && self.rng.random_ratio(density, 10) {
                let value = self.field(field, depth + 1);
                object.insert(field.name, value);
            }
        }
    }

    fn field(&mut self, field: &Field, depth: usize) -> Tree<'static> {
        match &field.shape {
            Shape::String(_) if !field.allowed.is_empty() => {
                Tree::from((*field.allowed.choose(&mut self.rng).unwrap()).to_owned())
            }
            // What is empty and what is not there are one in protobuf.
            Shape::List(..) | Shape::Map(..) | Shape::Bytes if !field.omit_empty => {
                self.collection(&field.shape, 1, depth)
            }
            shape => self.value(shape, depth),
        }
    }

    fn value(&mut self, shape: &Shape, depth: usize) -> Tree<'static> {
        match shape {
            Shape::String(_) => self.text(),
            Shape::Bool => Tree::Bool(self.rng.random()),
            Shape::Int32 => Tree::Int((self.rng.random::<i32>() >> self.rng.random_range(0..31)).into()),
            Shape::Int64 => Tree::Int(self.rng.random::<i64>() >> self.rng.random_range(0..63)),
            Shape::Float => Tree::Float(f64::from(self.rng.random_range(-1000..1000)) / 4.0),
            Shape::Quantity => self.quantity(),
            Shape::IntOrString if self.rng.random() => Tree::Int(self.rng.random::<i32>().into()),
            Shape::IntOrString => self.text(),
            Shape::Time => Tree::from(self.moment()),
            Shape::MicroTime => {
                let micros = self.rng.random_range(0..1_000_000);
                Tree::from(self.moment().replace('Z', &format!(".{micros:06}Z")))
            }
            Shape::Any(go_type) => self.anything(go_type, depth),
            Shape::Struct(reference) => {
                let mut object = Object::default();
                self.members(reference.get(), &mut object, depth);
                Tree::Object(object)
            }
            Shape::List(..) | Shape::Map(..) | Shape::Bytes => self.collection(shape, 0, depth),
        }
    }

    fn collection(&mut self, shape: &Shape, least: usize, depth: usize) -> Tree<'static> {
        let count = self.rng.random_range(least..4);
        match shape {
            Shape::List(element, _) => {
                // Where an element comes twice, what upstream's patches do depends on how much room Go left behind a slice.
                let mut items = Vec::new();
                for _ in 0..count {
                    let item = self.value(element, depth);
                    if !items.contains(&item) {
                        items.push(item);
                    }
                }
                Tree::Array(items)
            }
            Shape::Map(element, _) => {
                let mut object = Object::default();
                for _ in 0..count {
                    let Tree::String(key) = self.text() else { unreachable!("texts are strings") };
                    let value = self.value(element, depth);
                    object.insert(key, value);
                }
                Tree::Object(object)
            }
            _ => {
                let bytes: Vec<u8> = (0..count * 5).map(|_| self.rng.random()).collect();
                Tree::from(STANDARD.encode(bytes))
            }
        }
    }

    /// Of few, so that the elements of two lists meet.
    fn text(&mut self) -> Tree<'static> {
        let texts = ["a", "b", "c", "d", "", "TCP", "x/y", "a b", "\u{e9}\u{1f600}", "<&>\"\\\n"];
        Tree::from((*texts.choose(&mut self.rng).unwrap()).to_owned())
    }

    fn quantity(&mut self) -> Tree<'static> {
        let suffix = ["", "m", "k", "M", "Ki", "Gi", "e3"].choose(&mut self.rng).unwrap();
        let text = format!("{}{suffix}", self.rng.random_range(0..5000));
        Tree::from(Quantity::parse(&text).unwrap().to_string())
    }

    fn moment(&mut self) -> String {
        let mut number = |range: std::ops::Range<u32>| self.rng.random_range(range);
        let (year, month, day) = (number(2..9999), number(1..13), number(1..29));
        let (hour, minute, second) = (number(0..24), number(0..60), number(0..60));
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }

    fn anything(&mut self, go_type: &str, depth: usize) -> Tree<'static> {
        let schema = |generator: &mut Self| {
            let of =
                schema::named("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps");
            let mut object = Object::default();
            generator.members(of.unwrap(), &mut object, depth + 1);
            Tree::Object(object)
        };
        match go_type {
            "v1.JSONSchemaPropsOrArray" | "v1.JSONSchemaPropsOrBool" => schema(self),
            "v1.JSONSchemaPropsOrStringArray" => Tree::Array(vec![self.text(), self.text()]),
            "v1.JSON" => [Tree::Int(7), Tree::from("x"), Tree::Array(vec![Tree::Bool(true)])]
                .choose(&mut self.rng)
                .unwrap()
                .clone(),
            _ => {
                let text = br#"{"apiVersion":"example.com/v1","kind":"Other","spec":{"f:a":{},"list":[1,2.5,null]}}"#;
                json::parse(text).unwrap().tree.into_owned()
            }
        }
    }
}

/// Objects of every kind that has a protobuf form.
fn objects() -> Vec<(GroupVersionKind, &'static Type, Tree<'static>)> {
    let kinds = schema::kinds().into_iter().filter_map(|kind| {
        let of = schema::of(&kind)?;
        protobuf::has_form(of).then_some((kind, of))
    });
    let mut objects = Vec::new();
    for (place, (kind, of)) in kinds.enumerate() {
        for number in 0..OBJECTS {
            let rng = StdRng::seed_from_u64(place as u64 * OBJECTS + number);
            let mut generator = Generator { rng, density: 1 + (number as u32 * 9 / OBJECTS as u32) };
            let tree = generator.object(&kind, of);
            // As it is stored.
            let stored = schema::canonical(&tree, of);
            objects.push((kind.clone(), of, json::parse(&stored).unwrap().tree.into_owned()));
        }
    }
    objects
}

#[test]
fn every_object_comes_back_from_protobuf_as_it_was() {
    for (kind, of, tree) in objects() {
        let bytes = protobuf::encode(&tree, of, &kind);
        let (found, decoded) =
            protobuf::decode(&bytes, &kind).unwrap_or_else(|error| panic!("{kind}: {error}\n{tree}"));
        assert_eq!(found, kind);
        let canonical = |tree: &Tree<'_>| String::from_utf8(schema::canonical(tree, of)).unwrap();
        assert_eq!(canonical(&decoded), tree.to_string(), "{kind}");
    }
}

#[test]
fn protobuf_is_what_upstream_writes() {
    let objects: Vec<_> = objects().into_iter().filter(|(kind, _, _)| is_known(kind)).collect();
    let questions: Vec<Question> = objects
        .iter()
        .map(|(kind, _, tree)| Question {
            ask: "protobuf",
            api_version: kind.api_version(),
            kind: kind.kind.clone(),
            text: tree.to_string(),
            ..Question::default()
        })
        .collect();
    for ((kind, of, tree), answer) in objects.iter().zip(ask(&questions)) {
        let theirs = STANDARD
            .decode(answer.result().unwrap_or_else(|error| panic!("{kind}: {error}\n{tree}")))
            .unwrap();
        let ours = protobuf::encode(tree, of, kind);
        let differs = ours.iter().zip(&theirs).position(|(a, b)| a != b);
        assert!(ours == theirs, "{kind} at {differs:?} of {} and {}:\n{tree}", ours.len(), theirs.len());
    }
}
