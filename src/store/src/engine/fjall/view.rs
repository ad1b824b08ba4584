//! The engine as it was at one moment: the layers in memory above the tables.

use bytes::Bytes;
use std::cmp::Ordering;
use std::iter::Peekable;
use std::sync::Arc;

use super::layers::{self, Pairs};
use crate::EngineError;
use crate::engine::{Pair, Snapshot};

pub(super) struct View<S> {
    /// Newest first.
    pub(super) layers: Vec<Pairs>,
    pub(super) tables: S,
    /// Keeps the tables as they were; goes after the tables' own snapshot.
    pub(super) _look: Arc<()>,
}

impl<S: Snapshot> Snapshot for View<S> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        if let Some(found) = self.layers.iter().find_map(|layer| layer.get(key)) {
            return Ok(found.clone());
        }
        self.tables.get(key)
    }

    fn scan<'a>(&'a self, from: &[u8], to: &[u8]) -> Box<dyn Iterator<Item = Pair> + 'a> {
        let tables = self.tables.scan(from, to);
        let layers = self.layers.iter().filter_map(|layer| {
            let mut pairs = layers::range(layer, from, to).peekable();
            pairs.peek().is_some().then_some(pairs)
        });
        let layers: Vec<_> = layers.collect();
        if layers.is_empty() {
            return tables;
        }
        Box::new(Merge { layers, tables: tables.peekable() })
    }
}

/// Several ordered sequences as one; where two have a key, the newer layer's counts.
struct Merge<L: Iterator, T: Iterator> {
    /// Newest first.
    layers: Vec<Peekable<L>>,
    tables: Peekable<T>,
}

impl<L, T> Merge<L, T>
where
    L: Iterator<Item = (Bytes, Option<Bytes>)>,
    T: Iterator<Item = Pair>,
{
    /// The next key of the layers, with what the newest of them says of it.
    fn next_of_layers(&mut self) -> Option<(Bytes, Option<Bytes>)> {
        let heads = self.layers.iter_mut().enumerate();
        let heads = heads.filter_map(|(at, layer)| Some((&layer.peek()?.0, at)));
        // Of equal keys the one that comes first is the newest.
        let (_, at) = heads.min()?;
        let [newest, older @ ..] = &mut self.layers[at..] else { return None };
        let next = newest.next()?;
        for layer in older {
            layer.next_if(|(other, _)| *other == next.0);
        }
        Some(next)
    }
}

impl<L, T> Iterator for Merge<L, T>
where
    L: Iterator<Item = (Bytes, Option<Bytes>)>,
    T: Iterator<Item = Pair>,
{
    type Item = Pair;

    fn next(&mut self) -> Option<Pair> {
        loop {
            let keys = self.layers.iter_mut().filter_map(|layer| layer.peek().map(|(key, _)| key));
            // Nothing is copied of it: most pairs are the tables'.
            let Some(key) = keys.min() else { return self.tables.next() };
            match self.tables.peek().map(|pair| pair.as_ref().map(|(below, _)| below.cmp(key))) {
                Some(Err(_) | Ok(Ordering::Less)) => return self.tables.next(),
                Some(Ok(Ordering::Equal)) => drop(self.tables.next()),
                Some(Ok(Ordering::Greater)) | None => {}
            }
            if let Some((key, Some(value))) = self.next_of_layers() {
                return Some(Ok((key, value)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Change;
    use std::collections::BTreeMap;

    fn pair(key: &str, value: Option<&str>) -> (Bytes, Option<Bytes>) {
        (key.to_owned().into(), value.map(|value| value.to_owned().into()))
    }

    fn check(layers: &[&[(&str, Option<&str>)]], tables: &[(&str, &str)], expected: &[(&str, &str)]) {
        let layer = |pairs: &&[(&str, Option<&str>)]| {
            let pairs: Vec<_> = pairs.iter().map(|(key, value)| pair(key, *value)).collect();
            pairs.into_iter().peekable()
        };
        let tables = tables
            .iter()
            .map(|(key, value)| Ok((Bytes::from(key.to_string()), Bytes::from(value.to_string()))));
        let merge = Merge { layers: layers.iter().map(layer).collect(), tables: tables.peekable() };
        let merged: Vec<_> = merge.map(Result::unwrap).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(key, value)| (Bytes::from(key.to_string()), Bytes::from(value.to_string())))
            .collect();
        assert_eq!(merged, expected);
    }

    #[test]
    fn the_newest_layer_decides_and_a_removal_hides_what_is_below() {
        check(&[], &[("a", "1")], &[("a", "1")]);
        check(&[&[("b", Some("2"))]], &[("a", "1"), ("c", "3")], &[("a", "1"), ("b", "2"), ("c", "3")]);
        check(&[&[("a", None)], &[("a", Some("2"))]], &[("a", "1"), ("b", "1")], &[("b", "1")]);
        check(&[&[("a", Some("3"))], &[("a", None), ("b", None)]], &[("a", "1"), ("b", "1")], &[("a", "3")]);
        check(&[&[("x", None)], &[("y", Some("2"))]], &[("w", "1")], &[("w", "1"), ("y", "2")]);
    }

    /// A merge tells what a map tells to which the same was done.
    #[test]
    fn layers_above_layers_are_what_was_written_last() {
        let layers = layers::Layers::default();
        let mut expected = BTreeMap::new();
        for number in 0..1000_u32 {
            let key = Bytes::from((number.wrapping_mul(7919) % 97).to_be_bytes().to_vec());
            let value = Bytes::from(number.to_be_bytes().to_vec());
            if number % 3 == 0 {
                expected.remove(&key);
                layers.add(vec![Change::Remove(key)]);
            } else {
                expected.insert(key.clone(), value.clone());
                layers.add(vec![Change::Put(key, value)]);
            }
            if number % 250 == 249 {
                layers.begin(u64::from(number));
            }
        }
        let (found, (), _look) = layers.view(|| ());
        let from = 10_u32.to_be_bytes();
        let layers = found.iter().map(|layer| layers::range(layer, &from, &[1]).peekable()).collect();
        let merge = Merge { layers, tables: std::iter::empty().peekable() };
        let merged: Vec<_> = merge.map(Result::unwrap).collect();
        let expected: Vec<_> = expected.into_iter().filter(|(key, _)| key[..] >= from[..]).collect();
        assert_eq!(merged, expected);
    }
}
