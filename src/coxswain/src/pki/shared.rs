//! The keys of a cluster of several servers: kept in the store that they share, so that a server needs nothing but the way to
//! the store to be one of them. Whoever comes first puts its own there, others take them into their `pki/`.
//!
//! They stand beside what the API serves and cannot be read through it. Whoever can read the store can read them, as they
//! can every Secret.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use rcgen::KeyPair;
use store::{CommitError, Entry, Key, Precondition, Sealing, Store, Value, Write};

use super::{AUTHORITY, AUTHORITY_KEY, SERVICE_ACCOUNT_KEY, authority_params, write_private};

/// The files in `pki/` by name.
type Files = BTreeMap<String, String>;

/// Makes the files in `directory` those of the cluster that the store is of.
///
/// # Errors
/// The directory has those of another cluster, or the store or the files cannot be read or written.
pub(crate) async fn share(directory: &Path, store: &Store) -> anyhow::Result<()> {
    fs::create_dir_all(directory)?;
    store.catch_up().await.context("cannot read the cluster's keys from the store")?;
    let key = Key::new("coxswain.io", "pki", "", "cluster");
    let own = own(directory)?;
    let shared = match store.get(&key) {
        Some(entry) => readable(&entry)?,
        None => propose(store, key, own.as_ref()).await?,
    };
    let shared: Files =
        serde_json::from_slice(&shared).context("the cluster's keys in the store are damaged")?;
    for (name, content) in &shared {
        keep(&directory.join(name), content)?;
    }
    Ok(())
}

/// Puts `own` files, or new ones, into the store; answers those that are there then, which may be another server's.
async fn propose(store: &Store, key: Key, own: Option<&Files>) -> anyhow::Result<Vec<u8>> {
    let proposed = serde_json::to_vec(&own.cloned().map_or_else(new, Ok)?)?;
    let write = Write::Put(Value::whole(proposed.clone().into()));
    match store.commit(key, Precondition::Absent, write).await {
        Ok(_) => Ok(proposed),
        Err(CommitError::Exists(entry)) => readable(&entry),
        Err(error) => Err(error).context("cannot write the cluster's keys to the store"),
    }
}

fn readable(entry: &Entry) -> anyhow::Result<Vec<u8>> {
    match &entry.sealing {
        Sealing::Plain | Sealing::By(_) => Ok(entry.bytes.to_vec()),
        Sealing::Unreadable(why) => bail!(
            "the cluster's keys in the store are encrypted and cannot be read: {why}; give this server the \
             --encryption-provider-config of the others"
        ),
    }
}

/// Files that are there, if all are.
fn own(directory: &Path) -> anyhow::Result<Option<Files>> {
    let files: Vec<PathBuf> =
        [AUTHORITY, AUTHORITY_KEY, SERVICE_ACCOUNT_KEY].map(|name| directory.join(name)).into();
    if !files.iter().all(|file| file.exists()) {
        return Ok(None);
    }
    let read = |file: &PathBuf| Ok((name(file), text(file)?));
    files.iter().map(read).collect::<anyhow::Result<Files>>().map(Some)
}

fn new() -> anyhow::Result<Files> {
    let (authority, service_accounts) = (KeyPair::generate()?, KeyPair::generate()?);
    let certificate = authority_params().self_signed(&authority)?.pem();
    let files = [
        (AUTHORITY, certificate),
        (AUTHORITY_KEY, authority.serialize_pem()),
        (SERVICE_ACCOUNT_KEY, service_accounts.serialize_pem()),
    ];
    Ok(files.map(|(name, content)| (name.to_owned(), content)).into())
}

/// Writes a file that is not there; one that is must be the same.
fn keep(file: &Path, content: &str) -> anyhow::Result<()> {
    if !file.exists() {
        return write_private(file, content.as_bytes());
    }
    ensure!(
        text(file)? == content,
        "{} is not the one of the cluster in the store: this server was of another cluster. Give another --store-prefix, \
         or an empty --data-dir to join this one",
        file.display()
    );
    Ok(())
}

fn name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn text(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::super::Pki;
    use super::*;

    fn directory(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("coxswain-pki-{name}-{}", std::process::id()))
    }

    #[tokio::test]
    async fn the_first_server_gives_its_keys_and_the_others_take_them() {
        let store = Store::open(store::memory::new(), store::Options::default()).await.unwrap();
        let [first, second, stranger] = ["first", "second", "stranger"].map(directory);
        let before = Pki::open(&first).unwrap();
        share(&first, &store).await.unwrap();
        share(&second, &store).await.unwrap();
        share(&second, &store).await.unwrap();
        let taken = Pki::open(&second).unwrap();
        assert_eq!(taken.authority, before.authority);
        assert_eq!(taken.authority_key(), before.authority_key());
        assert_eq!(taken.service_account_key, before.service_account_key);
        Pki::open(&stranger).unwrap();
        let refused = share(&stranger, &store).await.unwrap_err().to_string();
        assert!(refused.contains("this server was of another cluster"), "{refused}");
        for directory in [first, second, stranger] {
            fs::remove_dir_all(directory).unwrap();
        }
    }

    #[tokio::test]
    async fn where_there_are_no_keys_new_ones_are_made() {
        let store = Store::open(store::memory::new(), store::Options::default()).await.unwrap();
        let directory = directory("new");
        share(&directory, &store).await.unwrap();
        Pki::open(&directory).unwrap();
        fs::remove_dir_all(directory).unwrap();
    }
}
