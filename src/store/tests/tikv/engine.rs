//! What the store asks of the engine, and what it says when it is set up wrongly.

use bytes::Bytes;
use store::engine::{Batch, Condition, Durability, Written};
use store::tikv::{Place, Tls};
use store::{Departure, Engine, OpenError, conclude, tikv};

use crate::place::{at, fresh, place};
use crate::support::*;

fn condition(expected: Option<&'static str>) -> Condition {
    Condition { key: Bytes::from_static(b"m"), expected: expected.map(Bytes::from) }
}

fn batch(mark: &'static str, names: std::ops::Range<u32>) -> Batch {
    let mut batch = Batch::default();
    for name in names {
        batch.put(format!("k{name:05}"), format!("{mark}{name}"));
    }
    batch.put("m", mark);
    batch
}

fn marks(engine: &Engine) -> usize {
    engine.snapshot().scan(b"k", b"l").map(Result::unwrap).count()
}

#[test]
fn a_batch_is_done_as_a_whole_when_its_condition_holds_and_not_at_all_when_it_does_not() {
    let engine = fresh();
    assert_eq!(engine.write_if(&condition(Some("a")), batch("b", 0..3)).unwrap(), Written::Refused);
    assert_eq!(marks(&engine), 0);
    assert_eq!(engine.write_if(&condition(None), batch("a", 0..3)).unwrap(), Written::Done);
    assert_eq!(engine.write_if(&condition(None), batch("b", 3..6)).unwrap(), Written::Refused);
    // Larger than what is committed in one phase, and than a page of a scan.
    assert_eq!(engine.write_if(&condition(Some("a")), batch("b", 0..2000)).unwrap(), Written::Done);
    let snapshot = engine.snapshot();
    assert_eq!(engine.write_if(&condition(Some("b")), batch("c", 0..5)).unwrap(), Written::Done);
    let pairs: Vec<_> = snapshot.scan(b"k", b"l").map(Result::unwrap).collect();
    assert_eq!(pairs.len(), 2000);
    assert!(pairs.is_sorted());
    assert!(pairs.iter().all(|(_, value)| value.starts_with(b"b")), "a snapshot does not change");
    let keys = ["k00001", "absent", "k01999"].map(Bytes::from);
    let values = snapshot.get_all(&keys).unwrap();
    assert_eq!(values, [Some("b1".into()), None, Some("b1999".into())]);
    assert_eq!(snapshot.get(b"absent").unwrap(), None);
}

/// Of many that take the same value for granted, one is right.
#[test]
fn of_batches_with_one_condition_one_is_done() {
    let engine = fresh();
    let done = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let engine = &engine;
                scope.spawn(move || {
                    let batch = batch("x", writer * 10..writer * 10 + 10);
                    // A conflict, not knowing, or a lock that was in the way: all but one are told no or nothing.
                    matches!(engine.write_if(&condition(None), batch), Ok(Written::Done))
                })
            })
            .collect();
        writers.into_iter().filter(|_| true).map(|writer| writer.join().unwrap()).filter(|done| *done).count()
    });
    assert_eq!((done, marks(&engine)), (1, 10));
}

#[test]
fn prefixes_do_not_see_each_other() {
    let (one, other) = (fresh(), fresh());
    one.write_if(&condition(None), batch("a", 0..3)).unwrap();
    assert_eq!((marks(&one), marks(&other)), (3, 0));
}

#[test]
fn nothing_is_written_without_a_condition() {
    assert!(fresh().write(batch("a", 0..1), Durability::Synced).is_err());
}

/// Among the keys of others, which the tests beside this one write.
#[tokio::test(flavor = "multi_thread")]
async fn stores_are_found_under_whatever_prefix_and_say_what_became_of_them() {
    let (used, left) = (place(), place());
    let engines = [&used, &left].map(|place| tikv::open(place).unwrap());
    assert!(tikv::is_new(&engines[0]).unwrap());
    let stores = [join(&engines[0], options()).await, join(&engines[1], options()).await];
    assert!(!tikv::is_new(&engines[0]).unwrap());
    put(&stores[0], "a", "x").await;
    let departure = Departure::begin("elsewhere".to_owned());
    stores[1].seal(departure.clone()).await.unwrap();
    conclude(&engines[1], departure.token).unwrap();
    let damaged = place();
    damage(&tikv::open(&damaged).unwrap()).await;

    let found = tikv::survey(&at("")).unwrap().stores;
    let of = |place: &Place| found.iter().find(|found| found.prefix == place.prefix).unwrap();
    assert_eq!(of(&used).revision, Some(2));
    assert_eq!(of(&used).departure, None);
    assert_eq!(of(&left).departure, Some(Departure { is_over: true, ..departure }));
    assert_eq!(of(&damaged).revision, None);
    assert!(of(&damaged).unreadable.as_ref().unwrap().contains("m/tip is damaged"));
    for store in stores {
        store.close().await;
    }
}

/// Begins a store and spoils what it says of itself.
async fn damage(engine: &Engine) {
    join(engine, options()).await.close().await;
    let key = Bytes::from_static(b"m/tip");
    let expected = engine.snapshot().get(&key).unwrap();
    let mut batch = Batch::default();
    batch.put(key.clone(), "no tip");
    assert_eq!(engine.write_if(&Condition { key, expected }, batch).unwrap(), Written::Done);
}

#[test]
fn what_is_set_up_wrongly_is_named() {
    fn check(place: &Place, expected: &[&str]) {
        let Err(OpenError::Engine(error)) = tikv::open(place).map(drop) else { panic!("opened {place:?}") };
        let text = error.to_string();
        assert!(expected.iter().all(|part| text.contains(part)), "{text}");
    }
    check(&at(""), &["prefix"]);
    let nobody = Place { endpoints: vec!["127.0.0.1:1".to_owned()], ..place() };
    check(&nobody, &["127.0.0.1:1"]);
    let missing = |name: &str| std::path::PathBuf::from(format!("/nowhere/{name}"));
    let tls = Tls { ca: missing("ca.crt"), certificate: missing("tls.crt"), key: missing("tls.key") };
    check(&Place { tls: Some(tls), ..place() }, &["/nowhere/"]);
}
