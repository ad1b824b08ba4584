//! How long to wait before a failed item is tried again: client-go's default controller rate limiter.
//!
//! Per item the delay doubles with each failure; over all items a token bucket spreads a storm of failures. Pure: the
//! caller brings the time and does the waiting.

use std::{collections::HashMap, hash::Hash, time::Duration};

use tokio::time::Instant;

/// Limits of a rate limiter.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// Delay after the first failure of an item; it doubles with each further one.
    pub base: Duration,
    /// The delay never exceeds this.
    pub max: Duration,
    /// Failures per second that pass over all items once `burst` is used up; 0 for no such limit.
    pub rate: f64,
    /// Failures over all items that pass without delay.
    pub burst: f64,
}

/// 5 ms doubling to 1000 s per item, 10 per second with a burst of 100 over all (client-go's controller default).
impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_millis(5), max: Duration::from_secs(1000), rate: 10.0, burst: 100.0 }
    }
}

impl Backoff {
    /// Exponential per item, no limit over all.
    pub fn per_item(base: Duration, max: Duration) -> Self {
        Self { base, max, rate: 0.0, burst: 0.0 }
    }
}

/// The state of one rate limiter: failures per item and the bucket.
#[derive(Debug)]
pub(crate) struct RateLimiter<T> {
    limits: Backoff,
    failures: HashMap<T, u32>,
    tokens: f64,
    refilled: Option<Instant>,
}

impl<T: Eq + Hash + Clone> RateLimiter<T> {
    pub(crate) fn new(limits: Backoff) -> Self {
        Self { limits, failures: HashMap::new(), tokens: limits.burst, refilled: None }
    }

    /// Counts one more failure of `item` and says how long to wait.
    pub(crate) fn when(&mut self, item: &T, now: Instant) -> Duration {
        let failures = self.failures.entry(item.clone()).or_insert(0);
        let factor = 2f64.powi((*failures).min(62) as i32);
        *failures = failures.saturating_add(1);
        let own = Duration::try_from_secs_f64(self.limits.base.as_secs_f64() * factor)
            .unwrap_or(self.limits.max)
            .min(self.limits.max);
        own.max(self.reserve(now))
    }

    pub(crate) fn forget(&mut self, item: &T) {
        self.failures.remove(item);
    }

    pub(crate) fn failures(&self, item: &T) -> u32 {
        self.failures.get(item).copied().unwrap_or(0)
    }

    /// Takes one token, on credit where none is left, and says when the credit is repaid.
    fn reserve(&mut self, now: Instant) -> Duration {
        if self.limits.rate <= 0.0 {
            return Duration::ZERO;
        }
        let elapsed = self.refilled.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.refilled = Some(now);
        self.tokens = (self.tokens + elapsed.as_secs_f64() * self.limits.rate).min(self.limits.burst) - 1.0;
        match self.tokens < 0.0 {
            true => Duration::from_secs_f64(-self.tokens / self.limits.rate),
            false => Duration::ZERO,
        }
    }
}
