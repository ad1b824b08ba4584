//! When a follower should try to become the owner: a pure state machine over what it sees and its own clock.
//!
//! Nothing depends on it but how soon somebody writes again: taking over is safe at any time, since the old owner's
//! next batch fails then. So it may be wrong, but it should not be wrong often, and two servers that cannot reach each
//! other must not take ownership from one another for ever: an owner that shows signs of life in the engine is left alone.

use std::time::Duration;

use super::ledger::{Standing, Tip};

/// How often an owner shows that it is there.
pub(crate) const BEAT: Duration = Duration::from_secs(1);
/// How long an owner may be silent whose connection was closed or refused: its process is most likely gone.
const GONE: Duration = Duration::from_millis(1500);
/// How long an owner may be silent of which nothing is heard at all.
const SILENT: Duration = Duration::from_secs(7);
/// How often the engine is looked at while there is doubt.
const LOOK: Duration = Duration::from_millis(250);

/// The connection to the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// It answers.
    Up,
    /// It does not answer and nothing says why.
    Silent,
    /// It was closed or refused.
    Broken,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing; the owner is there.
    Wait,
    /// Read the tip.
    Look,
    /// Take over.
    Stand,
}

#[derive(Debug)]
pub(crate) struct Watchdog {
    link: Link,
    seen: Tip,
    /// When a look first found the tip as it is.
    changed: Duration,
    looked: Option<Duration>,
}

impl Watchdog {
    pub(crate) fn new(seen: Tip, now: Duration) -> Self {
        Self { link: Link::Silent, seen, changed: now, looked: None }
    }

    /// What is known of the connection to the owner.
    pub(crate) fn link(&mut self, link: Link) {
        if self.link == Link::Up && link != Link::Up {
            // What was seen while all was well says nothing about how long the owner has been silent.
            self.looked = None;
        }
        self.link = link;
    }

    /// A look at the engine has found this tip.
    pub(crate) fn saw(&mut self, tip: Tip, now: Duration) {
        if self.seen != tip || self.looked.is_none() {
            self.changed = now;
        }
        if self.seen.epoch != tip.epoch {
            // Another owner, of which nothing has been heard yet.
            self.link = Link::Silent;
        }
        self.seen = tip;
        self.looked = Some(now);
    }

    pub(crate) fn seen(&self) -> Tip {
        self.seen
    }

    pub(crate) fn next(&self, now: Duration) -> Step {
        let Some(looked) = self.looked else {
            return if self.link == Link::Up { Step::Wait } else { Step::Look };
        };
        let patience = match (self.seen.standing, self.link) {
            // Nobody may; when that ends, the tip says so.
            (Standing::Sealed, _) => Duration::MAX,
            (Standing::Released, _) => return Step::Stand,
            _ if self.seen.epoch == 0 => return Step::Stand,
            (_, Link::Up) => return Step::Wait,
            (_, Link::Silent) => SILENT,
            (_, Link::Broken) => GONE,
        };
        if looked.saturating_sub(self.changed) >= patience {
            Step::Stand
        } else if now.saturating_sub(looked) >= LOOK {
            Step::Look
        } else {
            Step::Wait
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tip(epoch: u64, beat: u64) -> Tip {
        Tip { epoch, revision: 9, beat, standing: Standing::Held }
    }

    /// Lets time pass in small steps, looking whenever that is asked for, until it stands or the time is over.
    fn stands_after(
        watchdog: &mut Watchdog,
        from: Duration,
        look: impl Fn(Duration) -> Tip,
    ) -> Option<Duration> {
        for step in 0..2000 {
            let now = from + Duration::from_millis(10 * step);
            match watchdog.next(now) {
                Step::Wait => {}
                Step::Look => watchdog.saw(look(now), now),
                Step::Stand => return Some(now - from),
            }
        }
        None
    }

    const START: Duration = Duration::from_secs(100);

    #[test]
    fn the_first_owner_and_the_heir_of_one_that_released_do_not_wait() {
        let mut first = Watchdog::new(Tip::default(), START);
        assert!(stands_after(&mut first, START, |_| Tip::default()).unwrap() < LOOK);
        let released = Tip { standing: Standing::Released, ..tip(3, 7) };
        let mut heir = Watchdog::new(tip(3, 7), START);
        assert!(stands_after(&mut heir, START, |_| released).unwrap() < LOOK);
    }

    #[test]
    fn nobody_stands_over_what_is_sealed_until_it_is_no_longer() {
        let sealed = Tip { standing: Standing::Sealed, ..tip(3, 7) };
        let mut watchdog = Watchdog::new(tip(3, 7), START);
        watchdog.link(Link::Broken);
        let opened = START + Duration::from_secs(15);
        let standing = |now| if now < opened { Standing::Sealed } else { Standing::Released };
        let look = |now| Tip { standing: standing(now), ..sealed };
        assert!(stands_after(&mut watchdog, START, look).unwrap() >= opened - START);
    }

    #[test]
    fn an_owner_that_answers_is_not_even_looked_at() {
        let mut watchdog = Watchdog::new(tip(3, 7), START);
        watchdog.link(Link::Up);
        assert_eq!(stands_after(&mut watchdog, START, |_| panic!("looked")), None);
    }

    #[test]
    fn an_owner_that_was_killed_is_followed_within_two_seconds_however_long_nothing_was_written() {
        let mut watchdog = Watchdog::new(tip(3, 7), START);
        watchdog.link(Link::Up);
        watchdog.saw(tip(3, 7), START);
        let killed = START + Duration::from_secs(3600);
        watchdog.link(Link::Broken);
        let stood = stands_after(&mut watchdog, killed, |_| tip(3, 7)).unwrap();
        assert!(stood >= GONE && stood < Duration::from_secs(2), "{stood:?}");
    }

    #[test]
    fn an_owner_that_falls_silent_is_followed_within_ten_seconds() {
        let mut watchdog = Watchdog::new(tip(3, 7), START);
        watchdog.link(Link::Up);
        watchdog.link(Link::Silent);
        let stood = stands_after(&mut watchdog, START, |_| tip(3, 8)).unwrap();
        assert!(stood >= SILENT && stood < Duration::from_secs(10), "{stood:?}");
    }

    #[test]
    fn an_owner_that_cannot_be_reached_but_beats_is_left_alone() {
        for link in [Link::Silent, Link::Broken] {
            let mut watchdog = Watchdog::new(tip(3, 7), START);
            watchdog.link(link);
            assert_eq!(stands_after(&mut watchdog, START, |now| tip(3, now.as_secs())), None);
        }
    }

    #[test]
    fn a_new_owner_gets_its_own_time() {
        let mut watchdog = Watchdog::new(tip(3, 7), START);
        watchdog.link(Link::Broken);
        watchdog.saw(tip(3, 7), START);
        watchdog.saw(tip(4, 0), START + GONE);
        assert_ne!(watchdog.next(START + GONE + GONE), Step::Stand);
    }
}
