//! The word that a move leaves in the data directory: where the state is now. A server obeys it, so that nobody goes on
//! with a copy that was left behind.

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use store::tikv::{Place, Tls};

use crate::store::{StoreOptions, StorePlace};

/// The file in the data directory.
const WORD: &str = "store-moved.json";
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
        match options.in_tikv().resolve()? {
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

/// What a move said.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    Tikv(TikvPlace),
    Embedded,
}

/// Says in a data directory where the state is now; `None` for the directory itself. Durable when it returns.
///
/// # Errors
/// The file cannot be written; what it said before still holds.
pub(super) fn leave_word(data: &Path, tikv: Option<&TikvPlace>) -> anyhow::Result<()> {
    let word = tikv.map_or(Word::Embedded, |tikv| Word::Tikv(tikv.clone()));
    let (path, new) = (data.join(WORD), data.join(format!("{WORD}.new")));
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec_pretty(&word)?)?;
        file.sync_all()?;
        std::fs::rename(&new, &path)?;
        File::open(data)?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Where the state is, given what the server was told and what a move left in its data directory.
///
/// # Errors
/// They contradict each other, or the word cannot be read.
pub(crate) fn follow(data: &Path, told: StorePlace) -> anyhow::Result<StorePlace> {
    let path = data.join(WORD);
    let text = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(told),
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let word = serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))?;
    match (word, told) {
        (Word::Tikv(tikv), StorePlace::Embedded) => {
            tracing::info!(to = %tikv, "the state was moved; add --store tikv and where it is to the flags");
            set_aside(data)?;
            Ok(StorePlace::Tikv { place: tikv.place(), peer_port: tikv.peer_port })
        }
        (Word::Tikv(tikv), told @ StorePlace::Tikv { .. }) if is_there(&tikv, &told) => Ok(told),
        (Word::Tikv(tikv), _) => {
            bail!("the state was moved to {tikv}, and the flags name another: make them say the same")
        }
        (Word::Embedded, StorePlace::Embedded) => Ok(StorePlace::Embedded),
        (Word::Embedded, StorePlace::Tikv { .. }) => bail!(
            "the state was moved into the data directory {}: leave the flags --store… out, or move it again",
            data.display()
        ),
    }
}

/// Whether a move took the state of a data directory elsewhere.
pub(crate) fn was_moved(data: &Path) -> bool {
    data.join(WORD).exists()
}

fn is_there(tikv: &TikvPlace, told: &StorePlace) -> bool {
    matches!(told, StorePlace::Tikv { place, .. } if place.prefix == tikv.prefix)
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
        StorePlace::Tikv { place: tikv(prefix).place(), peer_port: 7 }
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
        leave_word(data, Some(&tikv("m/"))).unwrap();
        assert!(follow(embedded()).unwrap().contains("prefix: \"m/\""));
        assert!(data.join("store.moved-1/acknowledged").exists() && !data.join("store").exists());
        assert!(follow(told("m/")).unwrap().contains("peer_port: 7"), "flags win where they say the same");
        assert!(follow(told("other/")).unwrap_err().contains("the flags name another"));
        leave_word(data, None).unwrap();
        assert_eq!(follow(embedded()).unwrap(), "Embedded");
        assert!(follow(told("m/")).unwrap_err().contains("into the data directory"));
        std::fs::write(data.join(WORD), "{").unwrap();
        assert!(follow(embedded()).unwrap_err().contains("is damaged"));
    }
}
