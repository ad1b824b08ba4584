//! `coxswain store`: what the store of a running server does, whether a store is sound, the way on when it is not.

mod remove;
mod status;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::Subcommand;
use store::{OpenError, Options, Report, Store, fjall, inspect, tikv};

use crate::config;
use crate::datadir::DataDir;
use crate::output::say;
use crate::snapshot::moving::{self, MoveOptions};
use crate::snapshot::size;
use crate::store::{StoreOptions, StorePlace};

/// What can be done with the store.
#[derive(Subcommand)]
pub(crate) enum StoreCommand {
    /// Say what the store of a running server does: revision, sizes, writes, latency
    Status {
        /// Where the server keeps its state
        #[arg(long, default_value = config::DATA_DIR)]
        data_dir: PathBuf,
    },
    /// Read every record of a store and say what is wrong; the server must not run (over TiKV it may)
    Check {
        /// Where the server keeps its state
        #[arg(long, default_value = config::DATA_DIR)]
        data_dir: PathBuf,
        #[command(flatten)]
        store: Box<StoreOptions>,
    },
    /// List the clusters that keep their state in a TiKV: their prefixes, revisions and what became of them
    Ls {
        #[command(flatten)]
        tikv: Box<StoreOptions>,
    },
    /// Remove a cluster's state from TiKV for good; none of its servers may run
    Remove {
        #[command(flatten)]
        tikv: Box<StoreOptions>,
        /// Remove what is said to be there; without this it is only said
        #[arg(long)]
        accept_loss: bool,
    },
    /// Move the state of a cluster, running or not, from a data directory into TiKV, or back
    Move(Box<MoveOptions>),
    /// Make a store that has lost something usable again, with what is whole in it
    Repair {
        /// Where the server keeps its state
        #[arg(long, default_value = config::DATA_DIR)]
        data_dir: PathBuf,
        /// Give up what is lost or damaged, and the history
        #[arg(long)]
        accept_loss: bool,
    },
}

/// Runs a command to its end.
///
/// # Errors
/// What is wrong, where, and what to do.
pub(crate) async fn run(command: StoreCommand) -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider().install_default().ok();
    match command {
        StoreCommand::Status { data_dir } => status::run(&data_dir).await,
        StoreCommand::Check { data_dir, store } => {
            let place = store.resolve()?;
            tokio::task::spawn_blocking(move || check(&data_dir, &place)).await?
        }
        StoreCommand::Ls { tikv } => list(tikv.in_tikv().resolve()?).await,
        StoreCommand::Remove { tikv, accept_loss } => remove::run(*tikv, accept_loss).await,
        StoreCommand::Move(options) => moving::run(*options).await,
        StoreCommand::Repair { data_dir, accept_loss } => repair(&data_dir, accept_loss).await,
    }
}

async fn list(place: StorePlace) -> anyhow::Result<()> {
    let StorePlace::Tikv { place, .. } = place else { bail!("name TiKV: --store-endpoints") };
    let survey = tokio::task::spawn_blocking(move || tikv::survey(&place)).await?;
    let survey = survey.context("cannot look into TiKV")?;
    say(format_args!("{:<40} {:>12}  STATE", "PREFIX", "REVISION"))?;
    for found in &survey.stores {
        let revision = found.revision.map_or_else(|| "-".to_owned(), |revision| revision.to_string());
        say(format_args!("{:<40} {revision:>12}  {}", format!("{:?}", found.prefix), state(found)))?;
    }
    if !survey.is_complete {
        say(format_args!("other applications have many keys here: behind them there may be more"))?;
    }
    Ok(())
}

fn state(found: &tikv::Found) -> String {
    if let Some(why) = &found.unreadable {
        return format!("damaged: {why}");
    }
    match (&found.departure, found.revision) {
        (Some(departure), _) if departure.is_removal() => {
            "being removed; if that was broken off, run `coxswain store remove` again".to_owned()
        }
        (Some(departure), _) if departure.is_over => format!("moved to {}", departure.to),
        (Some(departure), _) => format!("being moved to {}", departure.to),
        (None, Some(_)) => "in use, or ready to be".to_owned(),
        (None, None) => "a restore or a move into it was not finished".to_owned(),
    }
}

/// The store's directory in a data directory that no server holds.
fn hold(data_dir: &Path) -> anyhow::Result<(DataDir, PathBuf)> {
    let held = DataDir::hold_existing(data_dir)?
        .with_context(|| format!("{} does not exist; give another with --data-dir", data_dir.display()))?;
    let directory = held.join("store");
    ensure!(directory.exists(), "{} holds no store", held.path().display());
    Ok((held, directory))
}

fn check(data_dir: &Path, place: &StorePlace) -> anyhow::Result<()> {
    let report = match place {
        StorePlace::Embedded => {
            let (_held, directory) = hold(data_dir)?;
            let context = || format!("the store in {}", directory.display());
            inspect(&fjall::open(&directory).with_context(context)?).with_context(context)?
        }
        StorePlace::Tikv { place, .. } => {
            let context = || format!("the store {:?} in TiKV", place.prefix);
            let engine = tikv::open(place).with_context(context)?;
            ensure!(
                !tikv::is_new(&engine).with_context(context)?,
                "no store begins with the prefix {:?}: `coxswain store ls` shows those that there are",
                place.prefix
            );
            if let Some(departure) = store::departure(&engine).with_context(context)? {
                say(format_args!("its {departure}"))?;
            }
            inspect(&engine).with_context(context)?
        }
    };
    describe(&report)?;
    if report.is_sound() {
        say(format_args!("nothing is wrong"))?;
        return Ok(());
    }
    for problem in &report.problems {
        say(format_args!("wrong: {problem}"))?;
    }
    ensure!(!report.is_unfinished, OpenError::Unfinished);
    bail!(
        "{} wrong with the store; restore a snapshot (`coxswain snapshot restore`), or keep what is whole and \
         give the rest up (`coxswain store repair --accept-loss`)",
        if report.wrong == 1 { "one thing is".to_owned() } else { format!("{} things are", report.wrong) }
    )
}

fn describe(report: &Report) -> anyhow::Result<()> {
    say(format_args!(
        "revision {}, horizon {}, {} writes in the log",
        report.revision, report.horizon, report.logged
    ))?;
    say(format_args!("{:<56} {:>9} {:>10} {:>9} {:>10}", "RESOURCE", "OBJECTS", "SIZE", "PAST", "SIZE"))?;
    for (resource, found) in &report.resources {
        let (objects, past) = (size(found.object_bytes), size(found.past_bytes));
        say(format_args!(
            "{:<56} {:>9} {objects:>10} {:>9} {past:>10}",
            resource.trim_start_matches('/'),
            found.objects,
            found.past
        ))?;
    }
    Ok(())
}

async fn repair(data_dir: &Path, accept_loss: bool) -> anyhow::Result<()> {
    let (_held, directory) = hold(data_dir)?;
    let Err(refusal) = open(&directory).await else {
        say(format_args!("the store opens; nothing was changed"))?;
        return Ok(());
    };
    ensure!(accept_loss, "{refusal:#}: nothing was changed; --accept-loss goes on without what is lost");
    say(format_args!("{refusal:#}"))?;
    let at = directory.clone();
    let repaired = tokio::task::spawn_blocking(move || fjall::repair(at)).await?;
    let repaired = repaired.with_context(|| format!("cannot repair the store in {}", directory.display()))?;
    open(&directory)
        .await
        .context("it still does not open: restore a snapshot (`coxswain snapshot restore`)")?;
    if repaired.missing > 0 {
        say(format_args!(
            "of {} of the last writes nothing was found; older writes may be lost, too",
            repaired.missing
        ))?;
    }
    say(format_args!(
        "{} objects are kept, as of revision {}; {} damaged records are gone; the store goes on from revision {}",
        repaired.objects, repaired.found, repaired.damaged, repaired.revision
    ))?;
    Ok(())
}

/// Opens the store as a server would, and closes it.
async fn open(directory: &Path) -> anyhow::Result<()> {
    let at = directory.to_owned();
    let engine = tokio::task::spawn_blocking(move || fjall::open(at)).await?;
    let store = Store::open(engine?, Options::default()).await?;
    store.close().await;
    Ok(())
}
