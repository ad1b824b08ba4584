//! The calls of the simulated system, each with its name, on the simulated disk. There are no threads: what comes to its end
//! by itself is done at once or when it is needed, as the seed says, and the rest by whoever drives the process.

use rand::Rng;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use super::disk::{Disk, Node, State};
use super::faults::Point;
use crate::engine::fjall::system::{Begun, File, System};

/// What files are for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Journal,
    Adopted,
    Torn,
    Mark,
    /// Nothing any more.
    Removed,
}

impl Kind {
    pub(super) fn of(path: &Path) -> Self {
        let name = path.file_name().and_then(|name| name.to_str()).expect("files have readable names");
        match name {
            "adopted" => Self::Adopted,
            "acknowledged" => Self::Mark,
            _ if name.starts_with("torn-") => Self::Torn,
            _ if name.ends_with(".jnl") => Self::Journal,
            _ => panic!("nobody knows what {name} is for"),
        }
    }
}

impl System for Disk {
    type File = Handle;

    fn names(&self, directory: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let within = state.names.keys().filter(|path| path.parent() == Some(directory));
        let name = |path: &PathBuf| path.file_name().expect("it is in a directory").to_string_lossy().into();
        Ok(within.map(name).collect())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut state = self.state();
        let file = state.file(path)?;
        Ok(state.content(file).seen.clone())
    }

    fn create_new(&self, path: &Path) -> io::Result<Handle> {
        let (begin, keep) = match Kind::of(path) {
            Kind::Journal => (Point::Begin, Point::KeepBegun),
            Kind::Adopted => (Point::BeginAdopted, Point::KeepAdopted),
            _ => (Point::BeginTorn, Point::KeepTorn),
        };
        let file = self.call(
            |_| begin,
            |state, chance| {
                state.name(path, keep);
                if state.happens(chance) { state.create(path) } else { Ok(0) }
            },
        )?;
        Ok(Handle { disk: self.clone(), file })
    }

    fn open(&self, path: &Path) -> io::Result<Handle> {
        let file = self.state().file(path)?;
        Ok(Handle { disk: self.clone(), file })
    }

    /// Only one process is there at a time.
    fn lock(&self, path: &Path) -> io::Result<Option<Handle>> {
        let mut state = self.state();
        let file = state.file(path).or_else(|_| state.create(path))?;
        Ok(Some(Handle { disk: self.clone(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(
            |_| Point::Adopt,
            |state, chance| {
                state.name(to, Point::KeepAdopted);
                let node = state.node(from)?;
                if state.happens(chance) {
                    state.names.remove(from);
                    state.names.insert(to.to_owned(), node);
                }
                Ok(())
            },
        )
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let (point, keep) = match Kind::of(path) {
            Kind::Journal => (Point::Remove, Point::KeepRemoved),
            // A process that was killed takes nothing with it, though what it was is dropped.
            _ if self.has_ended() => return Ok(()),
            _ => (Point::BeginAdopted, Point::KeepAdopted),
        };
        self.call(
            |_| point,
            |state, chance| {
                state.name(path, keep);
                state.node(path)?;
                if state.happens(chance) {
                    state.names.remove(path);
                }
                Ok(())
            },
        )
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.call(
            |_| Point::MakeDirectory,
            |state, chance| {
                state.name(path, Point::KeepDirectory);
                if state.happens(chance) {
                    state.names.insert(path.to_owned(), Node::Directory);
                }
                Ok(())
            },
        )
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.call(
            |state| state.named(path),
            |state, chance| {
                if state.left_out == Some(state.named(path)) {
                    return Ok(());
                }
                let known: BTreeSet<_> =
                    state.names.keys().chain(state.durable_names.keys()).cloned().collect();
                for name in known.into_iter().filter(|name| name.parent() == Some(path)) {
                    if !state.happens(chance) {
                        continue;
                    }
                    match state.names.get(&name).copied() {
                        Some(node) => state.durable_names.insert(name, node),
                        None => state.durable_names.remove(&name),
                    };
                }
                Ok(())
            },
        )
    }

    fn allocated(&self, directory: &Path) -> io::Result<u64> {
        let files = self.state().seen();
        let below = files.iter().filter(|(path, _)| path.starts_with(directory));
        Ok(below.map(|(_, bytes)| bytes.len() as u64).sum())
    }

    fn spawn(&self, _: &str, _: impl FnOnce() + Send + 'static) -> io::Result<Option<JoinHandle<()>>> {
        Ok(None)
    }

    fn begin<T: Send + 'static>(
        &self,
        _: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<Begun<T>> {
        let is_done = self.state().random.random_bool(0.5);
        is_done.then(|| {
            let done = work();
            Box::new(move || Ok(done)) as Begun<T>
        })
    }
}

/// An open file.
pub(super) struct Handle {
    disk: Disk,
    file: u64,
}

impl Handle {
    fn sync(&self, is_data: bool) -> io::Result<()> {
        let name = |state: &State| match state.kind(self.file) {
            Kind::Journal if is_data => Point::Sync,
            Kind::Journal | Kind::Removed => Point::Finish,
            Kind::Adopted => Point::SyncAdopted,
            Kind::Torn => Point::SyncTorn,
            Kind::Mark => Point::SyncMark,
        };
        let point = name(&self.disk.state());
        self.disk.call(name, |state, chance| {
            let State { contents, random, left_out, .. } = state;
            let content = contents.get_mut(&self.file).expect("files that are open are kept");
            match () {
                () if *left_out == Some(point) => {}
                () if chance == 1.0 => content.sync(),
                () => content.fail_to_sync(chance, random),
            }
            Ok(())
        })
    }
}

impl File for Handle {
    fn read_exact(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let (at, content) = (usize::try_from(at).unwrap(), state.content(self.file));
        let found = content.seen.get(at..at + bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(found);
        Ok(())
    }

    fn write_all(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let at = usize::try_from(at).unwrap();
        let name = |state: &State| match state.kind(self.file) {
            Kind::Journal | Kind::Removed if bytes.iter().all(|&byte| byte == 0) => Point::Fill,
            Kind::Journal | Kind::Removed => Point::Append,
            Kind::Adopted => Point::WriteAdopted,
            Kind::Torn => Point::WriteTorn,
            Kind::Mark => Point::Mark,
        };
        self.disk.call(name, |state, chance| {
            // What is within a sector is written whole or not at all.
            let part = if bytes.len() <= 16 {
                bytes.len() * usize::from(state.happens(chance))
            } else {
                (bytes.len() as f64 * chance) as usize
            };
            let room = state.content(self.file).seen.len().saturating_sub(at);
            let written = if state.is_full { part.min(room) } else { part };
            state.content(self.file).write(&bytes[..written], at);
            if state.random.random_bool(0.05) {
                let State { contents, random, .. } = state;
                contents.get_mut(&self.file).expect("it was written to").write_back(0.5, random);
            }
            if written < part { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.disk.call(
            |_| Point::Shorten,
            |state, chance| {
                if state.happens(chance) {
                    state.content(self.file).set_len(usize::try_from(length).unwrap());
                }
                Ok(())
            },
        )
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync(true)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync(false)
    }
}
