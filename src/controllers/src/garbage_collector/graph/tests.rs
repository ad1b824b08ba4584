//! What each change of the graph makes the collector look at.

use super::*;

/// An object as `uid`, or `uid<owner` for one that depends, `uid<owner!` for one that also blocks.
fn object(text: &str) -> Object {
    let (uid, owner) = text.split_once('<').map_or((text, None), |(uid, owner)| (uid, Some(owner)));
    let owners = owner.map(|owner| OwnerReference {
        uid: owner.trim_end_matches('!').into(),
        name: owner.trim_end_matches('!').into(),
        block_owner_deletion: Some(owner.ends_with('!')),
        ..OwnerReference::default()
    });
    Object {
        uid: uid.into(),
        place: Place { kind: Some(0), namespace: "ns".into(), name: uid.into() },
        owners: owners.into_iter().collect(),
        is_deleting: false,
        is_waiting: false,
        is_orphaning: false,
    }
}

fn waiting(text: &str) -> Object {
    Object { is_deleting: true, is_waiting: true, ..object(text) }
}

fn check(work: Vec<Work>, expected: &[&str]) {
    let mut work: Vec<String> = work.iter().map(Work::to_string).collect();
    work.sort();
    assert_eq!(work, expected);
}

#[test]
fn dependents_are_looked_at_when_their_owner_is_gone() {
    let mut graph = Graph::default();
    check(graph.set(object("owner"), |_| Some(0)), &[]);
    check(graph.set(object("a<owner"), |_| Some(0)), &[]);
    check(graph.set(object("b<owner"), |_| Some(0)), &[]);
    check(graph.remove("owner"), &["delete a", "delete b"]);
}

#[test]
fn an_owner_never_seen_is_looked_for_and_may_turn_up() {
    let mut graph = Graph::default();
    check(graph.set(object("a<owner"), |_| Some(0)), &["delete owner"]);
    check(graph.set(object("b<owner"), |_| Some(0)), &[]);
    check(graph.set(object("owner"), |_| Some(0)), &[]);
    assert_eq!(graph.view("owner").unwrap().dependents.len(), 2);
    check(graph.remove("owner"), &["delete a", "delete b"]);
}

#[test]
fn foreground_deletion_looks_at_dependents_and_at_the_owner_after_each() {
    let mut graph = Graph::default();
    graph.set(object("owner"), |_| Some(0));
    graph.set(object("a<owner!"), |_| Some(0));
    check(graph.set(waiting("owner"), |_| Some(0)), &["delete a", "delete owner"]);
    check(graph.set(waiting("owner"), |_| Some(0)), &[]);
    check(graph.set(object("late<owner!"), |_| Some(0)), &["delete late"]);
    check(graph.set(object("a<owner"), |_| Some(0)), &["delete owner"]);
    check(graph.remove("late"), &["delete owner"]);
    let dependents = graph.view("owner").unwrap().dependents;
    assert!(!dependents[0].is_blocking);
}

#[test]
fn orphaning_is_started_once() {
    let mut graph = Graph::default();
    graph.set(object("owner"), |_| Some(0));
    let orphaning = || Object { is_deleting: true, is_orphaning: true, ..object("owner") };
    check(graph.set(orphaning(), |_| Some(0)), &["orphan owner"]);
    check(graph.set(orphaning(), |_| Some(0)), &[]);
}

#[test]
fn what_a_new_list_lacks_is_gone() {
    let mut graph = Graph::default();
    graph.set(object("owner"), |_| Some(0));
    graph.set(object("a<owner"), |_| Some(0));
    check(graph.retain_listed(0, &["a".to_owned()].into()), &["delete a"]);
    assert!(graph.view("owner").is_none());
}
