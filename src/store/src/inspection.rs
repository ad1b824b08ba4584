//! Looks at every record of an engine and says what is there and what is wrong.
//!
//! For `store check`, offline, and for whoever repairs. Unlike recovery it does not end at the first thing that is wrong,
//! and it needs no key for what is sealed: records are judged as they are stored. It changes nothing; what the engine wrote
//! as it was opened, for whoever would go on in it, goes with the engine.

use std::collections::{BTreeMap, HashMap};

use crate::engine::Snapshot;
use crate::record::{self, LogRecord, Version};
use crate::recovery::number;
use crate::snapshot::RESTORING_KEY;
use crate::{Engine, EngineError, EventKind, Key, Revision};

/// What a store was found to be.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The newest revision.
    pub revision: Revision,
    /// The oldest revision that can still be listed.
    pub horizon: Revision,
    /// Writes in the log.
    pub logged: u64,
    /// By resource (`<group>/<resource>`).
    pub resources: BTreeMap<String, Size>,
    /// What is wrong, in words; at most [`PROBLEMS`] of them.
    pub problems: Vec<String>,
    /// How many things are wrong.
    pub wrong: u64,
    /// It was being restored or copied when that ended; nothing else was looked at.
    pub is_unfinished: bool,
}

/// What a resource takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Objects that exist.
    pub objects: u64,
    /// Bytes of their records.
    pub object_bytes: u64,
    /// Versions that are only history, deletions among them.
    pub past: u64,
    /// Bytes of their records.
    pub past_bytes: u64,
}

/// How many problems are described.
pub const PROBLEMS: usize = 100;

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.wrong == 0
    }

    fn wrong(&mut self, problem: impl FnOnce() -> String) {
        self.wrong += 1;
        if self.problems.len() < PROBLEMS {
            self.problems.push(problem());
        }
    }
}

/// Reads everything; blocks.
///
/// # Errors
/// When the engine cannot be read to its end.
pub fn inspect(engine: &Engine) -> Result<Report, EngineError> {
    let snapshot = engine.snapshot();
    let mut report = Report::default();
    if is_unfinished(&*snapshot)? {
        report.is_unfinished = true;
        report.wrong(|| "a restore, or a move into it, was not finished".to_owned());
        return Ok(report);
    }
    check_format(&*snapshot, &mut report)?;
    let mut logged = read_log(&*snapshot, &mut report)?;
    read_data(&*snapshot, &mut logged, &mut report)?;
    for (revision, record) in logged {
        report.wrong(|| format!("the data of revision {revision} ({}) is missing", record.key));
    }
    if let Some(mark) = engine.acknowledged()?.filter(|mark| mark.revision > report.revision) {
        let tip = report.revision;
        report.wrong(|| format!("revisions {} to {} are lost ({})", tip + 1, mark.revision, mark.evidence));
    }
    Ok(report)
}

/// Whether a restore began here and did not come to its end: what is there is no store, and not damaged either.
pub(crate) fn is_unfinished(snapshot: &dyn Snapshot) -> Result<bool, EngineError> {
    Ok(snapshot.get(record::FORMAT_KEY)?.is_none() && snapshot.get(RESTORING_KEY)?.is_some())
}

fn check_format(snapshot: &dyn Snapshot, report: &mut Report) -> Result<(), EngineError> {
    match number(snapshot, record::FORMAT_KEY)? {
        Some(record::FORMAT) => {}
        Some(found) => {
            report.wrong(|| format!("it has format {found}; this program knows {}", record::FORMAT));
        }
        None => report.wrong(|| "its format is missing".to_owned()),
    }
    let horizon = number(snapshot, record::HORIZON_KEY)?;
    if horizon.is_none() {
        report.wrong(|| "its horizon is missing".to_owned());
    }
    report.horizon = horizon.unwrap_or_default();
    report.revision = report.horizon;
    Ok(())
}

/// Checks that the log is dense, in order and whole. Gives its records, for the versions to be compared with.
fn read_log(
    snapshot: &dyn Snapshot,
    report: &mut Report,
) -> Result<HashMap<Revision, LogRecord>, EngineError> {
    let mut logged = HashMap::new();
    let mut before: Option<LogRecord> = None;
    for pair in snapshot.scan(b"l/", b"l0") {
        let (name, bytes) = pair?;
        let Some(record) =
            LogRecord::decode(&bytes).filter(|record| record::log_key(record.revision) == name)
        else {
            report.wrong(|| format!("the log record {} is not what was written", name.escape_ascii()));
            continue;
        };
        check_order(&record, before.as_ref(), report);
        report.revision = report.revision.max(record.revision);
        report.logged += 1;
        logged.insert(record.revision, record.clone());
        before = Some(record);
    }
    Ok(logged)
}

fn check_order(record: &LogRecord, before: Option<&LogRecord>, report: &mut Report) {
    let revision = record.revision;
    let expected = before.map_or(report.horizon, |before| before.revision.max(report.horizon)) + 1;
    if revision < expected {
        report.wrong(|| format!("the log holds revision {revision}, which was compacted"));
    } else if revision > expected {
        report.wrong(|| format!("the log records of revisions {expected} to {} are missing", revision - 1));
    }
    if before.is_some_and(|before| before.time_ms > record.time_ms) {
        report.wrong(|| format!("revision {revision} is recorded as older than the one before it"));
    }
    let begins = before.is_none_or(|before| record.group == before.group || record.group == revision);
    if record.group > revision || !begins {
        report.wrong(|| format!("revision {revision} is recorded in a group that is none: {}", record.group));
    }
    if record.previous.is_none() != (record.kind == EventKind::Created)
        || record.previous.is_some_and(|previous| previous >= revision)
    {
        report.wrong(|| format!("revision {revision} replaces no earlier version: {:?}", record.previous));
    }
}

/// Checks every version, and takes out of `logged` what it finds.
fn read_data(
    snapshot: &dyn Snapshot,
    logged: &mut HashMap<Revision, LogRecord>,
    report: &mut Report,
) -> Result<(), EngineError> {
    // Newest first within a key: the version that came after the one at hand.
    let mut later: Option<(Key, Revision)> = None;
    for pair in snapshot.scan(record::DATA.0, record::DATA.1) {
        let (name, bytes) = pair?;
        let Some((key, revision, version)) = parse(&name, &bytes) else {
            report.wrong(|| format!("the record {} is not what was written", name.escape_ascii()));
            continue;
        };
        let record = logged.remove(&revision);
        check_version(&key, revision, &version, record.as_ref(), report);
        let replaced_by = later.as_ref().filter(|(later, _)| *later == key).map(|(_, revision)| *revision);
        if replaced_by.is_some_and(|replaced_by| replaced_by <= report.horizon) {
            report.wrong(|| format!("{key} has version {revision}, which was compacted"));
        }
        count(report, &key, bytes.len() as u64, replaced_by.is_none() && !version.deleted);
        later = Some((key, revision));
    }
    Ok(())
}

fn parse(name: &[u8], bytes: &bytes::Bytes) -> Option<(Key, Revision, Version)> {
    let (path, revision) = record::parse_data_key(name)?;
    Some((Key::parse(path)?, revision, record::decode_data(bytes, revision)?))
}

fn check_version(
    key: &Key,
    revision: Revision,
    version: &Version,
    record: Option<&LogRecord>,
    report: &mut Report,
) {
    if version.created > revision {
        report.wrong(|| format!("{key} at {revision} was created later, at {}", version.created));
    }
    match record {
        Some(record) if record.key != *key => {
            report.wrong(|| format!("revision {revision} is {key}, but the log says {}", record.key));
        }
        Some(record) if (record.kind == EventKind::Deleted) != version.deleted => {
            report.wrong(|| format!("revision {revision} ({key}) is logged as {:?}", record.kind));
        }
        Some(_) => {}
        None if revision > report.horizon => {
            report.wrong(|| format!("revision {revision} ({key}) is not in the log"));
        }
        None if version.deleted => {
            report.wrong(|| format!("{key} has a deletion at {revision}, which was compacted"));
        }
        None => {}
    }
}

fn count(report: &mut Report, key: &Key, bytes: u64, is_current: bool) {
    let size = report.resources.entry(key.collection().to_owned()).or_default();
    if is_current {
        size.objects += 1;
        size.object_bytes += bytes;
    } else {
        size.past += 1;
        size.past_bytes += bytes;
    }
}
