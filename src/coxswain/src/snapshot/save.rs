//! `coxswain snapshot save`: from a running server, or from the data directory of one that does not run.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;
use jiff::Timestamp;
use store::Store;
use store::snapshot::{Passphrase, Reader, Summary, Writer};
use tokio_util::sync::CancellationToken;

use super::location::{self, Location, Sink};
use super::passphrase::PassphraseFile;
use super::{online, size};
use crate::datadir::DataDir;
use crate::output::say;
use crate::{config, host};

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

/// Saves a snapshot and says what is in it. The first SIGINT or SIGTERM breaks it off, the second ends the process at once.
///
/// # Errors
/// What cannot be read or written, or that it was broken off; nothing is left behind then, or it is said what may be.
pub(super) async fn run(to: &str, from: Source, passphrase: &PassphraseFile) -> anyhow::Result<()> {
    let passphrase = passphrase.read()?;
    let mut to = Location::parse(to)?;
    if to.is_folder() {
        to = to.child(&location::name("", Timestamp::now(), None));
    }
    let cancel = CancellationToken::new();
    let told = host::told_to_end()?;
    let mut saving = std::pin::pin!(save(from, &to, passphrase, &cancel));
    let summary = tokio::select! {
        saved = &mut saving => saved?,
        () = told => {
            cancel.cancel();
            let again = host::told_to_end()?;
            tokio::select! {
                saved = saving => saved?,
                () = again => std::process::exit(130),
            }
        }
    };
    say(format_args!(
        "saved {} objects of revision {} ({}) to {to}",
        summary.objects,
        summary.revision,
        size(summary.bytes)
    ))?;
    Ok(())
}

async fn save(
    from: Source,
    to: &Location,
    passphrase: Option<Passphrase>,
    cancel: &CancellationToken,
) -> anyhow::Result<Summary> {
    to.fill(cancel, async |sink| match from.state()? {
        State::Running(kubeconfig) => {
            let input = online::open(&kubeconfig, cancel).await?;
            tokio::task::spawn_blocking(move || copy(input, sink, passphrase.as_ref())).await?
        }
        State::Stopped(data) => stopped(&data, sink, passphrase).await,
    })
    .await
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
    Ok(saved?.1)
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
    Ok(writer.finish()?.1)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::path::Path;

    use super::*;

    /// Of a server in the clear that nobody has to log in to.
    fn kubeconfig(folder: &Path, server: &TcpListener) -> PathBuf {
        let (path, address) = (folder.join("kubeconfig"), server.local_addr().unwrap());
        let cluster = format!("clusters: [{{name: a, cluster: {{server: 'http://{address}'}}}}]");
        let context = "contexts: [{name: a, context: {cluster: a, user: a}}]\nusers: [{name: a, user: {}}]";
        std::fs::write(&path, format!("{cluster}\n{context}\ncurrent-context: a\n")).unwrap();
        path
    }

    #[tokio::test]
    async fn what_does_not_answer_is_not_waited_for_when_it_is_broken_off() {
        let folder = tempfile::tempdir().unwrap();
        // It takes connections and says nothing.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let kubeconfig = kubeconfig(folder.path(), &silent);
        let from = Source { data_dir: config::DATA_DIR.into(), kubeconfig: Some(kubeconfig) };
        let to = Location::File(folder.path().join("a.snapshot"));
        let cancel = CancellationToken::new();
        let cancelling = async {
            // The connection is there, so it waits for the answer.
            tokio::task::spawn_blocking(move || silent.accept()).await.unwrap().unwrap();
            cancel.cancel();
        };
        let (saved, ()) = tokio::join!(save(from, &to, None, &cancel), cancelling);
        assert_eq!(saved.unwrap_err().root_cause().to_string(), "it was broken off");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "only the kubeconfig");
    }

    #[tokio::test]
    async fn what_stops_in_the_midst_is_not_waited_for_when_it_is_broken_off() {
        let folder = tempfile::tempdir().unwrap();
        let stalling = TcpListener::bind("127.0.0.1:0").unwrap();
        let kubeconfig = kubeconfig(folder.path(), &stalling);
        let serving = tokio::task::spawn_blocking(move || {
            let (mut connection, _) = stalling.accept().unwrap();
            assert!(connection.read(&mut [0; 4096]).unwrap() > 0);
            connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nsome").unwrap();
            connection
        });
        let cancel = CancellationToken::new();
        let mut input = online::open(&kubeconfig, &cancel).await.unwrap();
        let _connection = serving.await.unwrap();
        let mut some = [0; 4];
        let reading = tokio::task::spawn_blocking(move || {
            input.read_exact(&mut some).unwrap();
            (input, some)
        });
        let (mut input, some) = reading.await.unwrap();
        assert_eq!(&some, b"some");
        let reading = tokio::task::spawn_blocking(move || input.read(&mut [0; 4]));
        cancel.cancel();
        assert_eq!(reading.await.unwrap().unwrap_err().to_string(), "it was broken off");
    }

    #[tokio::test]
    async fn what_is_broken_off_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let to = Location::File(folder.path().join("a.snapshot"));
        for writes_on in [true, false] {
            let cancel = CancellationToken::new();
            let filled = to.fill(&cancel, async |mut sink| {
                sink.write_all(b"some of it")?;
                cancel.cancel();
                if writes_on {
                    sink.write_all(b"more")?;
                }
                Ok(())
            });
            assert_eq!(filled.await.unwrap_err().root_cause().to_string(), "it was broken off");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}
