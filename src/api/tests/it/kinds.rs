//! Walks the list of kinds: every one is complete and none stands in another's way.

use std::collections::BTreeSet;

use coxswain_api::{Descriptor, builtin};

fn all() -> Vec<Descriptor> {
    [builtin(), coxswain_api::bodies()].concat()
}

#[test]
fn names_are_unique() {
    let mut resources = BTreeSet::new();
    let mut kinds = BTreeSet::new();
    for kind in all() {
        assert!(resources.insert(kind.resource.clone()), "{kind:?}");
        assert!(kinds.insert(kind.gvk.clone()), "{kind:?}");
    }
}

#[test]
fn short_names_are_unique_within_a_group() {
    let mut seen = BTreeSet::new();
    for kind in builtin() {
        for name in &kind.short_names {
            assert!(seen.insert((kind.gvk.group.clone(), name.clone())), "{kind:?} {name}");
        }
    }
}

#[test]
fn names_follow_the_kind() {
    for kind in builtin() {
        assert_eq!(kind.singular, kind.gvk.kind.to_lowercase(), "{kind:?}");
        assert_eq!(kind.list_kind, format!("{}List", kind.gvk.kind), "{kind:?}");
        assert!(kind.resource.resource.starts_with(&kind.singular), "{kind:?}");
        assert!(kind.verbs.is_sorted(), "{kind:?}");
    }
}

#[test]
fn every_column_has_a_cell() {
    let parsed = machinery::json::parse(b"{}").expect("an empty object");
    for kind in builtin() {
        let Ok(object) = kind.decode(&parsed.tree) else { panic!("{kind:?} does not read an empty object") };
        let cells = kind.row_of(&object, k8s_openapi::jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(cells.len(), kind.columns().len(), "{kind:?}");
    }
}

#[test]
fn selectable_fields_have_names_that_requests_may_use() {
    let pods = builtin().into_iter().find(|kind| kind.resource.resource == "pods").expect("pods");
    assert_eq!(pods.field_label("spec.nodeName"), Ok("spec.nodeName"));
    assert_eq!(pods.field_label("spec.host"), Ok("spec.nodeName"));
    assert_eq!(pods.field_label("spec.x"), Err("field label not supported: spec.x".to_owned()));
    let maps =
        builtin().into_iter().find(|kind| kind.resource.resource == "configmaps").expect("config maps");
    assert_eq!(
        maps.field_label("data"),
        Err("\"data\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
            .to_owned())
    );
    let events = |group: &str| {
        let is_it = |kind: &Descriptor| kind.gvk.group == group && kind.gvk.kind == "Event";
        builtin().into_iter().find(is_it).expect("events")
    };
    assert_eq!(events("events.k8s.io").field_label("regarding.name"), Ok("involvedObject.name"));
    assert!(events("events.k8s.io").field_label("involvedObject.name").is_err());
    assert!(events("").field_label("regarding.name").is_err());
}
