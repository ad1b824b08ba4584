//! Where a container is in its life, and how that is read from its files.

use std::path::Path;

use cri::v1;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::files;
use crate::process::Identity;

pub(super) const OUTCOME_FILE: &str = "outcome.json";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Prepared; nothing runs.
    Created,
    Running {
        identity: Identity,
        started_at_ns: i64,
    },
    Exited(Outcome),
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    /// 0 when it never ran.
    pub(crate) started_at_ns: i64,
    pub(crate) finished_at_ns: i64,
    /// `Completed`, `Error`, `OOMKilled`, `StartError`, `Unknown`: the kubelet passes them on.
    pub(crate) reason: String,
    pub(crate) message: String,
}

impl Outcome {
    /// Of a process that ended by itself or by a signal.
    pub(crate) fn of_exit(code: i32, started_at_ns: i64, finished_at_ns: i64, was_oom: bool) -> Self {
        let reason = match (was_oom, code) {
            (true, _) => "OOMKilled",
            (false, 0) => "Completed",
            (false, _) => "Error",
        };
        Self { code, started_at_ns, finished_at_ns, reason: reason.to_owned(), message: String::new() }
    }

    /// Of a container that could not be started.
    pub(crate) fn of_failed_start(message: String, now_ns: i64) -> Self {
        Self { code: 128, started_at_ns: 0, finished_at_ns: now_ns, reason: "StartError".to_owned(), message }
    }

    /// Of a process that vanished with nobody there to see how.
    pub(crate) fn unknown(started_at_ns: i64, now_ns: i64) -> Self {
        Self {
            code: 255,
            started_at_ns,
            finished_at_ns: now_ns,
            reason: "Unknown".to_owned(),
            message: String::new(),
        }
    }
}

impl State {
    /// What the files in a container's directory say. A process that is gone without a word still counts as running here:
    /// its monitor may be about to write.
    pub(crate) fn read(directory: &Path) -> Result<Self> {
        if let Some(outcome) = files::read_json(&directory.join(OUTCOME_FILE))? {
            return Ok(Self::Exited(outcome));
        }
        let started = files::read_text(&directory.join("pid"))?;
        let started_at_ns = started.as_deref().map_or(0, |text| number(text, 2));
        if let Some(exit) = files::read_text(&directory.join("exit"))? {
            let code = i32::try_from(number(&exit, 0)).unwrap_or(255);
            return Ok(Self::Exited(Outcome::of_exit(code, started_at_ns, number(&exit, 1), false)));
        }
        let identity = started.and_then(|text| text.parse::<Identity>().ok());
        Ok(identity.map_or(Self::Created, |identity| Self::Running { identity, started_at_ns }))
    }

    pub(crate) fn code(&self) -> v1::ContainerState {
        match self {
            Self::Created => v1::ContainerState::ContainerCreated,
            Self::Running { .. } => v1::ContainerState::ContainerRunning,
            Self::Exited(_) => v1::ContainerState::ContainerExited,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.code().as_str_name()
    }
}

/// The word at `index` of a text of numbers.
fn number(text: &str, index: usize) -> i64 {
    text.split_whitespace().nth(index).and_then(|word| word.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn check(files: &[(&str, &str)], expected: &State) {
        let scratch = Scratch::new();
        for (name, text) in files {
            std::fs::write(scratch.path().join(name), text).unwrap();
        }
        assert_eq!(State::read(scratch.path()).unwrap(), *expected);
    }

    #[test]
    fn the_state_is_what_the_files_say() {
        check(&[], &State::Created);
        let identity = Identity { pid: 7, ticks: 8 };
        check(&[("pid", "7 8 9\n")], &State::Running { identity, started_at_ns: 9 });
        let ended = State::Exited(Outcome::of_exit(3, 9, 10, false));
        check(&[("pid", "7 8 9\n"), ("exit", "3 10\n")], &ended);
        let failed = Outcome::of_failed_start("no".to_owned(), 5);
        let text = serde_json::to_string(&failed).unwrap();
        check(&[("pid", "7 8 9\n"), ("exit", "137 10\n"), ("outcome.json", &text)], &State::Exited(failed));
    }
}
