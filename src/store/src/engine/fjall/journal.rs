//! Examines fjall's newest journal before fjall does.
//!
//! A crash may leave a torn batch at the journal's end: nobody was told of it, and it has to go. A damaged batch with
//! more behind it is a different matter: what is behind was acknowledged. fjall cuts the journal at the first damage in
//! either case (or, where the damage left the batch's framing whole, refuses to open in either case). So the batches are
//! walked here first, the bytes behind a damage are searched for log records, and from those it is decided: every log
//! record proves that everything before its own batch was durable.
//!
//! Only a torn tail is cut off, after it was copied aside; a loss is reported with nothing changed. The walk knows
//! fjall 3's journal layout (`fjall/src/journal/entry.rs`); a test writes with the real fjall to see that it still does.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::Xxh3;

use super::mark::Mark;
use crate::record::{self, LogRecord, MAX_LOG_RECORD};
use crate::{EngineError, OpenError, Revision};

/// Looks at the newest journal below `directory`; a torn tail is copied to a file in `aside`. Gives the highest revision
/// that is known of.
///
/// The journals before it were complete when it was begun: damage there shows as a hole in the log.
pub(crate) fn examine(directory: &Path, aside: &Path, mark: &Mark) -> Result<Option<Revision>, OpenError> {
    let Some(path) = newest_journal(directory).map_err(EngineError::new)? else {
        return Ok(mark.read()?);
    };
    let intact = walk(&path).map_err(EngineError::new)?;
    let behind = search(&path, intact.end).map_err(EngineError::new)?;
    let marked = mark.read()?;
    let durable = marked.max(behind.proven);
    // Where it logs nothing it was begun after the newest write, of which the tables know.
    let recovered = intact.told.logged.max(intact.told.logged.and(intact.told.horizon));
    if let (Some(recovered), Some(acknowledged)) = (recovered, durable)
        && acknowledged > recovered
    {
        let at = format!("its journal {} is damaged at byte {}", path.display(), intact.end);
        return Err(OpenError::Lost { recovered, acknowledged, evidence: at });
    }
    if let Some(proven) = behind.proven.filter(|proven| marked.is_none_or(|marked| marked < *proven)) {
        // What was found is remembered before its evidence is cut off.
        mark.write(proven)?;
        mark.sync()?;
    }
    if behind.end > 0 {
        cut(&path, aside, intact.end, behind.end).map_err(EngineError::new)?;
    }
    Ok(intact.told.newest().max(durable))
}

/// Cuts off whatever is behind the whole batches, acknowledged or not. Gives the highest revision that is known of.
pub(super) fn give_up(directory: &Path, aside: &Path) -> io::Result<Option<Revision>> {
    let Some(path) = newest_journal(directory)? else { return Ok(None) };
    let intact = walk(&path)?;
    let behind = search(&path, intact.end)?;
    if behind.end > 0 {
        cut(&path, aside, intact.end, behind.end)?;
    }
    Ok(intact.told.newest().max(behind.newest))
}

/// The journal that is written to.
fn newest_journal(directory: &Path) -> io::Result<Option<PathBuf>> {
    let files = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        files => files?,
    };
    let mut newest: Option<(u64, PathBuf)> = None;
    for file in files {
        let path = file?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jnl")?.parse().ok());
        if let Some(number) = number
            && newest.as_ref().is_none_or(|(newest, _)| *newest < number)
        {
            newest = Some((number, path));
        }
    }
    Ok(newest.map(|(_, path)| path))
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

/// Reads one batch and gives what it tells; `None` where no whole batch begins.
fn read_batch(reader: &mut impl Read) -> io::Result<Option<Told>> {
    let [tag, start @ ..] = take::<13>(reader)?;
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
    /// Tag, kind of value, compression, keyspace, lengths of the key and of the value, before and after compression.
    const HEADER: usize = 3 + 8 + 2 + 4 + 4;
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
    item.extend(take::<{ HEADER - 1 }>(reader)?);
    let key = u64::from(u16::from_le_bytes([item[11], item[12]]));
    let value = u64::from(u32::from_le_bytes([item[17], item[18], item[19], item[20]]));
    // Not read in one go: a damaged length must not make us ask for gigabytes of memory.
    let read = reader.take(key + value).read_to_end(item)?;
    Ok((read as u64 == key + value).then_some(HEADER + usize::try_from(key).unwrap_or(usize::MAX)))
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
    /// Where the last byte that is not zero is followed by zeros only, counted from the whole batches' end: fjall makes
    /// its journals long before it fills them.
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

/// Moves the torn tail of a journal into a file of its own.
fn cut(path: &Path, aside: &Path, from: u64, length: u64) -> io::Result<()> {
    let mut journal = OpenOptions::new().read(true).write(true).open(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // An earlier one is evidence, too.
    let names = (0..).map(|number| aside.join(format!("torn-{name}-{from}-{number}")));
    let copy = { names }.find(|path| !path.exists()).expect("there is always a next number");
    tracing::warn!(journal = %path.display(), from, length, copy = %copy.display(), "cutting an unfinished write off");
    journal.seek(SeekFrom::Start(from))?;
    let mut torn = File::create(&copy)?;
    io::copy(&mut (&mut journal).take(length), &mut torn)?;
    torn.sync_all()?;
    journal.set_len(from)?;
    journal.sync_all()
}

#[cfg(test)]
pub(crate) mod encoding;
#[cfg(test)]
mod tests;
