//! `coxswain snapshot restore`: a new cluster's state from a snapshot, in a data directory or under a prefix in TiKV.
//!
//! The snapshot is read twice: first to see that all of it is whole, so that nothing is begun that cannot be finished.

use std::path::Path;

use anyhow::{Context, ensure};
use store::snapshot::{Error, Passphrase, Reader, Sharing, Summary, begins_at, restore};
use store::{Clock, Engine, Revision, SystemClock};

use super::location::Location;
use super::moving::place;
use crate::datadir::DataDir;
use crate::output::say;
use crate::store::StorePlace;

/// Restores, and says what to do next.
///
/// # Errors
/// A snapshot that is not whole, a target that is not empty: nothing was changed. What failed later: the target opens as no
/// store until the command has succeeded.
pub(super) async fn run(
    from: Location,
    data_dir: &Path,
    place: StorePlace,
    passphrase: Option<Passphrase>,
) -> anyhow::Result<()> {
    let about = || format!("cannot restore the snapshot {from}");
    let (input, opener) = (from.open().await?, passphrase.clone());
    let verify = move || Reader::new(input, opener.as_ref())?.verify();
    tokio::task::spawn_blocking(verify).await?.with_context(about)?;

    let (engine, sharing, _held, target) = open(data_dir, place).await?;
    let input = from.open().await?;
    let work = move || write(Reader::new(input, passphrase.as_ref())?, &engine, sharing);
    let (summary, revision) =
        tokio::task::spawn_blocking(work).await?.with_context(|| format!("{} into {target}", about()))?;
    say(format_args!("restored {} objects of revision {} into {target}", summary.objects, summary.revision))?;
    say(format_args!(
        "its history begins at revision {revision}: start the server, and clients will list again by themselves"
    ))?;
    Ok(())
}

fn write(
    reader: Reader<Box<dyn std::io::Read + Send>>,
    engine: &Engine,
    sharing: Sharing,
) -> Result<(Summary, Revision), Error> {
    let revision = begins_at(reader.header(), SystemClock.now());
    restore(reader, engine, sharing, revision).map(|summary| (summary, revision))
}

/// The engine that is restored into, what keeps others out of it, and its name.
async fn open(
    data_dir: &Path,
    place: StorePlace,
) -> anyhow::Result<(Engine, Sharing, Option<DataDir>, String)> {
    match place {
        StorePlace::Embedded => {
            let data = DataDir::hold(data_dir)?;
            ensure!(
                !place::was_moved(data.path()),
                "the state of {} was moved into or out of TiKV, and a server would follow it there: restore into another \
                 directory, or reset this one first",
                data.path().display()
            );
            let target = data.path().display().to_string();
            let directory = data.private("store")?;
            let opened = tokio::task::spawn_blocking(move || store::fjall::open(&directory)).await?;
            let engine = opened.with_context(|| format!("cannot open the store in {target}"))?;
            Ok((engine, Sharing::Alone, Some(data), target))
        }
        StorePlace::Tikv { place, .. } => {
            let target = format!("the prefix {:?} in TiKV", place.prefix);
            ensure!(!place.endpoints.is_empty(), "no PD is named");
            let opened = tokio::task::spawn_blocking(move || store::tikv::open(&place)).await?;
            let engine = opened.with_context(|| format!("cannot open {target}"))?;
            Ok((engine, Sharing::Shared, None, target))
        }
    }
}
