//! Which versions may work together: an agent is never newer than its server, and at most three minor versions older
//! (upstream's version skew policy). Pure.

use anyhow::{Context, ensure};

/// How many minor versions an agent may be older than the server.
const OLDER: u32 = 3;

/// Compares the agent's version with the server's, both as `/version` has them: `v1.36.3+coxswain0.1.0`.
///
/// # Errors
/// The agent is newer, or too old; or a version cannot be read.
pub(super) fn check(own: &str, server: &str) -> anyhow::Result<()> {
    let (mine, theirs) = (minor(own)?, minor(server)?);
    ensure!(
        mine <= theirs,
        "this agent ({own}) is newer than its server ({server}): bring the server up to date first, then its agents"
    );
    ensure!(
        theirs - mine <= OLDER,
        "this agent ({own}) is more than {OLDER} minor versions older than its server ({server}): bring it up to date"
    );
    Ok(())
}

/// The second number; there is only one first.
fn minor(version: &str) -> anyhow::Result<u32> {
    let numbers = version.strip_prefix("v1.").and_then(|rest| rest.split('.').next());
    numbers
        .and_then(|minor| minor.parse().ok())
        .with_context(|| format!("{version:?} is no version of Kubernetes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_pair(own: &str, server: &str, expected: Result<(), &str>) {
        match (check(own, server), expected) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (outcome, expected) => panic!("{own} {server}: {outcome:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn an_agent_is_not_newer_and_at_most_three_versions_older() {
        check_pair("v1.36.3+coxswain0.1.0", "v1.36.0", Ok(()));
        check_pair("v1.33.9", "v1.36.3", Ok(()));
        check_pair("v1.37.0", "v1.36.3", Err("is newer than its server (v1.36.3)"));
        check_pair("v1.32.0", "v1.36.3", Err("more than 3 minor versions older"));
        check_pair("v1.36.3", "2.0", Err("no version of Kubernetes"));
    }
}
