//! `coxswain snapshot`: the cluster's state saved, restored, listed and verified; and the server's part of it.
//!
//! ```text
//! save:     running server ─ HTTPS ─┐
//!           or its data directory ──┴─ records ─► file or S3        schedule: the server itself ─► file or S3
//! restore:  file or S3 ─► verify ─► empty data directory or TiKV prefix
//! ```
//!
//! What a snapshot is stands in `store::snapshot`; here is where it comes from and goes to. Nothing is overwritten.

mod location;
pub(crate) mod moving;
mod online;
pub(crate) mod operation;
mod passphrase;
mod restore;
mod save;
pub(crate) mod schedule;

use std::path::PathBuf;

use anyhow::Context;
use clap::Subcommand;
use jiff::Timestamp;
use store::snapshot::{Header, Reader};

use crate::config;
use crate::output::say;
use crate::store::StoreOptions;
use location::Location;
use passphrase::PassphraseFile;

/// What can be done with snapshots.
#[derive(Subcommand)]
pub(crate) enum SnapshotCommand {
    /// Save the state of a cluster, whether its server runs or not.
    Save {
        /// A file that does not exist, a directory, or s3://bucket/name (with a / at the end: a name is made)
        #[arg(default_value = ".")]
        to: String,
        #[command(flatten)]
        from: save::Source,
        #[command(flatten)]
        passphrase: PassphraseFile,
    },
    /// Make a new cluster's state from a snapshot; what it is restored into must be empty.
    Restore {
        /// A file or s3://bucket/name
        from: String,
        /// The data directory of the new server; it must hold no state yet
        #[arg(long, default_value = config::DATA_DIR)]
        data_dir: PathBuf,
        #[command(flatten)]
        store: Box<StoreOptions>,
        #[command(flatten)]
        passphrase: PassphraseFile,
    },
    /// List the snapshots in a directory or below s3://bucket/prefix, newest last.
    Ls {
        /// The directory or s3://bucket/prefix
        #[arg(default_value = ".")]
        at: String,
    },
    /// Read a snapshot to its end and check all that can be checked.
    Verify {
        /// A file or s3://bucket/name
        from: String,
        #[command(flatten)]
        passphrase: PassphraseFile,
    },
}

/// Runs a command to its end.
///
/// # Errors
/// What is wrong, where, and what to do.
pub(crate) async fn run(command: SnapshotCommand) -> anyhow::Result<()> {
    // For TLS, to the API and to S3. An error says that it is there already.
    rustls::crypto::ring::default_provider().install_default().ok();
    // The bytes are read and written by blocking calls, which wait for the network where they have to.
    match command {
        SnapshotCommand::Save { to, from, passphrase } => save::run(&to, from, &passphrase).await,
        SnapshotCommand::Restore { from, data_dir, store, passphrase } => {
            let place = store.resolve()?;
            restore::run(Location::parse(&from)?, &data_dir, place, passphrase.read()?).await
        }
        SnapshotCommand::Ls { at } => list(&Location::parse(&at)?).await,
        SnapshotCommand::Verify { from, passphrase } => {
            verify(Location::parse(&from)?, passphrase.read()?).await
        }
    }
}

async fn list(at: &Location) -> anyhow::Result<()> {
    let all = at.list().await?;
    if all.is_empty() {
        say(format_args!("no snapshots in {at}"))?;
        return Ok(());
    }
    say(format_args!("{:<48} {:>12} {:<21} {:>10}  ENCRYPTED", "NAME", "REVISION", "SAVED", "SIZE"))?;
    for found in all {
        match found.header {
            Ok(header) => say(format_args!(
                "{:<48} {:>12} {:<21} {:>10}  {}",
                found.name,
                header.revision,
                saved_at(&header),
                size(found.bytes),
                if header.is_encrypted() { "yes" } else { "no" }
            ))?,
            Err(why) => say(format_args!("{:<48} {why}", found.name))?,
        }
    }
    Ok(())
}

async fn verify(from: Location, passphrase: Option<store::snapshot::Passphrase>) -> anyhow::Result<()> {
    let input = from.open().await?;
    let (header, summary) = tokio::task::spawn_blocking(move || {
        let reader = Reader::new(input, passphrase.as_ref())?;
        Ok::<_, store::snapshot::Error>((*reader.header(), reader.verify()?))
    })
    .await?
    .with_context(|| format!("the snapshot {from}"))?;
    say(format_args!("{from} is whole: revision {}, saved {}", summary.revision, saved_at(&header)))?;
    say(format_args!(
        "{} objects, {} of records, SHA-256 {}",
        summary.objects,
        size(summary.bytes),
        hex::encode(summary.sha256)
    ))?;
    Ok(())
}

/// When it was saved, to the second.
fn saved_at(header: &Header) -> String {
    let seconds =
        i64::try_from(header.time_ms / 1000).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    seconds.map_or_else(|| "at no possible time".to_owned(), |time| time.to_string())
}

/// A size as people read it.
pub(crate) fn size(bytes: u64) -> String {
    const KIB: u64 = 1024;
    match bytes {
        0..KIB => format!("{bytes}B"),
        KIB..1_048_576 => format!("{}.{}KiB", bytes / KIB, bytes % KIB * 10 / KIB),
        _ => format!("{}.{}MiB", bytes / (KIB * KIB), bytes % (KIB * KIB) * 10 / (KIB * KIB)),
    }
}

#[cfg(test)]
mod tests;
