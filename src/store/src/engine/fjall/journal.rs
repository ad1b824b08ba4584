//! The engine's journal: what was written and is not in the tables yet. Here it is examined before anything reads it; how
//! it is written is in [`segments`].
//!
//! A crash may leave a torn batch at the journal's end: nobody was told of it, and it has to go. A damaged batch with
//! more behind it is a different matter: what is behind was acknowledged. So the batches are walked, the bytes behind a
//! damage are searched for log records, and from those it is decided: every log record proves that everything before its
//! own batch was durable. In a file that has a successor nothing may be damaged at all.
//!
//! Looking changes nothing, so that a refusal leaves every byte as it was; a torn tail is set [`aside`] when the journal is
//! adopted ([`segments`]). The layout is that of fjall 3's own journals, in which earlier versions of this engine kept
//! what they wrote; a test writes with the real fjall to see that it still is.

use bytes::Bytes;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::Xxh3;

use super::mark::Mark;
use crate::engine::Change;
use crate::record::{self, LogRecord, MAX_LOG_RECORD};
use crate::{EngineError, OpenError, Revision};

/// What a journal tells of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Examined {
    /// The highest revision that is known of.
    pub(crate) known: Option<Revision>,
    /// The highest revision that what lies behind the whole batches proves to have been durable.
    pub(crate) proven: Option<Revision>,
}

/// Looks at the journal in `directory` and changes nothing. Where not even a whole batch says how far the store came, what
/// is proven has to be compared with what the tables hold.
pub(crate) fn examine(directory: &Path, mark: &Mark) -> Result<Examined, OpenError> {
    let mut files = numbered(directory).map_err(EngineError::new)?;
    check_dense(&files)?;
    let Some((_, path)) = files.pop() else { return Ok(Examined { known: mark.read()?, proven: None }) };
    let mut told = Told::default();
    for (_, finished) in &files {
        told.add(examine_finished(finished)?);
    }
    let intact = walk(&path).map_err(EngineError::new)?;
    let behind = search(&path, intact.end).map_err(EngineError::new)?;
    told.add(intact.told);
    let durable = mark.read()?.max(behind.proven);
    // A journal that logs nothing was begun after the newest write, of which the tables know.
    let recovered = told.logged.max(told.logged.and(told.horizon));
    if let (Some(recovered), Some(acknowledged)) = (recovered, durable)
        && acknowledged > recovered
    {
        return Err(OpenError::Lost { recovered, acknowledged, evidence: damaged_at(&path, intact.end) });
    }
    Ok(Examined { known: told.newest().max(durable), proven: behind.proven })
}

/// Files go oldest first, so that none is missing between two others.
fn check_dense(files: &[(u64, PathBuf)]) -> Result<(), OpenError> {
    for pair in files.windows(2) {
        let [(before, path), (after, _)] = pair else { continue };
        if before + 1 != *after {
            let missing = path.with_file_name(format!("{}.jnl", before + 1));
            return Err(OpenError::Damaged(format!("its journal {} is missing", missing.display())));
        }
    }
    Ok(())
}

/// A file with a successor was complete when that was begun.
fn examine_finished(path: &Path) -> Result<Told, OpenError> {
    let intact = walk(path).map_err(EngineError::new)?;
    let behind = search(path, intact.end).map_err(EngineError::new)?;
    if behind.end == 0 {
        return Ok(intact.told);
    }
    let evidence = damaged_at(path, intact.end);
    Err(match (intact.told.newest(), behind.newest) {
        (recovered, Some(acknowledged)) if recovered.is_none_or(|recovered| recovered < acknowledged) => {
            OpenError::Lost { recovered: recovered.unwrap_or_default(), acknowledged, evidence }
        }
        _ => OpenError::Damaged(evidence),
    })
}

fn damaged_at(path: &Path, byte: u64) -> String {
    format!("its journal {} is damaged at byte {byte}", path.display())
}

/// The journal's files, oldest first; none where there is no directory.
pub(super) fn numbered(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let files = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        files => files?,
    };
    let mut found = Vec::new();
    for file in files {
        let path = file?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jnl")?.parse().ok());
        found.extend(number.map(|number| (number, path)));
    }
    found.sort();
    Ok(found)
}

/// The part of a journal that consists of whole batches.
#[derive(Default)]
struct Intact {
    end: u64,
    told: Told,
}

/// What whole batches tell of the store's revision.
#[derive(Clone, Copy, Default)]
struct Told {
    /// The newest write.
    logged: Option<Revision>,
    /// The newest horizon: no store is older than that, but there may be any number of writes behind it.
    horizon: Option<Revision>,
}

impl Told {
    fn newest(self) -> Option<Revision> {
        self.logged.max(self.horizon)
    }

    fn add(&mut self, other: Self) {
        self.logged = self.logged.max(other.logged);
        self.horizon = self.horizon.max(other.horizon);
    }

    /// Takes note of an item.
    fn hear(&mut self, head: &[u8], value: &[u8]) {
        if head.ends_with(record::HORIZON_KEY) {
            self.horizon = self.horizon.max(value.try_into().ok().map(Revision::from_be_bytes));
        }
        self.logged = self.logged.max(LogRecord::decode(value).map(|record| record.revision));
    }
}

/// Follows whole batches from the beginning; fails only where the file cannot be read.
fn walk(path: &Path) -> io::Result<Intact> {
    let mut reader = BufReader::with_capacity(1 << 16, File::open(path)?);
    let mut intact = Intact::default();
    loop {
        match read_batch(&mut reader) {
            Ok(Some(told)) => {
                intact.end = reader.stream_position()?;
                intact.told.add(told);
            }
            Ok(None) => return Ok(intact),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(intact),
            Err(error) => return Err(error),
        }
    }
}

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const TRAILER: [u8; 4] = *b"FJL\x03";
/// Kinds of items.
const VALUE: u8 = 0;
const TOMBSTONE: u8 = 1;

/// Shows the changes of the whole batches that the bytes begin with. Gives where those end; nothing is copied.
fn replay(bytes: &Bytes, mut apply: impl FnMut(Change)) -> u64 {
    let mut left = &bytes[..];
    let mut end = 0;
    while let Ok(Some(_)) = read_batch(&mut left) {
        let next = bytes.len() - left.len();
        show(bytes, end..next, &mut apply);
        end = next;
    }
    end as u64
}

/// Shows the changes of a batch that is whole.
fn show(bytes: &Bytes, batch: std::ops::Range<usize>, apply: &mut impl FnMut(Change)) {
    let mut at = batch.start + START_HEADER;
    while bytes[at] == ITEM {
        let header = &bytes[at..at + ITEM_HEADER];
        let [key, value] = lengths(header);
        let key_at = at + ITEM_HEADER;
        let value_at = key_at + key;
        let name = bytes.slice(key_at..value_at);
        at = value_at + value;
        apply(match header[1] {
            VALUE => Change::Put(name, bytes.slice(value_at..at)),
            _ => Change::Remove(name),
        });
    }
}

/// Tag, number of items, number of the batch.
const START_HEADER: usize = 1 + 4 + 8;
/// Tag, kind of value, compression, keyspace, lengths of the key and of the value, before and after compression.
const ITEM_HEADER: usize = 3 + 8 + 2 + 4 + 4;

/// The lengths of an item's key and value.
fn lengths(header: &[u8]) -> [usize; 2] {
    let key = u16::from_le_bytes([header[11], header[12]]);
    let value = u32::from_le_bytes([header[17], header[18], header[19], header[20]]);
    [usize::from(key), usize::try_from(value).unwrap_or(usize::MAX)]
}

/// Reads one batch and gives what it tells; `None` where no whole batch begins.
fn read_batch(reader: &mut impl Read) -> io::Result<Option<Told>> {
    let [tag, start @ ..] = take::<START_HEADER>(reader)?;
    if tag != START {
        return Ok(None);
    }
    let items = u32::from_le_bytes(*start.first_chunk().expect("twelve bytes begin with four"));
    let mut checksum = Xxh3::new();
    let mut told = Told::default();
    let mut item = Vec::new();
    for _ in 0..items {
        let Some(value) = read_item(reader, &mut item)? else { return Ok(None) };
        checksum.update(&item);
        told.hear(&item[..value], &item[value..]);
    }
    let end = take::<13>(reader)?;
    let whole = end[0] == END && end[1..9] == checksum.digest().to_le_bytes() && end[9..] == TRAILER;
    Ok(whole.then_some(told))
}

/// Reads an item of a batch as it is in the file; gives where its value begins.
fn read_item(reader: &mut impl Read, item: &mut Vec<u8>) -> io::Result<Option<usize>> {
    item.clear();
    let [tag] = take::<1>(reader)?;
    item.push(tag);
    if tag == CLEAR {
        item.extend(take::<8>(reader)?);
        return Ok(Some(item.len()));
    }
    if tag != ITEM {
        return Ok(None);
    }
    item.extend(take::<{ ITEM_HEADER - 1 }>(reader)?);
    let [key, value] = lengths(item);
    // Not read in one go: a damaged length must not make us ask for gigabytes of memory.
    let read = reader.take((key + value) as u64).read_to_end(item)?;
    Ok((read == key + value).then_some(ITEM_HEADER + key))
}

fn take<const N: usize>(reader: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// What lies behind the whole batches.
#[derive(Default)]
struct Behind {
    /// The highest revision that a log record there proves to have been durable.
    proven: Option<Revision>,
    /// The highest revision that is logged there, durable or not.
    newest: Option<Revision>,
    /// Where the last byte that is not zero is followed by zeros only, counted from the whole batches' end: the journal
    /// is prepared before it is filled.
    end: u64,
}

fn search(path: &Path, from: u64) -> io::Result<Behind> {
    const STEP: usize = 1 << 20;
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut behind = Behind::default();
    // The end of the step before is looked at again, for records that lie across.
    let mut window: Vec<u8> = Vec::with_capacity(STEP + MAX_LOG_RECORD);
    let mut read_so_far = 0;
    loop {
        let kept = window.len();
        let read = (&mut file).take(STEP as u64).read_to_end(&mut window)?;
        if read == 0 {
            return Ok(behind);
        }
        if let Some(last) = window[kept..].iter().rposition(|&byte| byte != 0) {
            behind.end = read_so_far + last as u64 + 1;
        }
        read_so_far += read as u64;
        let proven = record::find_log_records(&window).map(|record| record.group - 1).max();
        behind.proven = behind.proven.max(proven);
        behind.newest =
            behind.newest.max(record::find_log_records(&window).map(|record| record.revision).max());
        window.drain(..window.len().saturating_sub(MAX_LOG_RECORD));
    }
}

pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

pub(super) mod aside;
pub(crate) mod encoding;
pub(super) mod segments;
#[cfg(test)]
mod tests;
