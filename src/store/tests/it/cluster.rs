//! Several servers over one engine: one store, whoever of them dies, is cut off or is deposed.

use bytes::Bytes;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use store::*;
use tokio::runtime::Runtime;

use crate::support::*;

/// Long enough for any change of ownership on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn server(way: &Way) -> Store {
    Store::join(Engine::new(way.clone()), options(), peer()).await.unwrap()
}

pub(crate) async fn servers(count: usize) -> (Engine, Vec<(Way, Store)>) {
    let engine = memory::new();
    let mut servers = Vec::new();
    for _ in 0..count {
        let way = Way::to(&engine);
        servers.push((way.clone(), server(&way).await));
    }
    (engine, servers)
}

pub(crate) async fn until_done(store: &Store, name: &str) -> Revision {
    let put = async {
        loop {
            match store.commit(key(name), Precondition::Any, Write::Put(value("x"))).await {
                Ok(committed) => return committed.entry.revision,
                Err(CommitError::Unavailable(_) | CommitError::Unknown(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, put).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_has_answered_every_server_knows() {
    let (_, servers) = servers(3).await;
    let mut watches: Vec<_> = servers.iter().map(|(_, store)| store.watch(all(), 1).unwrap()).collect();
    let mut revision = 1;
    for step in 0..30 {
        let (_, writer) = &servers[step % 3];
        let (_, reader) = &servers[(step + 1) % 3];
        let name = format!("k{}", step % 4);
        assert_eq!(put(writer, &name, "x").await, revision + 1);
        revision += 1;
        assert_eq!(writer.get(&key(&name)).unwrap().revision, revision, "whoever was answered finds it");
        reader.catch_up().await.unwrap();
        let read = reader.get(&key(&name)).unwrap();
        assert_eq!((read.revision, &read.bytes), (revision, &bytes("x", revision)));
        assert_eq!(read, writer.get(&key(&name)).unwrap(), "attributes and creation included");
    }
    for watch in &mut watches {
        let taken = take_until(watch, revision).await;
        let revisions: Vec<_> = taken.iter().map(|event| event.entry.revision).collect();
        assert_eq!(revisions, (2..=revision).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn preconditions_hold_whatever_server_is_asked() {
    let (_, servers) = servers(2).await;
    let stores = [&servers[0].1, &servers[1].1];
    put(stores[0], "a", "x").await;
    for store in stores {
        let refusal = store.commit(key("a"), Precondition::Absent, Write::Put(value("y"))).await.unwrap_err();
        let CommitError::Exists(current) = refusal else { panic!("{refusal}") };
        assert_eq!((current.revision, &current.bytes), (2, &bytes("x", 2)));
        assert_eq!(&*current.attributes.uid, "/configmaps/default/a {\"v\":\"x\"");
        let refusal = store.commit(key("a"), Precondition::Revision(9), Write::Delete(value("y"))).await;
        assert!(matches!(refusal, Err(CommitError::Conflict(current)) if current.revision == 2));
        let refusal = store.commit(key("b"), Precondition::Present, Write::Put(value("y"))).await;
        assert!(matches!(refusal, Err(CommitError::Missing)));
    }
}

/// A server whose keys cannot be had.
struct Keyless;

impl Seal for Keyless {
    fn seal(&self, _: &Key, _: &[u8]) -> Result<Option<Sealed>, String> {
        Err("no key".to_owned())
    }

    fn current(&self, _: &Key) -> Option<Arc<str>> {
        None
    }

    fn open(&self, _: &Key, _: Bytes) -> Result<Opened, String> {
        Err("no key".to_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_owner_refuses_for_good_is_said_by_the_server_that_was_asked() {
    let engine = memory::new();
    let owner = join(&engine, Options { seal: Arc::new(Keyless), ..options() }).await;
    let follower = join(&engine, options()).await;
    assert!(owner.orders_writes() && !follower.orders_writes());
    let refusal = follower.commit(key("a"), Precondition::Any, Write::Put(value("x"))).await;
    assert!(matches!(&refusal, Err(CommitError::Sealing(cause)) if cause == "no key"), "{refusal:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_compare_and_set_over_three_servers_loses_nothing() {
    const INCREMENTS: usize = 40;
    let (_, servers) = servers(3).await;
    put(&servers[0].1, "n", "0").await;
    let tasks: Vec<_> =
        (0..6).map(|task| tokio::spawn(count_up(servers[task % 3].1.clone(), INCREMENTS))).collect();
    let mut revisions = HashSet::new();
    for task in tasks {
        revisions.extend(task.await.unwrap());
    }
    assert_eq!(revisions.len(), 6 * INCREMENTS);
    let (_, last) = &servers[1];
    last.catch_up().await.unwrap();
    let entry = last.get(&key("n")).unwrap();
    assert_eq!(entry.bytes, bytes(&(6 * INCREMENTS).to_string(), entry.revision));
    assert_eq!(last.revision(), 2 + 6 * INCREMENTS as u64, "revisions are dense");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_owner_ends_in_good_order_another_goes_on() {
    let (engine, mut servers) = servers(2).await;
    put(&servers[1].1, "a", "x").await;
    let mut watch = servers[1].1.watch(all(), 1).unwrap();
    let (_, owner) = servers.remove(0);
    owner.close().await;
    assert_eq!(until_done(&servers[0].1, "a").await, 3);
    assert_eq!(events(&take_until(&mut watch, 3).await), ["+a=2", "~a=3<2"]);
    let late = join(&engine, options()).await;
    assert_eq!(put(&late, "b", "x").await, 4);
}

/// As a process that is killed: its connections are closed, and nothing of it reaches the engine any more.
#[test]
fn when_the_owner_is_killed_another_goes_on_and_no_watch_misses_anything() {
    let first = Runtime::new().unwrap();
    let rest = Runtime::new().unwrap();
    let engine = memory::new();
    let way = Way::to(&engine);
    let owner = first.block_on(server(&way));
    rest.block_on(async {
        let follower = server(&Way::to(&engine)).await;
        let mut watch = follower.watch(all(), 1).unwrap();
        let writing = first.spawn(write_until_it_fails(owner.clone()));
        follower.wait_for(20).await;
        way.is_cut.store(true, Ordering::SeqCst);
        first.shutdown_background();
        drop(writing);
        let tip = until_done(&follower, "after").await;
        let taken = take_until(&mut watch, tip).await;
        let revisions: Vec<_> = taken.iter().map(|event| event.entry.revision).collect();
        assert_eq!(revisions, (2..=tip).collect::<Vec<_>>());
        follower.close().await;
    });
    drop(owner);
}

async fn write_until_it_fails(store: Store) {
    for step in 0.. {
        if store
            .commit(key(&format!("k{}", step % 5)), Precondition::Any, Write::Put(value("x")))
            .await
            .is_err()
        {
            return;
        }
    }
}

/// Its connections stay, but it reaches the engine no longer: it gives up, and nothing it held was acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_is_cut_off_from_the_engine_is_followed() {
    let (_, servers) = servers(2).await;
    let (way, owner) = &servers[0];
    let (_, follower) = &servers[1];
    assert_eq!(put(owner, "a", "x").await, 2);
    way.is_cut.store(true, Ordering::SeqCst);
    assert_eq!(until_done(follower, "a").await, 3);
    assert!(owner.catch_up().await.is_err(), "a read that cannot be known to be the newest is not given");
    way.is_cut.store(false, Ordering::SeqCst);
    assert_eq!(until_done(owner, "b").await, 4);
    assert_eq!(owner.get(&key("a")).unwrap().revision, 3);
}

async fn resolved(fault: Fault, expected_beats: usize) {
    let (_, servers) = servers(2).await;
    let (way, owner) = &servers[0];
    let (_, follower) = &servers[1];
    put(owner, "a", "x").await;
    for _ in 0..expected_beats {
        way.fail(fault);
    }
    let written = owner.commit(key("b"), Precondition::Absent, Write::Put(value("y"))).await.unwrap();
    assert_eq!(written.entry.revision, 3, "{fault:?}");
    assert!(way.deliver().iter().all(|written| *written == store::engine::Written::Refused), "{fault:?}");
    let refusal = follower.commit(key("b"), Precondition::Absent, Write::Put(value("z"))).await;
    assert!(matches!(refusal, Err(CommitError::Exists(_))), "{fault:?}");
    follower.catch_up().await.unwrap();
    assert_eq!((follower.revision(), owner.revision()), (3, 3), "it was done once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_outcome_is_unknown_is_looked_for_before_anything_is_said() {
    for fault in [Fault::AnswerLost, Fault::BatchLost, Fault::BatchLate] {
        resolved(fault, 1).await;
        // The attempts to find out may fail in the same way.
        resolved(fault, 3).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_belongs_to_one_process_cannot_be_joined() {
    let error = Store::join(fresh_fjall(), options(), peer()).await.map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Engine(_)), "{error}");
}
