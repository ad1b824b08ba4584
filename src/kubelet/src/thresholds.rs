//! What a node keeps free: where it begins to say that it runs short, and where images that nobody uses go.
//!
//! Comes from the command line or the config file, in upstream's words and with upstream's defaults; the node's conditions,
//! its allocatable resources and the collector of images go by it. Measures nothing.

use std::{collections::BTreeMap, str::FromStr};

use machinery::quantity::Quantity;
use serde::Deserialize;

/// All thresholds of one kubelet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thresholds {
    /// Where a resource counts as short.
    pub eviction_hard: EvictionHard,
    /// When unused images go.
    pub image_gc: ImageGc,
}

/// The least that may be left of each resource (upstream: `evictionHard`). Given as a flag (`memory.available<100Mi,nodefs.available<10%`)
/// or as a map from signal to amount, it replaces all defaults; what it does not name is never short.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
pub struct EvictionHard(BTreeMap<Signal, Amount>);

/// What can be short; upstream's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Signal {
    MemoryAvailable,
    NodeFsAvailable,
    NodeFsInodesFree,
    ImageFsAvailable,
    ImageFsInodesFree,
    PidAvailable,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Amount {
    /// Bytes, or as many inodes or process numbers.
    Absolute(u64),
    /// Of all that there is: above 0, below 1.
    Share(f64),
}

/// Why thresholds are none.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum Error {
    /// Not `signal<amount`.
    #[error("malformed pair {0:?}, expect signal<amount")]
    Malformed(String),
    /// Nothing that a kubelet measures, or not on Linux, or not this one.
    #[error("unsupported eviction signal {0}")]
    UnknownSignal(String),
    /// Neither a quantity nor a percentage.
    #[error("eviction threshold {0} is neither a quantity nor a percentage: {1}")]
    NotAnAmount(String, String),
    /// 0 or less; a percentage may be 0, and then says nothing.
    #[error("eviction threshold {0} must be positive: {1}")]
    NotPositive(String, String),
    /// Not from 0% to 100%.
    #[error("eviction percentage threshold {0} must be >= 0% and <= 100%: {1}")]
    OutOfRange(String, String),
    /// A threshold of images that is no percentage, or a low one that is not below the high one.
    #[error(
        "--image-gc-low-threshold {low} must be less than --image-gc-high-threshold {high}, and both between 0 and 100"
    )]
    ImageGc {
        /// In percent.
        high: u8,
        /// In percent.
        low: u8,
    },
}

impl Signal {
    const ALL: [(&'static str, Self); 6] = [
        ("memory.available", Self::MemoryAvailable),
        ("nodefs.available", Self::NodeFsAvailable),
        ("nodefs.inodesFree", Self::NodeFsInodesFree),
        ("imagefs.available", Self::ImageFsAvailable),
        ("imagefs.inodesFree", Self::ImageFsInodesFree),
        ("pid.available", Self::PidAvailable),
    ];

    fn named(name: &str) -> Result<Self, Error> {
        let known = Self::ALL.into_iter().find(|(known, _)| *known == name);
        known.map(|(_, signal)| signal).ok_or_else(|| Error::UnknownSignal(name.to_owned()))
    }
}

impl Default for EvictionHard {
    fn default() -> Self {
        Self(BTreeMap::from([
            (Signal::MemoryAvailable, Amount::Absolute(100 << 20)),
            (Signal::NodeFsAvailable, Amount::Share(0.10)),
            (Signal::NodeFsInodesFree, Amount::Share(0.05)),
            (Signal::ImageFsAvailable, Amount::Share(0.15)),
            (Signal::ImageFsInodesFree, Amount::Share(0.05)),
            // Upstream has no default for it; without one the condition would say nothing.
            (Signal::PidAvailable, Amount::Share(0.05)),
        ]))
    }
}

impl EvictionHard {
    /// Whether less than the threshold is left; of nothing, nothing can be short.
    pub(crate) fn is_short(&self, signal: Signal, left: u64, whole: u64) -> bool {
        whole > 0 && left < self.kept(signal, whole)
    }

    /// How much of `whole` is to stay free.
    pub(crate) fn kept(&self, signal: Signal, whole: u64) -> u64 {
        match self.0.get(&signal) {
            None => 0,
            Some(Amount::Absolute(amount)) => *amount,
            Some(Amount::Share(share)) => (whole as f64 * share) as u64,
        }
    }
}

impl TryFrom<BTreeMap<String, String>> for EvictionHard {
    type Error = Error;

    fn try_from(statements: BTreeMap<String, String>) -> Result<Self, Error> {
        let mut thresholds = BTreeMap::new();
        for (name, value) in &statements {
            let signal = Signal::named(name)?;
            if let Some(amount) = amount(name, value)? {
                thresholds.insert(signal, amount);
            }
        }
        Ok(Self(thresholds))
    }
}

impl FromStr for EvictionHard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut statements = BTreeMap::new();
        for pair in text.split(',').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('<').ok_or_else(|| Error::Malformed(pair.to_owned()))?;
            statements.insert(name.trim().to_owned(), value.trim().to_owned());
        }
        statements.try_into()
    }
}

/// As upstream, 0% and 100% say that there is no threshold.
fn amount(name: &str, value: &str) -> Result<Option<Amount>, Error> {
    let wrong = |error: fn(String, String) -> Error| error(name.to_owned(), value.to_owned());
    if let Some(percent) = value.strip_suffix('%') {
        let percent: f64 = percent.parse().map_err(|_| wrong(Error::NotAnAmount))?;
        if !(0.0..=100.0).contains(&percent) {
            return Err(wrong(Error::OutOfRange));
        }
        return Ok((percent > 0.0 && percent < 100.0).then_some(Amount::Share(percent / 100.0)));
    }
    let quantity = Quantity::parse(value).map_err(|_| wrong(Error::NotAnAmount))?.value();
    match u64::try_from(quantity) {
        Ok(amount @ 1..) => Ok(Some(Amount::Absolute(amount))),
        _ => Err(wrong(Error::NotPositive)),
    }
}

/// How full the images' file system may become, in percent (upstream: `imageGCHighThresholdPercent` and its low counterpart).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageGc {
    high: u8,
    low: u8,
}

impl Default for ImageGc {
    fn default() -> Self {
        Self { high: 85, low: 80 }
    }
}

impl ImageGc {
    /// From `high` percent on, unused images go until `low` is reached; `None` is the default. A `high` of 100 keeps all images.
    ///
    /// # Errors
    /// [`Error::ImageGc`].
    pub fn new(high: Option<u8>, low: Option<u8>) -> Result<Self, Error> {
        let default = Self::default();
        let (high, low) = (high.unwrap_or(default.high), low.unwrap_or(default.low));
        if high > 100 || low >= high {
            return Err(Error::ImageGc { high, low });
        }
        Ok(Self { high, low })
    }

    /// How many bytes must become free on a file system.
    pub(crate) fn wanted(self, capacity_bytes: u64, available_bytes: u64) -> u64 {
        let used = available_bytes.min(capacity_bytes) * 100;
        let used_percent = 100 - used.checked_div(capacity_bytes).unwrap_or(100);
        if self.high == 100 || used_percent < u64::from(self.high) {
            return 0;
        }
        (capacity_bytes * u64::from(100 - self.low) / 100).saturating_sub(available_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<EvictionHard, String> {
        text.parse().map_err(|error: Error| error.to_string())
    }

    #[test]
    fn what_is_given_replaces_all_defaults() {
        let given = parse("memory.available<1Gi, nodefs.available < 12.5%,nodefs.inodesFree<1k").unwrap();
        assert_eq!(given.kept(Signal::MemoryAvailable, 4 << 30), 1 << 30);
        assert_eq!(given.kept(Signal::NodeFsAvailable, 1000), 125);
        assert_eq!(given.kept(Signal::NodeFsInodesFree, 5000), 1000);
        assert_eq!(given.kept(Signal::ImageFsAvailable, 1000), 0);
        assert_eq!(EvictionHard::default().kept(Signal::ImageFsAvailable, 1000), 150);
        let map = [("memory.available".to_owned(), "1Gi".to_owned())];
        assert_eq!(EvictionHard::try_from(BTreeMap::from(map)), "memory.available<1Gi".parse());
    }

    #[test]
    fn nothing_and_everything_in_percent_are_no_threshold() {
        let none = parse("").unwrap();
        assert_eq!(parse("memory.available<0%,pid.available<100%").unwrap(), none);
        assert!(!none.is_short(Signal::MemoryAvailable, 0, 100));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("memory.available=1Gi", "malformed pair \"memory.available=1Gi\", expect signal<amount"),
            ("memory.free<1Gi", "unsupported eviction signal memory.free"),
            ("nodefs.available<0", "eviction threshold nodefs.available must be positive: 0"),
            ("nodefs.available<-1Gi", "eviction threshold nodefs.available must be positive: -1Gi"),
            (
                "nodefs.available<101%",
                "eviction percentage threshold nodefs.available must be >= 0% and <= 100%: 101%",
            ),
            (
                "nodefs.available<much",
                "eviction threshold nodefs.available is neither a quantity nor a percentage: much",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), expected);
        }
        assert_eq!(ImageGc::new(Some(80), None), Err(Error::ImageGc { high: 80, low: 80 }));
        assert_eq!(ImageGc::new(Some(101), None), Err(Error::ImageGc { high: 101, low: 80 }));
    }

    #[test]
    fn images_go_from_the_high_threshold_to_the_low_one_and_none_with_100() {
        let wanted = |band: ImageGc| [500, 160, 150, 0].map(|available| band.wanted(1000, available));
        assert_eq!(wanted(ImageGc::default()), [0, 0, 50, 200]);
        assert_eq!(wanted(ImageGc::new(Some(50), Some(0)).unwrap()), [500, 840, 850, 1000]);
        assert_eq!(wanted(ImageGc::new(Some(100), None).unwrap()), [0; 4]);
    }
}
