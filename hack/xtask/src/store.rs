//! Figures of the store beside etcd's: both under the same load, in turns, on the same disk, so that what one run prints can
//! be compared although the machine is noisy.
//!
//! Our store is called within a process of its own ([`load`]), etcd by its own client over loopback, since that is what
//! each API server pays. Both are spoken to alike ([`subject`]); what is done to them is here.

pub(crate) mod load;
mod over_tikv;
mod subject;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use subject::{Answer, Ask, Etcd, Ours, Subject};

/// Bytes of a value, unless a figure says otherwise.
const VALUE: usize = 1500;
/// Keys that are written over and over, in ten namespaces.
const KEYS: i64 = 10_000;
/// Revisions that both keep behind the newest while the history is compacted.
const KEEP: i64 = 50_000;

/// How much is done; the defaults are what docs/specification.md shows.
#[derive(clap::Args, Clone)]
pub(crate) struct Arguments {
    /// Where the databases are made.
    #[arg(long, default_value = "target/bench")]
    directory: PathBuf,
    /// The folder with `etcd` and `etcd-load`; `conformance/build stock` makes them.
    #[arg(long, default_value = "target/conformance/bin")]
    programs: PathBuf,
    /// Turns that each side gets; medians count.
    #[arg(long, default_value_t = 3)]
    turns: usize,
    /// Seconds of one turn.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Updates of 10,000 keys while the history is compacted.
    #[arg(long, default_value_t = 1_000_000)]
    updates: i64,
    /// Keys of the large database.
    #[arg(long, default_value_t = 1_000_000)]
    keys: i64,
    /// Only figures whose name begins so: speed, churn, size, tikv.
    #[arg(long)]
    only: Option<String>,
}

/// Prints all figures as rows of a table.
pub(crate) fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    std::fs::create_dir_all(&arguments.directory)?;
    println!("| what | ours | etcd | times |\n|---|---|---|---|");
    let wants = |name: &str| arguments.only.as_deref().is_none_or(|only| name.starts_with(only));
    if wants("speed") {
        speed(arguments)?;
    }
    if wants("churn") {
        churn(arguments)?;
    }
    if wants("size") {
        size(arguments)?;
    }
    if wants("tikv") {
        over_tikv::measure(arguments)?;
    }
    Ok(())
}

/// What both sides did in one turn each.
struct Turn {
    answers: [Answer; 2],
    /// CPU of the servers' processes for one operation, in µs; ours includes the load.
    server_cpu: [f64; 2],
    /// … with the client's.
    cpu: [f64; 2],
}

/// Asks both sides in turns.
fn take_turns(subjects: &mut [&mut dyn Subject; 2], turns: usize, ask: &Ask) -> anyhow::Result<Vec<Turn>> {
    let mut taken = Vec::new();
    for _ in 0..turns {
        let mut turn =
            Turn { answers: [Answer::default(), Answer::default()], server_cpu: [0.0; 2], cpu: [0.0; 2] };
        for (side, subject) in subjects.iter_mut().enumerate() {
            let before = (subject.server_cpu()?, subject.cpu()?);
            let answer = subject.ask(ask)?;
            let per_operation = |used: Duration| used.as_secs_f64() * 1e6 / answer.operations as f64;
            turn.server_cpu[side] = per_operation(subject.server_cpu()? - before.0);
            turn.cpu[side] = per_operation(subject.cpu()? - before.1);
            turn.answers[side] = answer;
        }
        taken.push(turn);
    }
    Ok(taken)
}

/// The median of what is read off each turn, for both sides.
fn medians(turns: &[Turn], read: impl Fn(&Turn, usize) -> f64) -> [f64; 2] {
    [0, 1].map(|side| median(turns.iter().map(|turn| read(turn, side)).collect()))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// One row. `times` says how often the one goes into the other, whichever is the better way round.
fn row(what: &str, [ours, theirs]: [f64; 2], unit: &str) {
    let times = if ours > theirs { ours / theirs } else { theirs / ours };
    println!("| {what} | {} | {} | {times:.1} |", number(ours, unit), number(theirs, unit));
}

fn number(value: f64, unit: &str) -> String {
    if value >= 100.0 { format!("{value:.0} {unit}") } else { format!("{value:.2} {unit}") }
}

fn speed(arguments: &Arguments) -> anyhow::Result<()> {
    let (mut ours, mut etcd) = pair(arguments, "speed", None)?;
    let subjects: &mut [&mut dyn Subject; 2] = &mut [&mut ours, &mut etcd];
    for subject in subjects.iter_mut() {
        subject.ask(&fill(KEYS, VALUE))?;
    }
    let ask = Ask { seconds: arguments.seconds, keys: KEYS, bytes: VALUE, ..Ask::default() };
    for workers in [1, 64, 1000] {
        let ask = Ask { act: "write", workers, ..ask };
        let turns = take_turns(subjects, arguments.turns, &ask)?;
        row(&format!("durable writes, {workers} writers"), medians(&turns, |t, s| t.answers[s].rate()), "/s");
        row("… p99", medians(&turns, |t, s| t.answers[s].p99_us / 1000.0), "ms");
        row("… CPU per write, servers alone", medians(&turns, |t, s| t.server_cpu[s]), "µs");
        row("… CPU per write, with the client", medians(&turns, |t, s| t.cpu[s]), "µs");
    }
    for workers in [1, 64] {
        let turns = take_turns(subjects, arguments.turns, &Ask { act: "get", workers, ..ask })?;
        let what = format!("point reads, {workers} readers");
        row(&what, medians(&turns, |t, s| t.answers[s].rate()), "/s");
    }
    for (keys, length) in [(-1, KEYS / 10), (KEYS, KEYS)] {
        let ask = Ask { act: "range", workers: 1, keys, keep: length, ..ask };
        let turns = take_turns(subjects, arguments.turns, &ask)?;
        row(&format!("range of {length} keys"), medians(&turns, |t, s| t.answers[s].p50_us / 1000.0), "ms");
        row("… CPU", medians(&turns, |t, s| t.cpu[s] / 1000.0), "ms");
    }
    let ask = Ask { act: "watch", workers: 10_000, operations: 20, ..ask };
    let turns = take_turns(subjects, arguments.turns, &ask)?;
    row(
        "a write seen by the last of 10,000 watchers",
        medians(&turns, |t, s| t.answers[s].p50_us / 1000.0),
        "ms",
    );
    Ok(())
}

/// Many updates of few keys while the history is compacted, and opening what is left.
fn churn(arguments: &Arguments) -> anyhow::Result<()> {
    let (mut ours, mut etcd) = pair(arguments, "churn", Some(KEEP))?;
    let subjects: &mut [&mut dyn Subject; 2] = &mut [&mut ours, &mut etcd];
    let ask = Ask {
        act: "write",
        workers: 64,
        operations: arguments.updates,
        keys: KEYS,
        bytes: VALUE,
        keep: KEEP,
        ..Ask::default()
    };
    let (mut peaks, mut answers) = ([0.0; 2], Vec::new());
    for (subject, peak) in subjects.iter_mut().zip(&mut peaks) {
        let directory = subject.directory().to_owned();
        let (answer, largest) = subject::watching_disk(&directory, || subject.ask(&ask))?;
        (*peak, _) = (mib(largest), answers.push(answer));
    }
    // What runs in the background is given time to end, on both sides.
    std::thread::sleep(Duration::from_secs(10));
    let of = |read: &dyn Fn(&Answer) -> f64| [read(&answers[0]), read(&answers[1])];
    let updates = arguments.updates;
    row(&format!("{updates} updates of {KEYS} keys by 64 writers, compacting"), of(&Answer::rate), "/s");
    row("… p99 of a commit", of(&|answer| answer.p99_us / 1000.0), "ms");
    row("… longest commit", of(&|answer| answer.max_us / 1000.0), "ms");
    row("… disk afterwards", both(subjects, |subject| Ok(mib(subject::disk(subject.directory())?)))?, "MiB");
    row("… disk at most", peaks, "MiB");
    row("… resident memory", both(subjects, |subject| Ok(mib(subject.resident()?)))?, "MiB");
    row("… of it not files", both(subjects, |subject| Ok(mib(subject.anonymous()?)))?, "MiB");
    reopen(subjects, arguments.turns, KEYS, "that")
}

/// A large database: what it takes, and how long opening it takes.
fn size(arguments: &Arguments) -> anyhow::Result<()> {
    const OBJECT: usize = 1024;
    let (mut ours, mut etcd) = pair(arguments, "size", None)?;
    let subjects: &mut [&mut dyn Subject; 2] = &mut [&mut ours, &mut etcd];
    let empty = both(subjects, |subject| Ok(subject.resident()? as f64))?;
    for subject in subjects.iter_mut() {
        subject.ask(&fill(arguments.keys, OBJECT))?;
    }
    let full = both(subjects, |subject| Ok(subject.resident()? as f64))?;
    let each = [0, 1].map(|side| (full[side] - empty[side]) / arguments.keys as f64);
    let keys = arguments.keys;
    row(&format!("resident memory per object of 1 KiB, of {keys}"), each.map(|bytes| bytes / 1024.0), "KiB");
    row("… disk", both(subjects, |subject| Ok(mib(subject::disk(subject.directory())?)))?, "MiB");
    reopen(subjects, arguments.turns, keys, &format!("{keys} keys"))?;
    let full = both(subjects, |subject| Ok(subject.resident()? as f64))?;
    let each = [0, 1].map(|side| (full[side] - empty[side]) / keys as f64);
    row("… memory per object then", each.map(|bytes| bytes / 1024.0), "KiB");
    Ok(())
}

/// From a process's start, after the one before was killed, to its first served read.
fn reopen(subjects: &mut [&mut dyn Subject; 2], turns: usize, keys: i64, what: &str) -> anyhow::Result<()> {
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..turns {
        for (subject, took) in subjects.iter_mut().zip(&mut took) {
            subject.kill()?;
            let began = Instant::now();
            subject.start()?;
            subject.ask(&Ask { act: "first", keys, ..Ask::default() })?;
            took.push(began.elapsed().as_secs_f64() * 1000.0);
        }
    }
    row(&format!("… opening {what} after a kill, until the first read"), took.map(median), "ms");
    Ok(())
}

fn both(
    subjects: &mut [&mut dyn Subject; 2],
    read: impl Fn(&dyn Subject) -> anyhow::Result<f64>,
) -> anyhow::Result<[f64; 2]> {
    Ok([read(&*subjects[0])?, read(&*subjects[1])?])
}

fn pair(arguments: &Arguments, name: &str, keep: Option<i64>) -> anyhow::Result<(Ours, Etcd)> {
    let programs = &arguments.programs;
    for program in ["etcd", "etcd-load"] {
        ensure!(programs.join(program).exists(), "there is no {program} in {}", programs.display());
    }
    let directory = arguments.directory.canonicalize().context("where databases are made")?;
    let limit = keep.map(|keep| keep as u64 * load::cost_of_a_write(VALUE));
    let ours = Ours::new(&directory, name, limit)?;
    Ok((ours, Etcd::new(&directory, name, programs)?))
}

fn fill(keys: i64, bytes: usize) -> Ask {
    Ask { act: "write", workers: 64, operations: keys, keys, bytes, ..Ask::default() }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
