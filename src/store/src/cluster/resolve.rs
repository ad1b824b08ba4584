//! What became of a batch whose outcome the engine did not tell: a pure decision about what was read afterwards.
//!
//! Every batch rewrites `m/tip` under the condition that it still holds what the writer knew, so a batch is known to be
//! done when the tip has moved by exactly it, and known never to be done once anything else has rewritten that record.
//! A batch that was refused is looked for as well: it comes no more, but it may have been done before (`Written::Refused`).

use super::ledger::{Epoch, Tip};
use crate::Revision;

/// A batch on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    /// The epoch of its writer.
    pub(crate) epoch: Epoch,
    /// Its last revision.
    pub(crate) last: Revision,
    /// Whether it may still arrive: not once it was refused, nor once its writer has rewritten the tip.
    pub(crate) may_come: bool,
}

/// What is known about a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is durable.
    Done,
    /// It is not there and never will be.
    Void,
    /// It is not there and may still come: rewriting the tip will tell.
    Open,
}

/// Decides from a tip that was read after the batch was given up. `next` is the newest revision of the writer's epoch, if
/// that is over.
pub(crate) fn verdict(pending: Pending, seen: &Tip, next: Option<Revision>) -> Verdict {
    match next {
        // Whoever took over rewrote the tip, with everything before it in.
        Some(began) if began >= pending.last => Verdict::Done,
        Some(_) => Verdict::Void,
        // Within its epoch only the writer itself moves the revision.
        None if seen.revision >= pending.last => Verdict::Done,
        None if pending.may_come => Verdict::Open,
        None => Verdict::Void,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(seen: (Epoch, Revision), next: Option<Revision>, may_come: bool, expected: Verdict) {
        let seen = Tip { epoch: seen.0, revision: seen.1, ..Tip::default() };
        let pending = Pending { epoch: 4, last: 12, may_come };
        assert_eq!(verdict(pending, &seen, next), expected, "{pending:?} {seen:?} {next:?}");
    }

    #[test]
    fn a_batch_whose_revision_is_the_tip_is_done() {
        check((4, 12), None, true, Verdict::Done);
        check((4, 12), None, false, Verdict::Done);
    }

    #[test]
    fn a_batch_that_is_not_there_stays_open_until_it_was_refused_or_the_tip_rewritten() {
        check((4, 9), None, true, Verdict::Open);
        check((4, 9), None, false, Verdict::Void);
    }

    #[test]
    fn the_epoch_that_follows_decides_however_far_it_and_others_have_come() {
        check((5, 40), Some(12), true, Verdict::Done);
        check((9, 40), Some(12), true, Verdict::Done);
        check((5, 40), Some(9), true, Verdict::Void);
        check((5, 9), Some(9), false, Verdict::Void);
    }
}
