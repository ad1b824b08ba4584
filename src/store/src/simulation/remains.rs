//! What remains on the simulated disk when a process has ended: after a power cut, and after a bit has flipped meanwhile.

use rand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::disk::{Node, State};
use super::faults::Point;
use super::system::Kind;
use super::tables::Stack;

impl State {
    /// A power cut.
    pub(super) fn lose_memory(&mut self) {
        let chance = self.chance();
        let paths: BTreeSet<_> = self.names.keys().chain(self.durable_names.keys()).cloned().collect();
        for path in paths {
            let survives = self.random.random_bool(chance);
            let node = if survives { self.names.get(&path) } else { self.durable_names.get(&path) }.copied();
            match node {
                // What is in a directory goes with it; that is before it in the order.
                Some(node) if path.parent().is_none_or(|parent| self.durable_names.contains_key(parent)) => {
                    self.durable_names.insert(path, node)
                }
                _ => self.durable_names.remove(&path),
            };
        }
        self.names = self.durable_names.clone();
        let chance = self.chance();
        let named: Vec<_> = self.names.values().copied().collect();
        self.contents.retain(|file, _| named.contains(&Node::File(*file)));
        for content in self.contents.values_mut() {
            content.write_back(chance, &mut self.random);
            content.lose_memory();
        }
        if self.left_out == Some(Point::Ingest) {
            self.tables = Stack::default();
        }
    }

    /// That something survives: all, none, or one by one.
    fn chance(&mut self) -> f64 {
        [0.0, 0.5, 0.9, 1.0][self.random.random_range(0..4)]
    }

    /// All files as a process sees them.
    pub(super) fn seen(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = self.names.iter().filter_map(|(path, node)| match node {
            Node::File(file) => Some((path.clone(), self.contents[file].seen.clone())),
            Node::Directory => None,
        });
        files.collect()
    }

    /// All of them but the new file of an adoption, which anybody may remove.
    pub(super) fn evidence(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = self.seen();
        files.retain(|path, _| Kind::of(path) != Kind::Adopted);
        files
    }

    /// Whether there is such a file.
    pub(super) fn is_adopting(&self) -> bool {
        let mut files = self.names.iter().filter(|(_, node)| matches!(node, Node::File(_)));
        files.any(|(path, _)| Kind::of(path) == Kind::Adopted)
    }

    /// A bit of the journal becomes another; `None` when there is no journal.
    pub(super) fn flip(&mut self) -> Option<String> {
        let mut journal = self.seen();
        journal.retain(|path, _| Kind::of(path) == Kind::Journal);
        let journal: Vec<_> = journal.into_iter().collect();
        let (path, bytes) = journal.get(self.random.random_range(0..journal.len().max(1)))?;
        let end = bytes.iter().rposition(|&byte| byte != 0)? + 1;
        let (file, bit) = (self.file(path).ok()?, self.random.random_range(0..end * 8));
        self.content(file).flip(bit);
        Some(format!("bit {bit} of {}", path.display()))
    }
}
