//! Where a history begins that takes another one's place: after a restore, after a repair.
//!
//! Clients remember revisions of the one before, and of others that were begun in its place and given up: none of them may
//! name a state of the new one.

use std::time::Duration;

use crate::Revision;

/// For clocks that are wrong: what etcd's documentation puts between two histories, more than any store writes between two
/// snapshots or marks.
const AT_LEAST: Revision = 1_000_000_000;

/// Above `newest`, which is the newest revision that is known of what was there before, and above everything that any history
/// begun earlier can have reached since: this begins at the microseconds since the Unix epoch, and no store does a million
/// writes per second. Only where the clock is behind what is known it begins far above that instead.
pub(crate) fn beginning(newest: Revision, now: Duration) -> Revision {
    let microseconds = Revision::try_from(now.as_micros()).unwrap_or_default();
    if microseconds > newest { microseconds } else { newest.saturating_add(AT_LEAST) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: Duration = Duration::from_secs(1_800_000_000);
    const MINUTE: Duration = Duration::from_secs(60);
    /// Far more writes than a store does in a minute.
    const WRITTEN: Revision = 60 * 500_000;

    #[test]
    fn a_history_begins_above_all_that_others_in_its_place_can_have_reached() {
        let first = beginning(500, SAVED);
        // The same snapshot again, one of the restored store, that one again, and the first one once more.
        let second = beginning(500, SAVED + MINUTE);
        assert!(second > first + WRITTEN);
        let third = beginning(second + WRITTEN, SAVED + 2 * MINUTE);
        assert!(third > second + WRITTEN);
        let fourth = beginning(second + WRITTEN, SAVED + 3 * MINUTE);
        assert!(fourth > third + WRITTEN);
        assert!(beginning(500, SAVED + 4 * MINUTE) > fourth + WRITTEN);
    }

    #[test]
    fn a_clock_that_runs_behind_does_no_harm_to_what_is_known() {
        assert_eq!(beginning(500, Duration::ZERO), 1_000_000_500);
        let restored = beginning(500, SAVED);
        assert_eq!(beginning(restored, SAVED - MINUTE), restored + 1_000_000_000);
    }
}
