//! `coxswain store move --to embedded --tikv-is-gone`: the way on where a move out of TiKV was broken off and that TiKV, which
//! alone knows whether the state had left it, will never be reached again.
//!
//! A person has said so, and is believed where TiKV does not answer; where it does, it is asked as ever. The copy is taken only
//! if it is complete, which it is only once no server wrote any more: so nothing that was acknowledged is missing from it,
//! unless somebody had given the move up in TiKV. Nothing is written to TiKV.

use std::path::Path;

use anyhow::{Context, ensure};
use store::{Departure, Engine, OpenError, Revision, Store, fjall, tikv};

use super::{INCOMING, Open, settle};
use crate::output::say;
use crate::snapshot::moving::word::{self, Intent, State};

/// Makes the copy the state, or brings the move to the end that TiKV says.
///
/// # Errors
/// No move was broken off in the directory, or its copy is not complete; nothing was changed then.
pub(in crate::snapshot::moving) async fn go_on(data: &Path, open: Open) -> anyhow::Result<()> {
    let Some(intent) = Intent::read(data)? else {
        anyhow::bail!("no move was broken off in {}: start the server", data.display());
    };
    let from = intent.from.clone();
    if word::has_arrived(data, &intent)? {
        settle(data, open).await?;
        return say(format_args!("the state had arrived in {} already: start the server", data.display()));
    }
    if knows(&intent, open).await? {
        let told = match settle(data, open).await? {
            true => "the state had left it, and is in the data directory",
            false => "the state has stayed there, and the move was taken back",
        };
        return say(format_args!("{from} answers: {told}. Start the server"));
    }
    let revision = complete(&data.join(INCOMING)).await?;
    word::leave(data, &State::Embedded(intent))?;
    settle(data, open).await?;
    say(format_args!(
        "the state goes on in {} at revision {revision}; start the server. Should {from} come back, let no server write to it: \
         `coxswain store remove` removes it",
        data.display()
    ))
}

/// Whether TiKV can still say where the state is; it is only read.
async fn knows(intent: &Intent, open: Open) -> anyhow::Result<bool> {
    let from = intent.from.clone();
    let asked = tokio::task::spawn_blocking(move || has_state(&open(&from)?)).await;
    match asked.map_err(anyhow::Error::from).and_then(|has_state| has_state) {
        Err(error) => say(format_args!("{error:#}")).map(|()| false),
        asked => asked,
    }
}

fn has_state(engine: &Engine) -> anyhow::Result<bool> {
    let is_removed = store::departure(engine)?.as_ref().is_some_and(Departure::is_removal);
    Ok(!is_removed && !tikv::is_new(engine)?)
}

/// The revision of a copy that is a whole store.
async fn complete(incoming: &Path) -> anyhow::Result<Revision> {
    let context = || format!("the copy in {}", incoming.display());
    // Opening would make one.
    ensure!(incoming.exists(), "{} is not there: put it back, or restore a snapshot", context());
    let at = incoming.to_owned();
    let engine = tokio::task::spawn_blocking(move || fjall::open(at)).await?.with_context(context)?;
    ensure!(!tikv::is_new(&engine)?, "{} was not begun: restore a snapshot of the state", context());
    match Store::open(engine, apiserver::store_options()).await {
        Ok(store) => {
            let revision = store.revision();
            store.close().await;
            Ok(revision)
        }
        Err(OpenError::Unfinished) => anyhow::bail!(
            "{} was not finished: servers may have written to TiKV after it. Restore a snapshot of the state \
             (`coxswain snapshot restore` into another data directory)",
            context()
        ),
        Err(error) => Err(error).with_context(context),
    }
}
