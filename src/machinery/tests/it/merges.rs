//! Strategic merges of published objects, with their lists grown, thinned and shuffled and with directives put in at
//! random (by a fixed seed), beside what upstream makes of them.

use coxswain_machinery::gvk::GroupVersionKind;
use coxswain_machinery::json::{self, Tree};
use coxswain_machinery::patch::strategic;
use coxswain_machinery::schema;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};

use super::generated::Generator;
use super::oracle::{Question, ask};
use super::sparse::{questions, type_of};

/// Drops members, and makes of every list one of up to three different elements in any order.
fn rearrange(tree: &mut Tree<'static>, rng: &mut StdRng) {
    match tree {
        Tree::Object(object) => {
            object.retain(|_, _| rng.random_ratio(4, 5));
            object.iter_mut().for_each(|(_, value)| rearrange(value, rng));
        }
        Tree::Array(items) => {
            let mut grown: Vec<_> =
                (0..3).flat_map(|n| items.iter().map(move |item| numbered(item, n))).collect();
            grown.retain(|_| rng.random_ratio(2, 3));
            for item in &mut grown {
                // The members of the element itself stay, for one of them is its merge key.
                if let Tree::Object(object) = item {
                    object.iter_mut().for_each(|(_, value)| rearrange(value, rng));
                }
            }
            grown.shuffle(rng);
            *items = grown;
        }
        _ => {}
    }
}

/// The element with its own strings and numbers changed, so that it is another element.
fn numbered(item: &Tree<'static>, n: i64) -> Tree<'static> {
    match item {
        Tree::String(text) => Tree::from(format!("{text}{n}")),
        Tree::Int(number) => Tree::Int(number + n),
        Tree::Object(object) => {
            let scalars = |value: &Tree<'static>| match value {
                Tree::String(_) | Tree::Int(_) => numbered(value, n),
                other => other.clone(),
            };
            Tree::Object(object.iter().map(|(key, value)| (key.to_owned().into(), scalars(value))).collect())
        }
        other => other.clone(),
    }
}

/// Puts directives into a patch.
fn direct(tree: &mut Tree<'static>, rng: &mut StdRng) {
    let Tree::Object(object) = tree else { return };
    let lists: Vec<(String, Vec<Tree<'static>>)> = object
        .iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value.as_array()?.to_vec())))
        .filter(|(_, list)| !list.is_empty())
        .collect();
    for (name, list) in lists {
        let scalars = !matches!(list[0], Tree::Object(_));
        match rng.random_range(0..6) {
            0 => drop(object.insert(format!("$setElementOrder/{name}"), Tree::Array(list))),
            1 if scalars => {
                object.remove(&name);
                object.insert(format!("$deleteFromPrimitiveList/{name}"), Tree::Array(list));
            }
            2 if !scalars => mark(object.get_mut(&name).unwrap(), "delete", rng),
            3 if !scalars => mark(object.get_mut(&name).unwrap(), "replace", rng),
            _ => {}
        }
    }
    for (_, value) in object.iter_mut() {
        match value {
            Tree::Array(items) => items.iter_mut().for_each(|item| direct(item, rng)),
            other => direct(other, rng),
        }
    }
    if rng.random_ratio(1, 12) {
        let keys = object.keys().map(|key| Tree::from(key.to_owned())).collect();
        object.insert("$retainKeys", Tree::Array(keys));
    }
    if rng.random_ratio(1, 30) {
        object.insert("$patch", Tree::from(*["replace", "delete"].choose(rng).unwrap()));
    }
}

/// Makes one element of a list a directive.
fn mark(list: &mut Tree<'static>, directive: &'static str, rng: &mut StdRng) {
    let items = list.as_array_mut().unwrap();
    let place = rng.random_range(0..items.len());
    items[place].set(&["$patch"], Tree::from(directive));
}

/// Applies every patch as we do and compares with what upstream makes of it.
fn check(questions: &[Question]) {
    let mut agreed = 0;
    for (question, answer) in questions.iter().zip(ask(questions)) {
        let current = json::parse(question.text.as_bytes()).unwrap().tree;
        let patch = json::parse(question.patch.as_bytes()).unwrap().tree;
        let ours = strategic::apply(&current, &patch, type_of(question));
        let context =
            format!("{} {}\n{}\n{}", question.api_version, question.kind, question.text, question.patch);
        match (ours, answer.result()) {
            (Ok(ours), Ok(theirs)) => {
                assert_eq!(ours, json::parse(theirs.as_bytes()).unwrap().tree, "{context}");
                agreed += 1;
            }
            // Go walks maps in random order, so which of several errors it meets first is chance.
            (Err(_), Err(_)) => {}
            (_, Err(error)) if error.starts_with("panic: ") => {}
            (Err(ours), Ok(theirs)) => panic!("{ours}\nbeside\n{theirs}\n{context}"),
            (Ok(ours), Err(theirs)) => panic!("{ours}\nbeside\n{theirs}\n{context}"),
        }
    }
    assert!(agreed * 2 > questions.len(), "only {agreed} of {} patches apply", questions.len());
}

#[test]
fn strategic_merges_give_what_upstreams_give() {
    check(&questions(|tree, rng| {
        let (mut current, mut patch) = (tree.clone(), tree);
        rearrange(&mut current, rng);
        rearrange(&mut patch, rng);
        direct(&mut patch, rng);
        Question { ask: "patch", text: current.to_string(), patch: patch.to_string(), ..Question::default() }
    }));
}

/// How many patches of each important kind.
const PATCHES: u64 = 2_000;

/// Sets members to null here and there.
fn forget(tree: &mut Tree<'static>, rng: &mut StdRng) {
    match tree {
        Tree::Object(object) => {
            for (_, value) in object.iter_mut() {
                if rng.random_ratio(1, 25) { *value = Tree::Null } else { forget(value, rng) }
            }
        }
        Tree::Array(items) => items.iter_mut().for_each(|item| forget(item, rng)),
        _ => {}
    }
}

/// A patch of one generated object by another; the more members they have, the more likely they do not fit.
fn generated_question(kind: &GroupVersionKind, number: u64) -> Question {
    let of = schema::of(kind).unwrap();
    let mut generator = Generator { rng: StdRng::seed_from_u64(number), density: 2 + (number % 6) as u32 };
    let current = generator.object(kind, of);
    let mut patch = generator.object(kind, of);
    if number.is_multiple_of(2) {
        direct(&mut patch, &mut generator.rng);
    }
    forget(&mut patch, &mut generator.rng);
    Question {
        ask: "patch",
        api_version: kind.api_version(),
        kind: kind.kind.clone(),
        text: current.to_string(),
        patch: patch.to_string(),
    }
}

#[test]
fn patches_of_important_kinds_do_what_they_do_upstream() {
    for (group, kind) in [("", "Pod"), ("apps", "Deployment"), ("", "Service")] {
        let kind = GroupVersionKind::new(group, "v1", kind);
        check(&(0..PATCHES).map(|number| generated_question(&kind, number)).collect::<Vec<_>>());
    }
}
