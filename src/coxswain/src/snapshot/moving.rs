//! `coxswain store move`: a cluster's state from the data directory into TiKV, or back, revisions and history included.
//!
//! It is done by the running server, one move at a time: it copies while it serves, stops taking writes for the last bit,
//! leaves word in the data directory ([`word`]) and begins anew over the copy. A server that does not run is moved by the
//! command itself. What was moved stays as it was; until the copy is complete nothing opens it as a store. Out of TiKV there
//! are more servers to think of: [`departing`].

pub(crate) mod departing;
mod operation;
pub(crate) mod place;
#[cfg(test)]
mod stand_in;
mod word;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use store::snapshot::{Sharing, Transfer};
use store::{Engine, Peer, Settled, Store, fjall, tikv};
use tokio_util::sync::CancellationToken;

use super::{online, size};
use crate::config;
use crate::datadir::DataDir;
use crate::host;
use crate::output::say;
use crate::store::StoreOptions;
use departing::{Departing, Open};
use operation::Order;
use place::TikvPlace;
use word::{Intent, State, Word};

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
    #[arg(long, required_unless_present = "give_up")]
    to: Option<To>,
    /// Let servers over TiKV write again although a move out of it was begun: only if what it went to is gone for good
    #[arg(long, conflicts_with = "to")]
    give_up: bool,
    /// Go on with the complete copy of a move out of TiKV that was broken off: only if that TiKV is gone for good, since it
    /// alone knows whether the state had left it
    #[arg(long, requires = "to")]
    tikv_is_gone: bool,
    /// The server's data directory
    #[arg(long, default_value = config::DATA_DIR)]
    data_dir: PathBuf,
    /// TiKV is named as for the server, whichever way the state goes; a server that runs over it knows it
    #[command(flatten)]
    tikv: StoreOptions,
}

/// Moves, and says what to do next.
///
/// # Errors
/// What is in the way; the state is where it was.
pub(crate) async fn run(options: MoveOptions) -> anyhow::Result<()> {
    let MoveOptions { to, data_dir, tikv, tikv_is_gone, .. } = options;
    let named = tikv.names_tikv().then(|| TikvPlace::of(tikv)).transpose()?;
    let name = || named.clone().context("name TiKV: --store-endpoints");
    let Some(to) = to else { return give_up(name()?).await };
    DataDir::check(&data_dir)?;
    if tikv_is_gone {
        ensure!(to == To::Embedded, "--tikv-is-gone is about a move --to embedded");
        return departing::gone::go_on(DataDir::hold(&data_dir)?.path(), open).await;
    }
    match (DataDir::hold(&data_dir), to) {
        (Ok(data), To::Tikv) => {
            departing::settle(data.path(), open).await?;
            into_tikv(&data, name()?).await
        }
        (Ok(data), To::Embedded) => {
            departing::settle(data.path(), open).await?;
            let moved = match Word::read(data.path())?.map(|word| word.state) {
                Some(State::Tikv(tikv)) => Some(tikv),
                _ => None,
            };
            into_directory(&data, named.or(moved).context("name TiKV: --store-endpoints")?).await
        }
        (Err(_), To::Tikv) => ask(&data_dir, &Order::Tikv(name()?)).await,
        (Err(_), To::Embedded) => ask(&data_dir, &Order::Embedded(named)).await,
    }
}

/// Lets the running server do it, and shows what it says.
async fn ask(data_dir: &Path, order: &Order) -> anyhow::Result<()> {
    let body = serde_json::to_vec(order)?;
    let mut last = String::new();
    // Where it cannot be shown, the move goes on all the same.
    let mut shown = Ok(());
    let mut show = |line: &str| {
        if shown.is_ok() {
            shown = say(format_args!("{line}"));
        }
        line.clone_into(&mut last);
    };
    online::post(&data_dir.join("kubeconfig"), PATH, body, &mut show).await?;
    ensure!(
        last.starts_with(operation::MOVED),
        "the server did not move its state, or does not know whether it did: it goes on where its log says"
    );
    shown
}

async fn give_up(tikv: TikvPlace) -> anyhow::Result<()> {
    let from = tikv.clone();
    let settled =
        tokio::task::spawn_blocking(move || Ok::<_, anyhow::Error>(store::reopen(&open(&from)?, None)?));
    match settled.await?? {
        Settled::Done => {
            say(format_args!("servers over {tikv} may write again; nothing of its state was lost"))
        }
        Settled::None => say(format_args!("nothing is being moved out of {tikv}; nothing was changed")),
        Settled::Empty => say(format_args!("there is no state under {tikv}; nothing was changed")),
        Settled::Over(departure) => bail!(
            "the move from {tikv} to {} has succeeded: the state goes on there, and what is left here is older. If that is \
             lost, restore a snapshot of it (`coxswain snapshot restore`)",
            departure.to
        ),
    }
}

/// Connects to TiKV; blocks.
pub(crate) fn open(tikv: &TikvPlace) -> anyhow::Result<Engine> {
    tikv::open(&tikv.place()).with_context(|| format!("cannot open {tikv}"))
}

async fn into_tikv(data: &DataDir, tikv: TikvPlace) -> anyhow::Result<()> {
    let directory = data.join("store");
    ensure!(directory.join("acknowledged").exists(), "{} holds no store", data.path().display());
    let context = || format!("cannot open the store in {}", directory.display());
    let engine = fjall::open(&directory).with_context(context)?;
    let store = Store::open(engine, apiserver::store_options()).await.with_context(context)?;
    let transfer = begin_into(data.path(), &store, &tikv, open, CancellationToken::new()).await?;
    store.shutdown().await;
    let bytes = transfer.bytes();
    let revision = transfer.finish().await.with_context(|| format!("cannot finish the move to {tikv}"))?;
    word::leave(data.path(), &State::Tikv(tikv.clone()))?;
    say(format_args!("moved revision {revision} ({}) to {tikv}; {}", size(bytes), place::ADVICE))?;
    Ok(())
}

/// Copies all that there is, while the store goes on and nobody cancels.
async fn begin_into(
    data: &Path,
    store: &Store,
    tikv: &TikvPlace,
    open: Open,
    cancel: CancellationToken,
) -> anyhow::Result<Transfer> {
    Intent::must_not_be(data)?;
    let place = tikv.clone();
    let context = || format!("cannot move the state to {tikv}");
    // It may take for ever, and nothing is written by it.
    let opening = cancel.run_until_cancelled(tokio::task::spawn_blocking(move || open(&place)));
    let engine = opening.await.context("it was given up")??.with_context(context)?;
    store.transfer(engine, Sharing::Shared, cancel).await.with_context(context)
}

/// The way back for a server that does not run.
async fn into_directory(data: &DataDir, tikv: TikvPlace) -> anyhow::Result<()> {
    let store = join_alone(&tikv).await?;
    let departing = match Departing::intend(data.path(), tikv.clone(), &host::name()?, open) {
        Ok(departing) => departing,
        Err(error) => {
            store.shutdown().await;
            return Err(error);
        }
    };
    let copied = copy_and_seal(&departing, &store).await;
    store.shutdown().await;
    let finished = async {
        let (transfer, newest) = copied?;
        let bytes = transfer.bytes();
        departing.finish(transfer, newest).await?;
        Ok::<_, anyhow::Error>((newest, bytes))
    };
    let finished = finished.await;
    let concluded = match &finished {
        Ok(_) => departing.conclude().await.and_then(|()| departing.leave_word()),
        Err(_) => Ok(()),
    };
    let has_arrived = departing.settle().await?;
    let context = || format!("cannot move the state into {}", data.path().display());
    let (revision, bytes) = finished.with_context(context)?;
    // What came of it may have been unknown, and has been found out since.
    concluded.or_else(|error| if has_arrived { Ok(()) } else { Err(error) }).with_context(context)?;
    say(format_args!(
        "moved revision {revision} ({}) into {}; {}",
        size(bytes),
        data.path().display(),
        place::ADVICE
    ))?;
    Ok(())
}

async fn copy_and_seal(departing: &Departing, store: &Store) -> anyhow::Result<(Transfer, store::Revision)> {
    let transfer = departing.copy(store, CancellationToken::new()).await?;
    let newest = departing.seal(store).await?;
    Ok((transfer, newest))
}

/// Opens the state in TiKV as the only server of the cluster: this command cannot encrypt what others might ask it to write.
async fn join_alone(tikv: &TikvPlace) -> anyhow::Result<Store> {
    let context = || format!("cannot open {tikv}");
    let place = tikv.clone();
    let engine = tokio::task::spawn_blocking(move || open(&place)).await?.with_context(context)?;
    let here = std::net::Ipv4Addr::LOCALHOST;
    let peer = Peer { bind: (here, 0).into(), advertise: here.into() };
    let store = Store::join(engine, apiserver::store_options(), peer).await.with_context(context)?;
    if !store.orders_writes() {
        store.close().await;
        bail!(
            "a server runs over {tikv}: start the server of this data directory, too, and run the command again, which it then \
             does while all of them serve; or stop all of them"
        );
    }
    Ok(store)
}
