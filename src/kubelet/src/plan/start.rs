//! Starting a container, or waiting: for a failure to be tried again, or for the back-off after its last end.

use jiff::{SignedDuration, Timestamp};

use super::{Input, Plan, Step, Waiting};
use crate::{
    memory::{Failure, START_FAILED},
    observed::{Container, State},
    pod::{self, Role},
};

/// How long a pull failure is shown as such before it is shown as back-off.
const SHOW_PULL_ERROR: SignedDuration = SignedDuration::from_secs(5);
/// How long a failure to start is shown before the container is treated as one that ended: as long as upstream takes to
/// notice that it did (its relisting period).
const SHOW_START_ERROR: SignedDuration = SignedDuration::from_secs(1);

/// Starts one container, unless it must wait; then says why and until when.
pub(super) fn start(input: &Input<'_>, plan: &mut Plan, name: &str, role: Role, last: Option<&Container>) {
    if let Some(known) = input.memory.containers.get(name) {
        if known.is_pulling {
            return;
        }
        let exited = last.filter(|last| last.state == State::Exited);
        let again = known.failure.as_ref().map(|failure| (failure, retry_at(failure, exited)));
        if let Some((failure, retry_at)) = again.filter(|(_, retry_at)| *retry_at > input.now) {
            plan.wake(retry_at);
            let shown = plan.show_failure(name, failure, input);
            plan.waiting.insert(name.to_owned(), shown);
            return;
        }
        if let (Some(backoff), Some(finished)) = (known.backoff, exited.and_then(|last| last.finished_at)) {
            let until = finished + backoff.delay;
            if until > input.now {
                plan.wake(until);
                plan.waiting.insert(
                    name.to_owned(),
                    Waiting {
                        reason: "CrashLoopBackOff".into(),
                        message: format!(
                            "back-off {} restarting failed container={name} pod={}",
                            duration_text(backoff.delay),
                            pod::full_name(input.pod)
                        ),
                    },
                );
                return;
            }
        }
    }
    plan.steps.push(Step::Start { name: name.to_owned(), role });
}

/// When what failed is due again. What failed to start and therefore ended has its back-off to wait for, no more.
fn retry_at(failure: &Failure, exited: Option<&Container>) -> Timestamp {
    if failure.reason == START_FAILED && exited.is_some() {
        return failure.at + SHOW_START_ERROR;
    }
    failure.retry_at
}

/// A duration as Go prints it: `10s`, `1m20s`, `5m0s`.
fn duration_text(duration: SignedDuration) -> String {
    match (duration.as_secs() / 60, duration.as_secs() % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}

impl Plan {
    /// A failure in the words of the status: a pull that failed a while ago is a pull that backs off.
    fn show_failure(&mut self, name: &str, failure: &Failure, input: &Input<'_>) -> Waiting {
        let (reason, message) = (failure.reason, &failure.message);
        let back_off_from = failure.at + SHOW_PULL_ERROR;
        let is_pull = matches!(reason, "ErrImagePull" | "RegistryUnavailable" | "SignatureValidationFailed");
        if is_pull && input.now >= back_off_from {
            let image = pod::container(pod::spec(input.pod), name).and_then(|(_, spec)| spec.image);
            let message =
                format!("Back-off pulling image {:?}: {reason}: {message}", image.unwrap_or_default());
            return Waiting { reason: "ImagePullBackOff".into(), message };
        }
        if is_pull {
            self.wake(back_off_from);
        }
        Waiting { reason: reason.into(), message: message.clone() }
    }
}
