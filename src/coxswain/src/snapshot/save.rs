//! `coxswain snapshot save`: from a running server, or from the data directory of one that does not run.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;
use jiff::Timestamp;
use store::Store;
use store::snapshot::{Error, Passphrase, Reader, Summary, Writer};

use super::location::{self, Location, Sink};
use super::passphrase::PassphraseFile;
use super::{online, size};
use crate::config;
use crate::datadir::DataDir;

/// What is saved.
#[derive(Args)]
pub(crate) struct Source {
    /// The data directory of the server; if it runs, it is asked over its API
    #[arg(long, default_value = config::DATA_DIR)]
    data_dir: PathBuf,
    /// Ask the server that this kubeconfig names, wherever it runs
    #[arg(long, conflicts_with = "data_dir")]
    kubeconfig: Option<PathBuf>,
}

/// Saves a snapshot and says what is in it.
///
/// # Errors
/// What cannot be read or written; nothing is left behind then.
pub(super) async fn run(to: &str, from: Source, passphrase: &PassphraseFile) -> anyhow::Result<()> {
    let passphrase = passphrase.read()?;
    let mut to = Location::parse(to)?;
    if to.is_folder() {
        to = to.child(&location::name("", Timestamp::now(), None));
    }
    let sink = to.create().await?;
    let summary = match from.state()? {
        State::Running(kubeconfig) => {
            let input = online::open(&kubeconfig).await?;
            tokio::task::spawn_blocking(move || copy(input, sink, passphrase.as_ref())).await?
        }
        State::Stopped(data) => stopped(&data, sink, passphrase).await,
    };
    let summary = summary.with_context(|| format!("cannot save a snapshot to {to}"))?;
    println!(
        "saved {} objects of revision {} ({}) to {to}",
        summary.objects,
        summary.revision,
        size(summary.bytes)
    );
    Ok(())
}

/// Where the state is to be had.
enum State {
    Running(PathBuf),
    Stopped(DataDir),
}

impl Source {
    fn state(self) -> anyhow::Result<State> {
        if let Some(kubeconfig) = self.kubeconfig {
            return Ok(State::Running(kubeconfig));
        }
        DataDir::check(&self.data_dir)?;
        match DataDir::hold(&self.data_dir) {
            Ok(data) => Ok(State::Stopped(data)),
            // A server holds it.
            Err(_) => Ok(State::Running(self.data_dir.join("kubeconfig"))),
        }
    }
}

async fn stopped(data: &DataDir, sink: Sink, passphrase: Option<Passphrase>) -> anyhow::Result<Summary> {
    let directory = data.join("store");
    ensure!(
        directory.join("acknowledged").exists(),
        "{} holds no store: if the server keeps its state in TiKV, start it and save again",
        data.path().display()
    );
    let context = || format!("cannot open the store in {}", directory.display());
    let engine = store::fjall::open(&directory).with_context(context)?;
    let store = Store::open(engine, apiserver::store_options()).await.with_context(context)?;
    let saved = store.save(sink, passphrase).await;
    store.close().await;
    let (sink, summary) = saved?;
    tokio::task::spawn_blocking(move || sink.commit()).await??;
    Ok(summary)
}

/// Writes what is read as a snapshot with the given passphrase, checking it on the way; blocks.
fn copy(input: impl std::io::Read, sink: Sink, passphrase: Option<&Passphrase>) -> anyhow::Result<Summary> {
    let mut reader = Reader::new(input, None)?;
    let mut writer = Writer::new(sink, reader.header(), passphrase)?;
    while let Some(records) = reader.next_block()? {
        for record in records {
            writer.record(&record.name, &record.value)?;
        }
    }
    let (sink, summary) = writer.finish()?;
    sink.commit().map_err(Error::Io)?;
    Ok(summary)
}
