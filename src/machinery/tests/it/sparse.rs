//! Published objects with members taken out, emptied or spoilt at random (by a fixed seed): our canonical bytes and
//! complaints beside those of upstream's decoder and encoder.

use coxswain_machinery::gvk::GroupVersionKind;
use coxswain_machinery::json::{self, Tree};
use coxswain_machinery::schema;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::oracle::{Answer, Question, ask};
use super::round_trip::{kind_of, published};

/// How many variants of each object.
const VARIANTS: u64 = 6;

type Spoil = fn(&mut Tree<'static>, &mut StdRng);

/// Questions about variants of every published object.
pub(crate) fn questions(make: impl Fn(Tree<'static>, &mut StdRng) -> Question) -> Vec<Question> {
    let mut questions = Vec::new();
    for (place, file) in published().iter().enumerate() {
        let kind = kind_of(file);
        if !is_known(&kind) {
            continue;
        }
        let bytes = std::fs::read(file).unwrap();
        let tree = json::parse(&bytes).unwrap().tree.into_owned();
        for variant in 0..VARIANTS {
            let mut rng = StdRng::seed_from_u64(place as u64 * VARIANTS + variant);
            let question = make(tree.clone(), &mut rng);
            questions.push(Question { api_version: kind.api_version(), kind: kind.kind.clone(), ..question });
        }
    }
    questions
}

/// Whether client-go's scheme, which the oracle uses, knows a kind: of requests between servers and of extensions it knows none.
pub(crate) fn is_known(kind: &GroupVersionKind) -> bool {
    let unknown = [
        "admission.k8s.io",
        "apidiscovery.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "imagepolicy.k8s.io",
        "meta.k8s.io",
    ];
    !unknown.contains(&kind.group.as_str())
}

fn encode_questions(spoil: Spoil) -> Vec<Question> {
    questions(|mut tree, rng| {
        spoil(&mut tree, rng);
        Question { ask: "encode", text: tree.to_string(), ..Question::default() }
    })
}

/// The type of the object that is asked about.
pub(crate) fn type_of(question: &Question) -> &'static schema::Type {
    let group_version = coxswain_machinery::gvk::GroupVersion::parse(&question.api_version).unwrap();
    schema::of(&group_version.with_kind(&*question.kind)).unwrap()
}

/// Takes members out, sets them to null or to zero.
fn thin(tree: &mut Tree<'static>, rng: &mut StdRng) {
    match tree {
        Tree::Object(object) => {
            object.retain(|_, _| rng.random_ratio(3, 4));
            for (_, value) in object.iter_mut() {
                match rng.random_range(0..8) {
                    0 => *value = Tree::Null,
                    1 => *value = zero(value),
                    _ => thin(value, rng),
                }
            }
        }
        Tree::Array(items) => items.iter_mut().for_each(|item| thin(item, rng)),
        _ => {}
    }
}

fn zero(value: &Tree<'static>) -> Tree<'static> {
    match value {
        Tree::Bool(_) => Tree::Bool(false),
        Tree::Int(_) | Tree::Uint(_) | Tree::Float(_) => Tree::Int(0),
        // The empty string is no time, quantity or base64.
        Tree::String(text) if text.len() > 15 || text.bytes().all(|byte| byte.is_ascii_digit()) => {
            value.clone()
        }
        Tree::String(_) => Tree::from(""),
        Tree::Array(_) => Tree::Array(vec![]),
        Tree::Object(_) => Tree::empty_object(),
        Tree::Null => Tree::Null,
    }
}

/// Gives one member somewhere a value of another type, and another one a name that no type has.
fn spoil(tree: &mut Tree<'static>, rng: &mut StdRng) {
    match tree {
        Tree::Object(object) if !object.is_empty() => {
            let place = rng.random_range(0..object.len());
            let value = object.iter_mut().nth(place).unwrap().1;
            let is_leaf = !matches!(value, Tree::Object(_) | Tree::Array(_));
            if is_leaf || rng.random_ratio(1, 6) {
                *value = another(value, rng);
            } else {
                spoil(value, rng);
            }
            if rng.random_ratio(1, 3) {
                object.insert("noSuchField", Tree::Bool(true));
            }
        }
        Tree::Array(items) if !items.is_empty() => {
            let place = rng.random_range(0..items.len());
            spoil(&mut items[place], rng);
        }
        other => *other = another(other, rng),
    }
}

fn another(value: &Tree<'static>, rng: &mut StdRng) -> Tree<'static> {
    let others = [
        Tree::from("x"),
        Tree::Int(7),
        Tree::Int(3_000_000_000),
        Tree::Bool(true),
        Tree::Array(vec![Tree::empty_object()]),
        Tree::empty_object(),
    ];
    others[(rng.random_range(0..others.len()))..].iter().find(|other| *other != value).unwrap().clone()
}

fn check_encoding(question: &Question, answer: &Answer) {
    let parsed = json::parse(question.text.as_bytes()).unwrap();
    let type_ = type_of(question);
    let ours = schema::check_types(&parsed.tree, type_)
        .map(|()| String::from_utf8(schema::canonical(&parsed.tree, type_)).unwrap())
        .map_err(|error| error.to_string());
    let ours = ours.as_deref().map_err(String::as_str);
    assert_eq!(ours, answer.result(), "{} {}", question.api_version, question.text);
    if ours.is_ok() {
        assert_eq!(
            schema::strict_errors(question.text.as_bytes(), type_),
            answer.strict,
            "{}",
            question.text
        );
    }
}

#[test]
fn sparse_objects_are_encoded_as_upstream_encodes_them() {
    let questions = encode_questions(thin);
    for (question, answer) in questions.iter().zip(ask(&questions)) {
        check_encoding(question, &answer);
    }
}

#[test]
fn spoilt_objects_are_refused_in_upstreams_words() {
    let questions = encode_questions(spoil);
    for (question, answer) in questions.iter().zip(ask(&questions)) {
        check_encoding(question, &answer);
    }
}
