//! The words that a move leaves in the data directory: that it was begun, and where the state is now. A server obeys them,
//! so that nobody goes on with a copy that was left behind.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::place::TikvPlace;

/// The file in the data directory that says where the state is.
pub(super) const WORD: &str = "store-moved.json";
/// The one that says that a copy is being made.
const INTENT: &str = "store-moving.json";

/// What the last move said.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Word {
    pub(super) state: State,
    /// The prefixes that it was moved away from: flags that name one of them are those of before.
    pub(super) left: BTreeSet<String>,
}

/// Where the state is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    Tikv(TikvPlace),
    /// Here; and where it came from.
    Embedded(Intent),
}

impl Word {
    pub(super) fn read(data: &Path) -> anyhow::Result<Option<Self>> {
        read(data, WORD)
    }
}

/// A move out of TiKV that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Intent {
    pub(super) from: TikvPlace,
    /// What tells it from others, in hexadecimal.
    pub(super) token: String,
}

impl Intent {
    pub(super) fn read(data: &Path) -> anyhow::Result<Option<Self>> {
        read(data, INTENT)
    }

    /// Makes sure that no move is under way in a directory.
    ///
    /// # Errors
    /// One is, or was broken off.
    pub(super) fn must_not_be(data: &Path) -> anyhow::Result<()> {
        match Self::read(data)? {
            None => Ok(()),
            Some(Self { from, .. }) => bail!(
                "a move from {from} was begun and could not be taken back: start the server anew, which brings it to its end"
            ),
        }
    }

    /// Durable when it returns.
    pub(super) fn leave(&self, data: &Path) -> anyhow::Result<()> {
        write(data, INTENT, self)
    }

    pub(super) fn forget(data: &Path) -> anyhow::Result<()> {
        let path = data.join(INTENT);
        std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        sync(data)
    }

    pub(super) fn token(&self) -> anyhow::Result<[u8; 16]> {
        let mut token = [0; 16];
        hex::decode_to_slice(&self.token, &mut token).with_context(|| format!("{INTENT} is damaged"))?;
        Ok(token)
    }
}

/// Says in a data directory where the state is now. Durable when it returns; after an error, whoever looks next will see
/// whether it says so.
///
/// # Errors
/// The file cannot be written.
pub(super) fn leave(data: &Path, state: &State) -> anyhow::Result<()> {
    let before = Word::read(data)?;
    let mut left = before.as_ref().map(|word| word.left.clone()).unwrap_or_default();
    for state in before.iter().map(|word| &word.state).chain([state]) {
        match state {
            State::Tikv(tikv) => left.insert(tikv.prefix().to_owned()),
            State::Embedded(intent) => left.insert(intent.from.prefix().to_owned()),
        };
    }
    if let State::Tikv(tikv) = state {
        left.remove(tikv.prefix());
    }
    write(data, WORD, &Word { state: state.clone(), left })
}

/// Whether the directory says that the state which the intent speaks of is in it.
pub(super) fn has_arrived(data: &Path, intent: &Intent) -> anyhow::Result<bool> {
    let arrived = |word: Word| matches!(word.state, State::Embedded(arrived) if arrived == *intent);
    Ok(Word::read(data)?.is_some_and(arrived))
}

fn read<T: DeserializeOwned>(data: &Path, name: &str) -> anyhow::Result<Option<T>> {
    let path = data.join(name);
    match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        text => {
            let text = text.with_context(|| format!("cannot read {}", path.display()))?;
            // Whoever wrote it may have been killed before it was durable, and what is read is acted on.
            sync(data)?;
            let word = serde_json::from_slice(&text);
            word.map(Some).with_context(|| format!("{} is damaged", path.display()))
        }
    }
}

/// Writes a file that is whole or not there; durable when it returns.
fn write(data: &Path, name: &str, word: &impl Serialize) -> anyhow::Result<()> {
    let (path, new) = (data.join(name), data.join(format!("{name}.new")));
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec_pretty(word)?)?;
        file.sync_all()?;
        std::fs::rename(&new, &path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))?;
    sync(data)
}

/// Makes what was renamed or removed in a directory durable.
pub(super) fn sync(directory: &Path) -> anyhow::Result<()> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.with_context(|| format!("cannot sync {}", directory.display()))
}
