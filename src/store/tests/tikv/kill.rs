//! Servers in processes of their own that are killed while they write: everything acknowledged is there, nothing repeats.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use store::*;

use crate::place::{at, place};
use crate::support::*;

const PREFIX: &str = "COXSWAIN_STORE_KILL_PREFIX";
/// Under which address others reach a process; loopback where it is not set.
pub(crate) const ADDRESS: &str = "COXSWAIN_STORE_KILL_ADDRESS";
/// Set where a process is to tell what the store holds.
const TELL: &str = "COXSWAIN_STORE_KILL_TELL";

/// Between two writes of one writer: whoever joins reads all that was ever written, and in many rounds that gets much.
const PAUSE: Duration = Duration::from_millis(30);

/// Nothing is forgotten, however long a slow machine takes.
fn remembering() -> Options {
    Options { horizon: Duration::from_secs(24 * 60 * 60), ..options() }
}

/// Run by the test below in a process of its own; without the variable it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_writes_until_it_is_killed() {
    let Ok(prefix) = std::env::var(PREFIX) else { return };
    let address = std::env::var(ADDRESS).map_or(peer().advertise, |text| text.parse().unwrap());
    let peer = Peer { bind: (address, 0).into(), advertise: address };
    let store = Store::join(tikv::open(&at(&prefix)).unwrap(), remembering(), peer).await.unwrap();
    println!("joined");
    if std::env::var_os(TELL).is_some() {
        return tell(&store).await;
    }
    let writers = (0..8).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for step in 0_u64.. {
                let name = format!("p{}w{writer}-{}", std::process::id(), step % 20);
                let write = Write::Put(value(&step.to_string()));
                // Unknown and unavailable are what happens to the others when the owner dies.
                if let Ok(committed) = store.commit(key(&name), Precondition::Any, write).await {
                    // One write of a short line reaches the pipe whole, or not at all.
                    let place = if store.orders_writes() { "owner" } else { "follower" };
                    println!("ack {name} {step} {} {place}", committed.entry.revision);
                }
                tokio::time::sleep(PAUSE).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}

/// Takes events up to a revision; where TiKV took too long to tell of them, the watch is resumed.
async fn take_all(store: &Store, watch: &mut Watch, tip: Revision) -> Vec<Arc<Event>> {
    let mut taken = Vec::new();
    while watch.position() < tip {
        match watch.next().await {
            Ok(Item::Events(events)) => taken.extend(events),
            Ok(Item::Progress(_)) => {}
            Err(WatchError::Engine(cause)) => {
                println!("the watch is resumed at {}: {cause}", watch.position());
                *watch = store.watch(all(), watch.position()).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
    taken
}

/// Prints every event that there ever was.
async fn tell(store: &Store) {
    let tip = until_done(store).await;
    let mut watch = store.watch(all(), 1).unwrap();
    for event in take_all(store, &mut watch, tip).await {
        let text = String::from_utf8_lossy(&event.entry.bytes).into_owned();
        println!("event {} {} {text}", event.entry.revision, event.entry.key.name());
    }
    println!("told");
}

/// What the store held in the end, as another process told it.
pub(crate) struct History(Vec<(String, String)>);

/// Lets a process tell what the store holds: every revision once, in order.
pub(crate) fn history(mut command: Command, prefix: &str) -> History {
    command.env(TELL, "yes");
    let mut server = start_as(command, prefix);
    let mut told = Vec::new();
    for line in server.lines.iter().take_while(|line| line != "told") {
        let Some(event) = line.strip_prefix("event ") else { continue };
        let [revision, name, text] = event.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        assert_eq!(revision, (told.len() + 2).to_string(), "every revision once, in order");
        told.push((name.to_owned(), text.to_owned()));
    }
    server.process.wait().unwrap();
    History(told)
}

impl History {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the line acknowledges a write; that is in the history then, exactly as it was written.
    pub(crate) fn has(&self, line: &str) -> bool {
        let Some((name, step, revision)) = acknowledged(line) else { return false };
        let Some((key, text)) = self.0.get(usize::try_from(revision).unwrap().wrapping_sub(2)) else {
            panic!("{line} was acknowledged and is not in the history");
        };
        let is_cut = key != name;
        assert!(is_cut || text.as_bytes() == &bytes(step, revision)[..], "{line} is {text}");
        !is_cut
    }
}

/// The name, the step and the revision of a line that acknowledges a write.
fn acknowledged(line: &str) -> Option<(&str, &str, Revision)> {
    let (_, line) = line.split_once("ack ")?;
    let [name, step, revision, _] = line.split(' ').collect::<Vec<_>>()[..] else { return None };
    Some((name, step, revision.parse().ok()?))
}

pub(crate) struct Server {
    process: Child,
    /// What it prints, as soon as it does.
    lines: Receiver<String>,
}

fn start(prefix: &str) -> Server {
    start_as(Command::new(std::env::current_exe().unwrap()), prefix)
}

pub(crate) fn start_as(mut command: Command, prefix: &str) -> Server {
    let mut process = command
        .args(["--exact", "kill::child_that_writes_until_it_is_killed", "--nocapture"])
        .env(PREFIX, prefix)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (print, lines) = channel();
    let output = BufReader::new(process.stdout.take().unwrap());
    std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| print.send(line)));
    let has_joined = lines.iter().any(|line| line.contains("joined"));
    assert!(has_joined, "it does not open: {:#?}", inspect(&tikv::open(&at(prefix)).unwrap()));
    Server { process, lines }
}

impl Server {
    /// Reads what there is and so many acknowledgements more; whether the last one says that this server is the owner.
    pub(crate) fn read(&mut self, count: usize, into: &mut Vec<String>) -> bool {
        into.extend(self.lines.try_iter());
        into.extend(self.lines.iter().take(count));
        into.last().is_some_and(|line| line.ends_with("owner"))
    }

    /// Kills it and reads what it had said; the last line may be cut.
    pub(crate) fn kill(mut self, into: &mut Vec<String>) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        into.extend(self.lines.iter());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_owners_are_killed() {
    let rounds: usize = std::env::var("COXSWAIN_STORE_KILLS").map_or(3, |text| text.parse().unwrap());
    let place = place();
    let mut servers = vec![start(&place.prefix), start(&place.prefix)];
    let engine = tikv::open(&place).unwrap();
    let (mut acknowledged, mut seen) = (Vec::new(), Vec::new());
    let mut position = 1;
    for round in 0..rounds {
        // Its place in the cluster is new each time, so the owner is one of the others.
        let witness = join(&engine, remembering()).await;
        let mut watch = witness.watch(all(), position).unwrap();
        let owner = owner(&mut servers, &mut acknowledged);
        servers.remove(owner).kill(&mut acknowledged);
        let killed = Instant::now();
        let revision = until_done(&witness).await;
        println!("round {round}: a write was done {:?} after the kill", killed.elapsed());
        seen.extend(take_all(&witness, &mut watch, revision).await);
        position = watch.position();
        drop(watch);
        witness.close().await;
        servers.push(start(&place.prefix));
    }
    servers.into_iter().for_each(|server| server.kill(&mut acknowledged));
    let witness = join(&engine, remembering()).await;
    let tip = until_done(&witness).await;
    let mut watch = witness.watch(all(), position).unwrap();
    seen.extend(take_all(&witness, &mut watch, tip).await);
    let revisions: Vec<_> = seen.iter().map(|event| event.entry.revision).collect();
    assert_eq!(revisions, (2..=tip).collect::<Vec<_>>(), "every revision once, in order");
    let checked = acknowledged.iter().filter(|line| check(line, &seen)).count();
    assert!(checked > 100 * rounds, "only {checked} acknowledged writes were seen");
    assert_eq!(inspect(&engine).unwrap().problems, Vec::<String>::new());
}

/// Reads what the servers acknowledge until one of them says that it is the owner.
pub(crate) fn owner(servers: &mut [Server], acknowledged: &mut Vec<String>) -> usize {
    loop {
        let owners: Vec<bool> = servers.iter_mut().map(|server| server.read(200, acknowledged)).collect();
        if let Some(owner) = owners.iter().position(|is_owner| *is_owner) {
            return owner;
        }
    }
}

async fn until_done(store: &Store) -> Revision {
    let write = async {
        loop {
            let written = store.commit(key("witness"), Precondition::Any, Write::Put(value("x"))).await;
            match written {
                Ok(committed) => return committed.entry.revision,
                Err(CommitError::Unknown(_) | CommitError::Unavailable(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(120), write).await.unwrap()
}

/// Whether the line acknowledges a write; that is in the history then, exactly as it was written.
fn check(line: &str, history: &[Arc<Event>]) -> bool {
    let Some((name, step, revision)) = acknowledged(line) else { return false };
    let Some(event) = history.get(usize::try_from(revision).unwrap().wrapping_sub(2)) else {
        panic!("{line} was acknowledged and is not in the history");
    };
    let is_cut = event.entry.key != key(name);
    if !is_cut {
        assert_eq!(event.entry.bytes, bytes(step, revision));
    }
    !is_cut
}
