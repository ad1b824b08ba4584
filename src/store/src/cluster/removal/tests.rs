//! Removals over an engine in memory; `tests/tikv/removal.rs` has them over TiKV, among other stores.

use std::net::Ipv4Addr;

use super::*;
use crate::cluster::departure::{Settled, conclude, departure, reopen};
use crate::cluster::fall::Fall;
use crate::{
    CommitError, OpenError, Options, Peer, Precondition, Range, Store, Value, WatchError, Write, memory,
};

async fn join(engine: &Engine) -> Result<Store, OpenError> {
    let here = Ipv4Addr::LOCALHOST;
    let peer = Peer { bind: (here, 0).into(), advertise: here.into() };
    Store::join(engine.clone(), Options::default(), peer).await
}

async fn put(store: &Store, name: usize) -> Result<Revision, CommitError> {
    let key = Key::new("", "things", "", &format!("n{name}"));
    let write = Write::Put(Value::whole(Bytes::from_static(b"x")));
    store.commit(key, Precondition::Any, write).await.map(|committed| committed.entry.revision)
}

/// An engine with so many writes of a server that has ended.
async fn left(writes: usize) -> Engine {
    let engine = memory::new();
    let store = join(&engine).await.unwrap();
    for name in 0..writes {
        put(&store, name).await.unwrap();
    }
    store.close().await;
    engine
}

fn look(engine: &Engine) -> Removal {
    Removal::look(engine.clone()).unwrap().expect("there is something")
}

fn names(engine: &Engine) -> Vec<Bytes> {
    engine.snapshot().scan(b"", b"\xff").map(|pair| pair.unwrap().0).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_store_goes_in_steps_and_a_new_one_may_begin_there() {
    let engine = left(700).await;
    let mut removal = look(&engine);
    assert_eq!((removal.remains().revision, removal.is_past()), (Some(701), false));
    assert_eq!(removal.remains().records, names(&engine).len() as u64);
    removal.claim().unwrap();
    let (mut removed, mut steps) = (0, 0);
    while let count @ 1.. = removal.step().unwrap() {
        (removed, steps) = (removed + count, steps + 1);
    }
    // The departure and an epoch came with the claim.
    assert_eq!((removed, steps), (removal.remains().records + 2, 4));
    assert!(names(&engine).is_empty() && Removal::look(engine.clone()).unwrap().is_none());
    let store = join(&engine).await.unwrap();
    assert_eq!(put(&store, 0).await.unwrap(), 2);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_off_anywhere_it_opens_as_no_store_and_can_be_removed_again() {
    for steps in 0..=3 {
        let engine = left(700).await;
        let mut removal = look(&engine);
        removal.claim().unwrap();
        for _ in 0..steps {
            removal.step().unwrap();
        }
        let Err(OpenError::Moved(found)) = join(&engine).await.map(drop) else { panic!("after {steps}") };
        assert!(found.to_string().contains("is being removed for good"), "{found}");
        let mut again = look(&engine);
        assert!(again.is_past());
        again.claim().unwrap();
        while again.step().unwrap() > 0 {}
        assert!(names(&engine).is_empty(), "after {steps}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_writes_to_is_left_alone_and_what_is_claimed_no_server_writes_to() {
    let engine = left(3).await;
    let mut early = look(&engine);
    let store = join(&engine).await.unwrap();
    let refusal = early.claim().unwrap_err().to_string();
    assert!(refusal.contains("is alive") && refusal.contains("127.0.0.1:"), "{refusal}");
    assert!(matches!(early.step(), Err(RemovalError::Overtaken)));
    put(&store, 4).await.unwrap();

    // One that shows no sign of life for long enough, as a process that is stopped.
    loop {
        let mut late = look(&engine);
        if late.claim().is_ok() {
            break;
        }
    }
    assert!(matches!(put(&store, 5).await, Err(CommitError::Moved(_))));
    assert!(store.departed().await.is_removal());
    assert_eq!(departure(&engine).unwrap().map(|found| found.is_removal()), Some(true));
}

/// As a process that was stopped while all of it happened.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_heard_nothing_of_it_says_so_and_keeps_nobody_waiting() {
    let engine = left(3).await;
    let store = join(&engine).await.unwrap();
    let mut watch = store.watch(Range::resource("", "things"), 4).unwrap();
    loop {
        let tip = ledger::read(&*engine.snapshot()).unwrap().tip;
        let mut batch = Batch::default();
        names(&engine).into_iter().for_each(|name| batch.remove(name));
        if engine.write_if(&tip.condition(), batch).unwrap() == Written::Done {
            break;
        }
    }
    assert!(matches!(watch.next().await, Err(WatchError::Closed)));
    let refusal = put(&store, 4).await.unwrap_err().to_string();
    assert!(refusal.contains("the store was removed"), "{refusal}");
    assert!(names(&engine).is_empty() && !store.is_writable());
    assert_eq!(store.fallen().await, Fall::Removed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_on_its_way_is_not_removed_and_a_copy_of_what_was_removed_is_kept() {
    let engine = left(3).await;
    let store = join(&engine).await.unwrap();
    let away = Departure::begin("the directory /x".to_owned());
    store.seal(away.clone()).await.unwrap();
    assert!(matches!(Removal::look(engine.clone()), Err(RemovalError::Leaving(found)) if found == away));
    conclude(&engine, away.token).unwrap();
    store.close().await;

    let mut removal = look(&engine);
    assert_eq!(removal.remains().departure, Some(Departure { is_over: true, ..away.clone() }));
    removal.claim().unwrap();
    // Whoever asks what became of the move: not that it was taken back.
    assert_eq!(reopen(&engine, Some(away.token)).unwrap(), Settled::Empty);
    assert_eq!(reopen(&engine, None).unwrap(), Settled::Empty);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_restored_is_in_use_and_what_was_left_of_it_is_not() {
    let engine = memory::new();
    let restoring = |token: &'static [u8]| {
        let condition = Condition {
            key: Bytes::from_static(RESTORING_KEY),
            expected: engine.snapshot().get(RESTORING_KEY).unwrap(),
        };
        let mut batch = Batch::default();
        batch.put(RESTORING_KEY, token);
        batch.put(record::log_key(9), "x");
        engine.write_if(&condition, batch).unwrap();
    };
    restoring(b"one");
    let mut removal = look(&engine);
    assert_eq!(removal.remains().revision, None);
    restoring(b"two");
    assert!(matches!(removal.claim(), Err(RemovalError::InUse(_))));
    let mut removal = look(&engine);
    removal.claim().unwrap();
    // Somebody restores after all.
    restoring(b"three");
    assert!(matches!(removal.step(), Err(RemovalError::Overtaken)));
    let mut removal = look(&engine);
    removal.claim().unwrap();
    while removal.step().unwrap() > 0 {}
    assert!(names(&engine).is_empty());
}

/// Keys of another store, or of whatever else, in the midst of the records of this one.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_others_are_not_touched() {
    let put = |engine: &Engine, name: &[u8]| {
        let condition = Condition { key: Bytes::copy_from_slice(name), expected: None };
        let mut batch = Batch::default();
        batch.put(Bytes::copy_from_slice(name), "x");
        engine.write_if(&condition, batch).unwrap();
    };
    for (name, prefix) in [
        (&b"d/x/m/format"[..], "d/x/"),
        (b"l/m/format", "l/"),
        (b"m/m/tip", "m/"),
        (b"m/epoch/m/format", "m/epoch/"),
    ] {
        let engine = left(3).await;
        put(&engine, name);
        let Err(RemovalError::Mixed(found)) = Removal::look(engine) else {
            panic!("{prefix} was overlooked")
        };
        assert_eq!(found, prefix);
    }
    let engine = left(3).await;
    let foreign = [&b"a"[..], b"b/m/tip", b"d/of another application", b"e", b"l/0", b"m/else", b"m0", b"z"];
    foreign.iter().for_each(|name| put(&engine, name));
    let mut removal = look(&engine);
    removal.claim().unwrap();
    while removal.step().unwrap() > 0 {}
    assert_eq!(names(&engine), foreign);
}
