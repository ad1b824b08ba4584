//! A process that is killed while it writes: everything it acknowledged is there afterwards.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use store::*;

use crate::support::*;

const DIRECTORY: &str = "COXSWAIN_STORE_CRASH_DIRECTORY";
const HISTORY_LIMIT: &str = "COXSWAIN_STORE_CRASH_HISTORY_LIMIT";

/// Run by the tests below in a process of its own; without the variable it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_writes_until_it_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let history_limit = std::env::var(HISTORY_LIMIT).unwrap().parse().unwrap();
    let engine = fjall::open(directory).unwrap();
    let store = Store::open(engine, Options { history_limit, ..options() }).await.unwrap();
    let writers = (0..16).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for step in 0_u64.. {
                let name = format!("w{writer}-{}", step % 20);
                let revision = put(&store, &name, &step.to_string()).await;
                // One write of a short line reaches the pipe whole, or not at all.
                println!("ack {name} {step} {revision}");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    kill_again_and_again(1 << 30).await;
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed_while_it_compacts() {
    kill_again_and_again(30_000).await;
}

async fn kill_again_and_again(history_limit: u64) {
    let rounds: usize = std::env::var("COXSWAIN_STORE_KILLS").map_or(3, |text| text.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let mut newest = 1;
    for round in 0..rounds {
        let acknowledged = kill_under_load(directory.path(), history_limit, 500 * (round % 4 + 1));
        newest = check_acknowledged(directory.path(), &acknowledged, newest).await;
    }
}

/// Lets a process write until it has acknowledged so many writes, kills it, and gives what it said.
pub(crate) fn kill_under_load(directory: &Path, history_limit: u64, writes: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child_that_writes_until_it_is_killed", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(HISTORY_LIMIT, history_limit.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    let (started, mut lines) = (Instant::now(), BufReader::new(child.stdout.take().unwrap()).lines());
    for line in lines.by_ref().map(Result::unwrap) {
        acknowledged.push(line);
        if acknowledged.len() > writes || started.elapsed() > Duration::from_secs(60) {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What was said before it died counts too; the last line may be cut.
    acknowledged.extend(lines.map_while(Result::ok));
    acknowledged
}

/// Everything said is there, exactly or overwritten later; revisions went on from the round before.
async fn check_acknowledged(directory: &Path, lines: &[String], before: Revision) -> Revision {
    let store = open_disk(directory).await.unwrap();
    let mut checked = 0;
    for line in lines {
        let Some(line) = line.split_once("ack ").map(|(_, line)| line) else { continue };
        let [name, step, revision] = line.split(' ').collect::<Vec<_>>()[..] else { continue };
        let Ok(revision) = revision.parse::<Revision>() else { continue };
        if revision > store.revision() {
            // The only line that may be wrong is one that was cut, and that is shorter, not longer.
            panic!("{line} was acknowledged, but the store is at {}", store.revision());
        }
        if revision <= before {
            continue; // A cut line that still reads as a number.
        }
        let entry = match store.get_at(&key(name), revision).await {
            // Of what was compacted, a version at least as new is there.
            Err(ReadError::Compacted { .. }) => store.get(&key(name)),
            entry => entry.unwrap(),
        };
        let entry = entry.unwrap();
        assert!(entry.revision >= revision || revision >= store.horizon(), "{line} is gone");
        if entry.revision == revision {
            assert_eq!(entry.bytes, bytes(step, revision));
        }
        checked += 1;
    }
    assert!(checked > 400, "only {checked} acknowledged writes were seen");
    let tip = store.revision();
    let after = before.max(store.horizon());
    let mut watch = store.watch(all(), after).unwrap();
    assert_eq!(take_until(&mut watch, tip).await.len() as u64, tip - after, "the log is dense");
    drop(watch);
    store.close().await;
    tip
}
