//! From an engine to the bytes of a snapshot: the newest version of every key at one revision.
//!
//! Reads one snapshot of the engine from front to back, in a thread where blocking is allowed, while the store goes on.
//! Every record is checked on the way: what is damaged in the store must not look whole elsewhere.

use std::io::Write;

use super::{Error, Header, Passphrase, Summary, Writer};
use crate::engine::Snapshot;
use crate::shared::Shared;
use crate::{Revision, record};

/// Writes the newest published revision; blocks.
pub(crate) fn save<W: Write>(
    shared: &Shared,
    out: W,
    passphrase: Option<&Passphrase>,
) -> Result<(W, Summary), Error> {
    let revision = shared.tip();
    let snapshot = shared.engine.snapshot();
    shared.check_snapshot(&*snapshot, revision)?;
    let time_ms = shared.options.clock.now().as_millis().try_into().unwrap_or(u64::MAX);
    let mut writer = Writer::new(out, &Header::new(revision, time_ms), passphrase)?;
    write(&*snapshot, revision, &mut writer)?;
    writer.finish()
}

fn write<W: Write>(snapshot: &dyn Snapshot, revision: Revision, writer: &mut Writer<W>) -> Result<(), Error> {
    let mut decided = String::new();
    for pair in snapshot.scan(record::DATA.0, record::DATA.1) {
        let (name, value) = pair?;
        let damaged = || Error::DamagedRecord(name.escape_ascii().to_string());
        let (path, written) = record::parse_data_key(&name).ok_or_else(damaged)?;
        // Newest first: the first version that is old enough decides for its key.
        if written > revision || path == decided {
            continue;
        }
        path.clone_into(&mut decided);
        let version = record::decode_data(&value, written).ok_or_else(damaged)?;
        if !version.deleted {
            writer.record(&name, &value)?;
        }
    }
    Ok(())
}
