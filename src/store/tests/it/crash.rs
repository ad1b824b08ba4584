//! A process that is killed while it writes: everything that it said and showed is true of what is there afterwards.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use store::*;
use testing::history::Transcript;

use crate::support::load::{self, Load};

const DIRECTORY: &str = "COXSWAIN_STORE_CRASH_DIRECTORY";
const HISTORY_LIMIT: &str = "COXSWAIN_STORE_CRASH_HISTORY_LIMIT";

/// Sizes of values of which a few dozen fill a file of the journal and a table.
const LARGE: (usize, usize) = (200_000, 400_000);

/// Run by the tests below in a process of its own; without the variable it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_writes_until_it_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let history_limit = std::env::var(HISTORY_LIMIT).unwrap().parse().unwrap();
    let engine = fjall::open(directory).unwrap();
    let store = Store::open(engine, Options { history_limit, ..Options::default() }).await.unwrap();
    Load::told().run(store).await;
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    kill_again_and_again(1 << 30, |_| false).await;
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed_while_its_journal_and_tables_change() {
    kill_again_and_again(1 << 30, |_| true).await;
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed_while_it_compacts() {
    kill_again_and_again(30_000, |round| round % 2 == 1).await;
}

async fn kill_again_and_again(history_limit: u64, is_large: impl Fn(usize) -> bool) {
    let rounds: usize = std::env::var("COXSWAIN_STORE_KILLS").map_or(3, |text| text.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let mut transcripts = Vec::new();
    for round in 0..rounds {
        let (load, files) = (Load::of(round, 16), newest_journal(directory.path()));
        let (load, writes) = match is_large(round) {
            true => (Load { bytes: LARGE, ..load }, 90 + 17 * (round % 4)),
            false => (load, 500 * (round % 4 + 1)),
        };
        transcripts.push(kill_a_process(directory.path(), history_limit, load, writes));
        let acknowledged = transcripts[round].acknowledged();
        assert!(acknowledged > writes / 2, "only {acknowledged} acknowledged writes were seen");
        if is_large(round) {
            let files = newest_journal(directory.path()) - files;
            assert!(
                files > 1,
                "{files} new files of the journal in round {round}: it is to be killed among them"
            );
        }
        check(directory.path(), &transcripts).await;
    }
}

/// Everything that was ever said is true of what the store holds now; and the store is sound.
async fn check(directory: &Path, transcripts: &[Transcript]) {
    let engine = fjall::open(directory).unwrap();
    assert_eq!(inspect(&engine).unwrap().problems, Vec::<String>::new());
    let store = Store::open(engine, Options::default()).await.unwrap();
    load::judge(&load::log_of(&store).await, store.horizon(), transcripts);
    store.close().await;
}

/// The number of the newest file of the journal.
fn newest_journal(directory: &Path) -> u64 {
    let Ok(files) = std::fs::read_dir(directory.join("journal")) else { return 0 };
    let number = |name: &str| name.strip_suffix(".jnl")?.parse().ok();
    files.filter_map(|file| number(file.unwrap().file_name().to_str()?)).max().unwrap_or(0)
}

/// Lets a process write until it has acknowledged so many writes, and kills it.
pub(crate) fn kill_under_load(directory: &Path, history_limit: u64, writes: usize) {
    kill_a_process(directory, history_limit, Load::of(0, 16), writes);
}

/// The same with any load; gives what the process said.
fn kill_a_process(directory: &Path, history_limit: u64, load: Load, writes: usize) -> Transcript {
    let mut command = Command::new(std::env::current_exe().unwrap());
    load.tell(&mut command);
    let mut child = command
        .args(["--exact", "crash::child_that_writes_until_it_is_killed", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(HISTORY_LIMIT, history_limit.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut said, mut acknowledged) = (Transcript::default(), 0);
    let (started, mut lines) = (Instant::now(), BufReader::new(child.stdout.take().unwrap()).lines());
    for line in lines.by_ref().map(Result::unwrap) {
        said.take(&line);
        acknowledged += usize::from(line.starts_with("ack "));
        if acknowledged > writes || started.elapsed() > Duration::from_secs(60) {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What was said before it died counts too; the last line may be cut.
    lines.map_while(Result::ok).for_each(|line| said.take(&line));
    said
}
