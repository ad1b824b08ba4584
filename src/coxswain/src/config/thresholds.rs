//! What a node keeps free, as server and agent are told alike: upstream's flags, and the same names in a config file.

use clap::Args;
use kubelet::{EvictionHard, ImageGc, Thresholds};
use serde::Deserialize;

/// The flags. The last of several wins.
#[derive(Args, Deserialize, Default, Debug)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct ThresholdOptions {
    /// Below what the node counts as short, such as `memory.available<100Mi,nodefs.available<10%`; replaces all defaults
    #[arg(long, value_name = "SIGNAL<AMOUNT,...", overrides_with = "eviction_hard")]
    eviction_hard: Option<EvictionHard>,
    /// How full, in percent, a disk is when unused images begin to go; 100 keeps them [default: 85]
    #[arg(long, value_name = "PERCENT", overrides_with = "image_gc_high_threshold")]
    image_gc_high_threshold: Option<u8>,
    /// How full it is when they stop to go [default: 80]
    #[arg(long, value_name = "PERCENT", overrides_with = "image_gc_low_threshold")]
    image_gc_low_threshold: Option<u8>,
}

impl ThresholdOptions {
    /// These, and `file` where they say nothing.
    pub(super) fn or(self, file: Self) -> Self {
        Self {
            eviction_hard: self.eviction_hard.or(file.eviction_hard),
            image_gc_high_threshold: self.image_gc_high_threshold.or(file.image_gc_high_threshold),
            image_gc_low_threshold: self.image_gc_low_threshold.or(file.image_gc_low_threshold),
        }
    }

    /// What the kubelet is told.
    ///
    /// # Errors
    /// Thresholds of images that do not go together.
    pub(crate) fn resolve(&self) -> Result<Thresholds, kubelet::ThresholdsError> {
        Ok(Thresholds {
            eviction_hard: self.eviction_hard.clone().unwrap_or_default(),
            image_gc: ImageGc::new(self.image_gc_high_threshold, self.image_gc_low_threshold)?,
        })
    }
}
