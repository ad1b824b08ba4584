//! Which sandbox has which address, in one small file per sandbox.
//!
//! The directory is the truth: a record is written whole or not at all (write, rename) before anything is made with
//! its address, and removed after that is gone. Addresses are given in turn, so that one that was freed rests as long
//! as possible. Knows no links.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use ipnet::Ipv4Net;

use crate::Error;

/// The file of the address given last.
const LAST: &str = "last";
/// The folder of the records: file name sandbox, content address.
const SANDBOXES: &str = "sandboxes";

/// The address records of one node.
#[derive(Debug)]
pub(super) struct Addresses {
    state: PathBuf,
    network: Option<Ipv4Net>,
    by_sandbox: HashMap<String, Ipv4Addr>,
    taken: BTreeMap<Ipv4Addr, String>,
    last: Option<Ipv4Addr>,
}

impl Addresses {
    /// Reads the records, making the directory where there is none.
    pub(super) fn open(state: PathBuf) -> Result<Self, Error> {
        let sandboxes = state.join(SANDBOXES);
        fs::create_dir_all(&sandboxes).map_err(Error::io(format!("making {}", sandboxes.display())))?;
        let mut addresses = Self {
            last: read(&state.join(LAST))?,
            state,
            network: None,
            by_sandbox: HashMap::new(),
            taken: BTreeMap::new(),
        };
        for entry in
            fs::read_dir(&sandboxes).map_err(Error::io(format!("reading {}", sandboxes.display())))?
        {
            let entry = entry.map_err(Error::io(format!("reading {}", sandboxes.display())))?;
            addresses.load(&entry.path())?;
        }
        Ok(addresses)
    }

    fn load(&mut self, path: &Path) -> Result<(), Error> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(".new") {
            return fs::remove_file(path).map_err(Error::io(format!("removing {}", path.display())));
        }
        if let Some(address) = read(path)? {
            self.by_sandbox.insert(name.to_owned(), address);
            self.taken.insert(address, name.to_owned());
        }
        Ok(())
    }

    /// Sets the network that addresses are taken from. Addresses given before stay.
    pub(super) fn set_network(&mut self, network: Ipv4Net) -> Result<(), Error> {
        if network.prefix_len() > 30 {
            return Err(Error::PodCidr(network.to_string()));
        }
        self.network = Some(network.trunc());
        Ok(())
    }

    /// The sandbox's address: the one it has, or else the next free one.
    pub(super) fn assign(&mut self, sandbox: &str) -> Result<Ipv4Addr, Error> {
        if let Some(address) = self.by_sandbox.get(sandbox) {
            return Ok(*address);
        }
        let network = self.network.ok_or(Error::NotConfigured)?;
        let address = self.next_free(network).ok_or(Error::Exhausted(network))?;
        write(&self.record(sandbox), address)?;
        write(&self.state.join(LAST), address)?;
        self.last = Some(address);
        self.by_sandbox.insert(sandbox.to_owned(), address);
        self.taken.insert(address, sandbox.to_owned());
        Ok(address)
    }

    /// Gives the sandbox's address back, if it has one.
    pub(super) fn free(&mut self, sandbox: &str) -> Result<(), Error> {
        let record = self.record(sandbox);
        match fs::remove_file(&record) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io(format!("removing {}", record.display()))(error));
            }
            _ => {}
        }
        if let Some(address) = self.by_sandbox.remove(sandbox) {
            self.taken.remove(&address);
        }
        Ok(())
    }

    fn record(&self, sandbox: &str) -> PathBuf {
        self.state.join(SANDBOXES).join(sandbox)
    }

    /// The first free address after the one given last, from the start again after the end.
    fn next_free(&self, network: Ipv4Net) -> Option<Ipv4Addr> {
        let (first, end) = (u32::from(network.network()) + 1, u32::from(network.broadcast()));
        let after_last = self.last.map_or(first, |last| u32::from(last).saturating_add(1)).clamp(first, end);
        let candidates = (after_last..end).chain(first..after_last).map(Ipv4Addr::from);
        candidates.into_iter().find(|address| !self.taken.contains_key(address))
    }
}

/// The address in a file; `None` where the file is missing, or empty as a machine that lost power leaves it.
fn read(path: &Path) -> Result<Option<Ipv4Addr>, Error> {
    match fs::read_to_string(path) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => text.trim().parse().map(Some).map_err(|_| Error::Record {
            path: path.to_owned(),
            reason: format!("{text:?} is not an address"),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(format!("reading {}", path.display()))(error)),
    }
}

fn write(path: &Path, address: Ipv4Addr) -> Result<(), Error> {
    let new = path.with_added_extension("new");
    fs::write(&new, address.to_string())
        .and_then(|()| fs::rename(&new, path))
        .map_err(Error::io(format!("writing {}", path.display())))
}

#[cfg(test)]
mod tests;
