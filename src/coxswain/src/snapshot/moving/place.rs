//! Where a cluster's state is, given what a server was told and what a move has left in its data directory; and room for a
//! state that comes.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use store::tikv::{Place, Tls};

use super::word::{self, Intent, State, Word};
use crate::store::{StoreOptions, StorePlace};

/// What a person does after a move.
pub(crate) const ADVICE: &str =
    "the server finds it there by itself; change its --store flags when you next touch them";

/// A state in TiKV.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct TikvPlace {
    endpoints: Vec<String>,
    prefix: String,
    /// The authority's certificate, ours and its key.
    tls: Option<(PathBuf, PathBuf, PathBuf)>,
    peer_port: u16,
}

impl TikvPlace {
    /// As the flags of a server say it; `--store tikv` may be left out.
    pub(super) fn of(options: StoreOptions) -> anyhow::Result<Self> {
        Self::at(options.in_tikv().resolve()?)
    }

    /// Where a server has its state.
    pub(super) fn at(place: StorePlace) -> anyhow::Result<Self> {
        match place {
            StorePlace::Tikv { place: Place { endpoints, prefix, tls }, peer_port } => {
                let absolute = |path: PathBuf| std::path::absolute(path);
                let tls = tls.map(|Tls { ca, certificate, key }| {
                    Ok::<_, std::io::Error>((absolute(ca)?, absolute(certificate)?, absolute(key)?))
                });
                Ok(Self { endpoints, prefix, tls: tls.transpose()?, peer_port })
            }
            StorePlace::Embedded => bail!("name TiKV: --store-endpoints"),
        }
    }

    /// Whether both name the same state.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.is_at(&other.place())
    }

    /// Whether it is there: under the prefix, in a TiKV of which one PD at least has the same address. Another TiKV may have
    /// a state under the same prefix.
    fn is_at(&self, place: &Place) -> bool {
        let address = |endpoint: &str| {
            let endpoint = endpoint.trim_start_matches("http://").trim_start_matches("https://");
            endpoint.to_ascii_lowercase()
        };
        let own: BTreeSet<_> = self.endpoints.iter().map(|endpoint| address(endpoint)).collect();
        self.prefix == place.prefix && place.endpoints.iter().any(|endpoint| own.contains(&address(endpoint)))
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn place(&self) -> Place {
        let tls = self.tls.clone().map(|(ca, certificate, key)| Tls { ca, certificate, key });
        Place { endpoints: self.endpoints.clone(), prefix: self.prefix.clone(), tls }
    }
}

impl fmt::Display for TikvPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the prefix {:?} in TiKV", self.prefix)
    }
}

/// Makes sure that a state from TiKV has a place in the directory.
///
/// # Errors
/// It holds a store, of another cluster or an older one.
pub(super) fn clear_for(data: &Path, from: &TikvPlace) -> anyhow::Result<()> {
    if Word::read(data)?.is_some_and(|word| matches!(word.state, State::Tikv(tikv) if tikv.is_same(from))) {
        set_aside(data)?;
    }
    let store = data.join("store");
    // Fails where it holds something, and where it is not there.
    std::fs::remove_dir(&store).ok();
    ensure!(
        !store.exists(),
        "{} holds another store: move it away, or remove it, before the state of {from} comes there",
        store.display()
    );
    Ok(())
}

/// A new directory that only its owner may enter.
pub(super) fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(path)
}

/// Where the state is, given what the server was told and what a move left in its data directory.
///
/// # Errors
/// They contradict each other, or the word cannot be read.
pub(crate) fn follow(data: &Path, told: StorePlace) -> anyhow::Result<StorePlace> {
    let Some(word) = Word::read(data)? else { return Ok(told) };
    let is_of_before = matches!(&told, StorePlace::Tikv { place, .. } if word.left.contains(&place.prefix));
    match (word.state, told) {
        (State::Tikv(tikv), told) if is_there(&tikv, &told) => Ok(told),
        (State::Tikv(tikv), told) if is_of_before || !told.is_shared() => {
            tracing::info!(to = %tikv, "the state was moved; let the --store flags say where it is");
            set_aside(data)?;
            Ok(StorePlace::Tikv { place: tikv.place(), peer_port: tikv.peer_port })
        }
        (State::Tikv(tikv), _) => {
            bail!(
                "the state was moved to {tikv} whose PDs were {}, and the flags name another: make them say the same; if its \
                 PDs have new addresses, name one of those beside them",
                tikv.endpoints.join(", ")
            )
        }
        (State::Embedded(_), StorePlace::Embedded) => arrived(data),
        (State::Embedded(Intent { from, .. }), _) if is_of_before => {
            tracing::info!(%from, "the state was moved into the data directory; take the --store flags away");
            arrived(data)
        }
        (State::Embedded(_), StorePlace::Tikv { .. }) => bail!(
            "the state was moved into the data directory {}: leave the flags --store… out, or move it again",
            data.display()
        ),
    }
}

/// The state that was moved into the directory. Where it is gone, nobody begins another in its place.
fn arrived(data: &Path) -> anyhow::Result<StorePlace> {
    let store = data.join("store");
    let holds_something = std::fs::read_dir(&store).is_ok_and(|mut entries| entries.next().is_some());
    ensure!(
        holds_something,
        "the state was moved into {}, and it is not there: put it back, or reset the data directory (`coxswain reset`) and \
         restore a snapshot",
        store.display()
    );
    Ok(StorePlace::Embedded)
}

/// Whether a move took the state of a data directory elsewhere.
pub(crate) fn was_moved(data: &Path) -> bool {
    data.join(word::WORD).exists()
}

fn is_there(tikv: &TikvPlace, told: &StorePlace) -> bool {
    matches!(told, StorePlace::Tikv { place, .. } if tikv.is_at(place))
}

/// The store that was left behind goes out of the way of one that may come back.
fn set_aside(data: &Path) -> anyhow::Result<()> {
    let left = data.join("store");
    if !left.join("acknowledged").exists() {
        return Ok(());
    }
    let aside = (1..).map(|number| data.join(format!("store.moved-{number}"))).find(|path| !path.exists());
    let aside = aside.context("there are too many stores that were left behind")?;
    std::fs::rename(&left, &aside)
        .with_context(|| format!("cannot rename {} to {}", left.display(), aside.display()))?;
    word::sync(data)?;
    tracing::info!(path = %aside.display(), "the store that was moved is kept here until somebody removes it");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tikv(prefix: &str) -> TikvPlace {
        TikvPlace { endpoints: vec!["a:1".to_owned()], prefix: prefix.to_owned(), tls: None, peer_port: 0 }
    }

    fn told(prefix: &str) -> StorePlace {
        told_at("a:1", prefix)
    }

    fn told_at(endpoint: &str, prefix: &str) -> StorePlace {
        let endpoints = vec!["new:1".to_owned(), endpoint.to_owned()];
        StorePlace::Tikv { place: Place { endpoints, ..tikv(prefix).place() }, peer_port: 7 }
    }

    #[test]
    fn a_server_finds_the_state_where_it_was_moved_and_does_not_go_on_with_what_was_left() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let embedded = || StorePlace::Embedded;
        let follow =
            |told| follow(data, told).map(|place| format!("{place:?}")).map_err(|error| error.to_string());
        assert_eq!(follow(embedded()).unwrap(), "Embedded");
        std::fs::create_dir(data.join("store")).unwrap();
        std::fs::write(data.join("store/acknowledged"), "").unwrap();
        word::leave(data, &State::Tikv(tikv("m/"))).unwrap();
        assert!(follow(embedded()).unwrap().contains("prefix: \"m/\""));
        assert!(data.join("store.moved-1/acknowledged").exists() && !data.join("store").exists());
        assert!(follow(told("m/")).unwrap().contains("peer_port: 7"), "flags win where they say the same");
        assert!(follow(told("other/")).unwrap_err().contains("the flags name another"));
        let elsewhere = follow(told_at("b:1", "m/")).unwrap_err();
        assert!(elsewhere.contains("whose PDs were a:1"), "the same prefix in another TiKV: {elsewhere}");
        let intent = Intent { from: tikv("m/"), token: "00".repeat(16) };
        word::leave(data, &State::Embedded(intent)).unwrap();
        assert!(follow(embedded()).unwrap_err().contains("it is not there"));
        std::fs::create_dir(data.join("store")).unwrap();
        assert!(follow(told("m/")).unwrap_err().contains("it is not there"), "an empty one is none");
        std::fs::write(data.join("store/acknowledged"), "").unwrap();
        assert_eq!(follow(embedded()).unwrap(), "Embedded");
        assert_eq!(
            follow(told("m/")).unwrap(),
            "Embedded",
            "the flags of before are good until they are changed"
        );
        assert!(follow(told("other/")).unwrap_err().contains("into the data directory"));
        word::leave(data, &State::Tikv(tikv("n/"))).unwrap();
        assert!(follow(told("m/")).unwrap().contains("prefix: \"n/\""), "they still are");
        assert!(follow(told("other/")).unwrap_err().contains("the flags name another"));
        std::fs::write(data.join(word::WORD), "{").unwrap();
        assert!(follow(embedded()).unwrap_err().contains("is damaged"));
    }
}
