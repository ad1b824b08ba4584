//! `coxswain store remove`: a cluster's state in TiKV that nobody wants any more.
//!
//! Says what is there, makes sure that no server of it is alive, and removes it in steps. What makes that safe, and why it can
//! be broken off, stands in `store::Removal`. Nothing outside the prefix is touched.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use store::{Engine, Remains, Removal, RemovalError, tikv};

use crate::output::say;
use crate::snapshot::size;
use crate::store::{StoreOptions, StorePlace};

/// How often it says how far it has come.
const TELL: Duration = Duration::from_secs(2);

/// Removes it.
///
/// # Errors
/// It was not asked for, a server is alive, TiKV fails.
pub(super) async fn run(tikv: StoreOptions, accept_loss: bool) -> anyhow::Result<()> {
    ensure!(
        tikv.names_prefix(),
        "name what is to be removed: --store-prefix (`coxswain store ls` shows the prefixes that there are)"
    );
    let StorePlace::Tikv { place, .. } = tikv.in_tikv().resolve()? else {
        bail!("name TiKV: --store-endpoints")
    };
    let prefix = place.prefix.clone();
    let engine =
        tokio::task::spawn_blocking(move || tikv::open(&place)).await?.context("cannot open TiKV")?;
    remove(engine, &prefix, accept_loss, tokio::time::sleep(Removal::BEATS)).await
}

/// Removes it; before, `beats` have to pass in which a server of it would have shown itself.
async fn remove(
    engine: Engine,
    prefix: &str,
    accept_loss: bool,
    beats: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let context = || format!("cannot remove what is under the prefix {prefix:?}");
    let found = blocking(move || Removal::look(engine)).await.with_context(context)?;
    let Some(mut removal) = found else {
        say(format_args!(
            "there is no state under the prefix {prefix:?}; nothing was changed (`coxswain store ls` shows what there is)"
        ))?;
        return Ok(());
    };
    say(format_args!("under the prefix {prefix:?}: {}", describe(removal.remains())))?;
    ensure!(
        accept_loss,
        "nothing was removed; --accept-loss removes all of it for good, keys of the cluster included"
    );
    if !removal.is_past() {
        say(format_args!("looking for {} s whether a server of it is alive", Removal::BEATS.as_secs()))?;
        beats.await;
    }
    removal = blocking(move || removal.claim().map(|()| removal)).await.with_context(context)?;
    let (mut removed, mut told) = (0, Instant::now());
    loop {
        let (stepped, count) =
            blocking(move || removal.step().map(|count| (removal, count))).await.with_context(context)?;
        if count == 0 {
            break;
        }
        (removal, removed) = (stepped, removed + count);
        if told.elapsed() >= TELL {
            say(format_args!("{removed} records are removed"))?;
            told = Instant::now();
        }
    }
    say(format_args!("{removed} records are removed: nothing is left of it"))?;
    Ok(())
}

fn describe(remains: &Remains) -> String {
    let Remains { revision, departure, records, bytes } = remains;
    let what = match (departure, revision) {
        (Some(departure), _) if departure.is_removal() => {
            "what is left of a state whose removal was begun".to_owned()
        }
        (Some(departure), _) => format!("what a state left behind that was moved to {}", departure.to),
        (None, Some(revision)) => format!("the state of a cluster at revision {revision}"),
        (None, None) => "what a restore, or a move into it, left unfinished".to_owned(),
    };
    format!("{what}, {records} records of {}", size(*bytes))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RemovalError> + Send + 'static,
) -> anyhow::Result<T> {
    Ok(tokio::task::spawn_blocking(work).await??)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use store::{Options, Peer, Store, memory};

    use super::*;

    async fn join(engine: &Engine) -> Store {
        let here = Ipv4Addr::LOCALHOST;
        let peer = Peer { bind: (here, 0).into(), advertise: here.into() };
        Store::join(engine.clone(), Options::default(), peer).await.unwrap()
    }

    fn records(engine: &Engine) -> Vec<(bytes::Bytes, bytes::Bytes)> {
        engine.snapshot().scan(b"", b"\xff").map(Result::unwrap).collect()
    }

    fn is_empty(engine: &Engine) -> bool {
        records(engine).is_empty()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_is_only_said_what_is_there_until_the_loss_is_accepted() {
        let engine = memory::new();
        join(&engine).await.close().await;
        let refusal = remove(engine.clone(), "p/", false, async {}).await.unwrap_err().to_string();
        assert!(refusal.contains("nothing was removed; --accept-loss"), "{refusal}");
        assert!(tikv::is_new(&memory::new()).unwrap() && !is_empty(&engine));
        join(&engine).await.close().await;
        remove(engine.clone(), "p/", true, async {}).await.unwrap();
        assert!(is_empty(&engine));
        // Again, after all was done.
        remove(engine.clone(), "p/", true, async {}).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_living_server_has_is_not_removed() {
        let engine = memory::new();
        let store = join(&engine).await;
        let before = records(&engine);
        // Nobody writes to it, so what changes is that its owner shows itself.
        let beat = async {
            while records(&engine) == before {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let refusal = remove(engine.clone(), "p/", true, beat).await.unwrap_err();
        let refusal = format!("{refusal:#}");
        assert!(refusal.contains("is alive and orders its writes"), "{refusal}");
        assert!(store.orders_writes() && store.is_writable());
        store.close().await;
    }

    #[tokio::test]
    async fn a_prefix_has_to_be_named() {
        let refusal = run(StoreOptions::default(), true).await.unwrap_err().to_string();
        assert!(refusal.contains("--store-prefix"), "{refusal}");
    }
}
