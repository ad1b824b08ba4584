//! Snapshots that the server takes by itself: every so often, into one place, of which the newest are kept.
//!
//! When the next one is due follows from those that are there, so a restart neither takes one too many nor forgets one,
//! and of several servers over one store the one that orders the writes takes it. What fails is tried again; the cluster
//! goes on. When the server ends, one that is being taken is broken off, and nothing of it stays.

use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use store::Store;
use store::snapshot::Passphrase;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::location::{self, Location, unless};
use super::passphrase::PassphraseFile;

/// What the names of these begin with; others are never removed.
const PREFIX: &str = "scheduled-";
/// How soon a failure is followed by another attempt, at most.
const RETRY: Duration = Duration::from_secs(5 * 60);
/// How long nothing was written to a file that nobody writes to any more.
const UNFINISHED: SignedDuration = SignedDuration::from_mins(10);

/// The flags about scheduled snapshots; in the config file they stand under `snapshots`.
#[derive(Args, Deserialize, Default, Debug)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct ScheduleOptions {
    /// Take snapshots of the cluster's state into this directory, or below s3://bucket/prefix/
    #[arg(long = "snapshot-to", value_name = "PLACE")]
    to: Option<String>,
    /// How often [default: 6h]
    #[arg(long = "snapshot-every", value_name = "DURATION")]
    every: Option<SignedDuration>,
    /// How many of them are kept [default: 28]
    #[arg(long = "snapshot-keep", value_name = "COUNT")]
    keep: Option<usize>,
    /// Encrypt them with what is in this file
    #[arg(long = "snapshot-passphrase-file", value_name = "FILE")]
    passphrase_file: Option<std::path::PathBuf>,
}

impl ScheduleOptions {
    /// These, and the file's where there is none.
    pub(crate) fn or(self, file: Self) -> Self {
        Self {
            to: self.to.or(file.to),
            every: self.every.or(file.every),
            keep: self.keep.or(file.keep),
            passphrase_file: self.passphrase_file.or(file.passphrase_file),
        }
    }

    /// # Errors
    /// Flags that do not go together or cannot be; a passphrase that cannot be read.
    pub(crate) fn resolve(self) -> anyhow::Result<Option<Schedule>> {
        let Some(to) = self.to else {
            let others = self.every.is_some() || self.keep.is_some() || self.passphrase_file.is_some();
            ensure!(!others, "the flags --snapshot-… need --snapshot-to: where to take snapshots");
            return Ok(None);
        };
        let every = self.every.unwrap_or(SignedDuration::from_hours(6));
        ensure!(every >= SignedDuration::from_secs(1), "--snapshot-every must be at least 1s");
        let keep = self.keep.unwrap_or(28);
        ensure!(keep > 0, "--snapshot-keep must be at least 1");
        Ok(Some(Schedule {
            to: Location::parse(&to).context("--snapshot-to")?,
            every: every.try_into().context("--snapshot-every")?,
            keep,
            passphrase: PassphraseFile { path: self.passphrase_file }.read()?,
        }))
    }
}

/// Which snapshots are to be taken.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    to: Location,
    every: Duration,
    keep: usize,
    passphrase: Option<Passphrase>,
}

/// Takes them until it is cancelled.
///
/// # Errors
/// None: what fails is logged and tried again.
pub(crate) async fn run(schedule: Schedule, store: Store, cancel: CancellationToken) -> anyhow::Result<()> {
    loop {
        let pause = match schedule.turn(&store, Timestamp::now(), &cancel).await {
            Ok(pause) => pause,
            Err(error) if cancel.is_cancelled() => {
                info!(to = %schedule.to, reason = format!("{error:#}"), "the server ends before a scheduled snapshot");
                return Ok(());
            }
            Err(error) => {
                warn!(to = %schedule.to, error = format!("{error:#}"), "cannot take a scheduled snapshot");
                RETRY.min(schedule.every)
            }
        };
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

impl Schedule {
    /// Takes a snapshot if one is due, and says how long there is nothing to do.
    async fn turn(
        &self,
        store: &Store,
        now: Timestamp,
        cancel: &CancellationToken,
    ) -> anyhow::Result<Duration> {
        let pause = self.due_in(&unless(cancel, self.names()).await?, now);
        if !pause.is_zero() {
            return Ok(pause);
        }
        if !store.orders_writes() {
            // Another server does. It may be gone by the next look.
            return Ok(self.every / 10);
        }
        self.remove_unfinished(now)?;
        self.take(store, now, cancel).await?;
        unless(cancel, self.remove_old()).await?;
        Ok(self.every)
    }

    /// The names of those that are there, oldest first.
    async fn names(&self) -> anyhow::Result<Vec<String>> {
        if let Location::File(folder) = &self.to {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let found = self.to.list().await?;
        Ok(found.into_iter().map(|found| found.name).filter(|name| taken_at(name).is_some()).collect())
    }

    fn due_in(&self, names: &[String], now: Timestamp) -> Duration {
        // One from the future was taken while the clock was wrong, and says nothing.
        let times = names.iter().filter_map(|name| taken_at(name)).filter(|time| *time <= now);
        let Some(newest) = times.max() else { return Duration::ZERO };
        let age = Duration::try_from(now.duration_since(newest)).unwrap_or_default();
        self.every.saturating_sub(age)
    }

    async fn take(&self, store: &Store, now: Timestamp, cancel: &CancellationToken) -> anyhow::Result<()> {
        let to = self.to.child(&location::name(PREFIX, now, Some(store.revision())));
        unless(cancel, async { anyhow::Ok(store.catch_up().await?) }).await?;
        // A thread writes, which is waited for: the sink tells it.
        let save = async |sink| Ok(store.save(sink, self.passphrase.clone()).await?.1);
        let summary = to.fill(cancel, save).await?;
        info!(%to, revision = summary.revision, objects = summary.objects, bytes = summary.bytes, "took a scheduled snapshot");
        Ok(())
    }

    /// Removes what a server that was killed had begun. Whatever still grows is somebody's, and stays.
    fn remove_unfinished(&self, now: Timestamp) -> anyhow::Result<()> {
        let Location::File(folder) = &self.to else { return Ok(()) };
        for path in location::unfinished(folder, PREFIX)? {
            let written = Timestamp::try_from(path.metadata()?.modified()?)?;
            if now.duration_since(written) > UNFINISHED {
                info!(path = %path.display(), "removing a scheduled snapshot that was not finished");
                std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        Ok(())
    }

    async fn remove_old(&self) -> anyhow::Result<()> {
        let names = self.names().await?;
        for name in &names[..names.len().saturating_sub(self.keep)] {
            self.to.child(name).remove().await?;
        }
        Ok(())
    }
}

/// When a scheduled snapshot was taken, by its name; `None` for anything else.
fn taken_at(name: &str) -> Option<Timestamp> {
    let (time, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", time).ok()?;
    time.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|time| time.timestamp())
}

#[cfg(test)]
mod tests;
