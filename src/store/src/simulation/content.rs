//! The bytes of one file of the simulated disk: as processes see them, and as the disk has them.

use rand::Rng;
use rand::rngs::StdRng;
use std::collections::BTreeSet;

/// What may survive of what was not synced is decided for so many bytes at a time.
const SECTOR: usize = 512;

#[derive(Clone, Default)]
pub(super) struct Content {
    /// In the kernel's memory.
    pub(super) seen: Vec<u8>,
    /// On the disk.
    durable: Vec<u8>,
    /// Sectors that the kernel knows it has to write. What a failed sync lost is not among them.
    dirty: BTreeSet<usize>,
}

impl Content {
    pub(super) fn write(&mut self, bytes: &[u8], at: usize) {
        let end = at + bytes.len();
        let from = if end > self.seen.len() { at.min(self.seen.len()) } else { at };
        self.seen.resize(self.seen.len().max(end), 0);
        self.seen[at..end].copy_from_slice(bytes);
        self.dirty.extend(from / SECTOR..end.div_ceil(SECTOR));
    }

    pub(super) fn set_len(&mut self, length: usize) {
        assert!(length <= self.seen.len(), "files of the journal do not grow in this way");
        self.seen.truncate(length);
        self.dirty.retain(|sector| sector * SECTOR < length);
    }

    pub(super) fn sync(&mut self) {
        self.durable.resize(self.seen.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            self.keep(sector);
        }
    }

    /// Some sectors become durable, each by this chance, and perhaps the length; the kernel may do that at any time.
    pub(super) fn write_back(&mut self, chance: f64, random: &mut StdRng) {
        if random.random_bool(chance) {
            self.durable.resize(self.seen.len(), 0);
        }
        for sector in self.dirty.clone() {
            if random.random_bool(chance) {
                self.dirty.remove(&sector);
                self.keep(sector);
            }
        }
    }

    /// A sync fails: some of it is done, and the kernel takes all of it for done.
    pub(super) fn fail_to_sync(&mut self, chance: f64, random: &mut StdRng) {
        self.write_back(chance, random);
        self.dirty.clear();
    }

    /// What is on the disk is all there is.
    pub(super) fn lose_memory(&mut self) {
        self.seen = self.durable.clone();
        self.dirty.clear();
    }

    pub(super) fn flip(&mut self, bit: usize) {
        for bytes in [&mut self.seen, &mut self.durable] {
            if let Some(byte) = bytes.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }

    /// Writes a sector to the disk, as far as the file has room for it there.
    fn keep(&mut self, sector: usize) {
        let from = sector * SECTOR;
        let end = (from + SECTOR).min(self.seen.len());
        if self.durable.len() < end {
            self.durable.resize(end, 0);
        }
        self.durable[from..end].copy_from_slice(&self.seen[from..end]);
    }
}
