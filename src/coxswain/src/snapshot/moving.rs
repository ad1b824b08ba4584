//! `coxswain store move`: a cluster's state from the data directory into TiKV, or back, revisions and history included.
//!
//! Into TiKV it is done by the running server: it copies while it serves, stops taking writes for the last bit, leaves
//! word in the data directory ([`place`]) and begins anew over the copy. A server that does not run is moved by the
//! command itself, and so is a state in TiKV, whose servers all have to be stopped. What was moved stays as it was; until
//! the copy is complete nothing opens it as a store.

mod operation;
pub(crate) mod place;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use store::snapshot::{Sharing, Transfer};
use store::{Peer, Store, fjall, tikv};

use super::{online, size};
use crate::config;
use crate::datadir::DataDir;
use crate::store::StoreOptions;
use place::TikvPlace;

pub(crate) use operation::{MoveOperation, PATH};

/// Where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum To {
    /// TiKV.
    Tikv,
    /// The data directory.
    Embedded,
}

/// What is moved.
#[derive(Args)]
pub(crate) struct MoveOptions {
    /// Where the state is to be kept
    #[arg(long)]
    to: To,
    /// The server's data directory
    #[arg(long, default_value = config::DATA_DIR)]
    data_dir: PathBuf,
    /// TiKV is named as for the server, whichever way the state goes
    #[command(flatten)]
    tikv: StoreOptions,
}

/// Moves, and says what to do next.
///
/// # Errors
/// What is in the way; the state is where it was.
pub(crate) async fn run(options: MoveOptions) -> anyhow::Result<()> {
    let MoveOptions { to, data_dir, tikv } = options;
    let tikv = TikvPlace::of(tikv)?;
    DataDir::check(&data_dir)?;
    match (DataDir::hold(&data_dir), to) {
        (Ok(data), To::Tikv) => into_tikv(&data, tikv).await,
        (Ok(data), To::Embedded) => into_directory(&data, &tikv).await,
        (Err(_), To::Tikv) => ask(&data_dir, &tikv).await,
        (Err(held), To::Embedded) => {
            Err(held.context("stop all servers of the cluster before its state leaves TiKV"))
        }
    }
}

/// Lets the running server do it, and shows what it says.
async fn ask(data_dir: &Path, tikv: &TikvPlace) -> anyhow::Result<()> {
    let body = serde_json::to_vec(tikv)?;
    let mut last = String::new();
    let mut show = |line: &str| {
        println!("{line}");
        line.clone_into(&mut last);
    };
    online::post(&data_dir.join("kubeconfig"), PATH, body, &mut show).await?;
    ensure!(last.starts_with(operation::MOVED), "the server did not move its state; it goes on where it was");
    Ok(())
}

async fn into_tikv(data: &DataDir, tikv: TikvPlace) -> anyhow::Result<()> {
    let directory = data.join("store");
    ensure!(directory.join("acknowledged").exists(), "{} holds no store", data.path().display());
    let context = || format!("cannot open the store in {}", directory.display());
    let engine = fjall::open(&directory).with_context(context)?;
    let store = Store::open(engine, apiserver::store_options()).await.with_context(context)?;
    let transfer = begin_into(&store, &tikv).await?;
    store.shutdown().await;
    let bytes = transfer.bytes();
    let revision = transfer.finish().await.with_context(|| format!("cannot finish the move to {tikv}"))?;
    place::leave_word(data.path(), Some(&tikv))?;
    println!("moved revision {revision} ({}) to {tikv}; {}", size(bytes), place::ADVICE);
    Ok(())
}

/// Copies all that there is, while the store goes on.
async fn begin_into(store: &Store, tikv: &TikvPlace) -> anyhow::Result<Transfer> {
    let place = tikv.place();
    let context = || format!("cannot move the state to {tikv}");
    let engine = tokio::task::spawn_blocking(move || tikv::open(&place)).await?.with_context(context)?;
    store.transfer(engine, Sharing::Shared).await.with_context(context)
}

async fn into_directory(data: &DataDir, tikv: &TikvPlace) -> anyhow::Result<()> {
    let store = join_alone(tikv).await?;
    let moved = async {
        let directory = data.private("store")?;
        let engine = tokio::task::spawn_blocking(move || fjall::open(&directory)).await??;
        Ok::<_, anyhow::Error>(store.transfer(engine, Sharing::Alone).await?)
    };
    let moved = moved.await.with_context(|| format!("cannot move the state into {}", data.path().display()));
    store.shutdown().await;
    let transfer = moved?;
    let bytes = transfer.bytes();
    let revision = transfer.finish().await?;
    // Whoever came meanwhile may have written what is not in the copy.
    let again = join_alone(tikv).await?;
    let newest = again.revision();
    again.close().await;
    ensure!(
        newest == revision,
        "somebody wrote to {tikv} while it was copied: stop all servers, remove {} and try again",
        data.join("store").display()
    );
    place::leave_word(data.path(), None)?;
    println!("moved revision {revision} ({}) into {}; {}", size(bytes), data.path().display(), place::ADVICE);
    Ok(())
}

/// Opens the state in TiKV as the only server of the cluster.
async fn join_alone(tikv: &TikvPlace) -> anyhow::Result<Store> {
    let context = || format!("cannot open {tikv}");
    let place = tikv.place();
    let engine = tokio::task::spawn_blocking(move || tikv::open(&place)).await?.with_context(context)?;
    let here = Ipv4Addr::LOCALHOST;
    let peer = Peer { bind: (here, 0).into(), advertise: here.into() };
    let store = Store::join(engine, apiserver::store_options(), peer).await.with_context(context)?;
    if !store.orders_writes() {
        store.close().await;
        bail!("a server still runs over {tikv}: stop all of them before the state leaves it");
    }
    Ok(store)
}
