//! Whether two machines agree on the time. Certificates say from when until when they are good, so a clock that is minutes
//! off makes good ones look wrong, on one side only. Pure.

use anyhow::bail;
use jiff::{SignedDuration, Timestamp};

/// The signer backdates certificates by so much: a clock that is less behind takes them.
const TOLERATED: SignedDuration = SignedDuration::from_mins(5);

/// Compares this machine's clock with the server's.
///
/// # Errors
/// They are more than five minutes apart.
pub(super) fn check(own: Timestamp, server: Timestamp) -> anyhow::Result<()> {
    let ahead = own.duration_since(server);
    if ahead.abs() <= TOLERATED {
        return Ok(());
    }
    let minutes = (ahead.abs().as_secs() + 30) / 60;
    let direction = if ahead.is_positive() { "ahead of" } else { "behind" };
    bail!(
        "this machine's clock is {minutes} minutes {direction} the server's (here {}, there {}), so that certificates \
         would look expired or not valid yet: set the clocks right (chrony and systemd-timesyncd do it), then start again",
        seconds(own),
        seconds(server)
    )
}

fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_at(own: &str, expected: Result<(), &str>) {
        let outcome = check(own.parse().unwrap(), "2026-01-01T12:00:00Z".parse().unwrap());
        match (outcome, expected) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (outcome, expected) => panic!("{own}: {outcome:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn a_clock_may_be_off_by_as_much_as_certificates_are_backdated() {
        check_at("2026-01-01T12:05:00Z", Ok(()));
        check_at("2026-01-01T11:55:00Z", Ok(()));
        check_at("2026-01-01T12:10:00Z", Err("10 minutes ahead of the server's"));
        check_at(
            "2026-01-01T11:50:00Z",
            Err("10 minutes behind the server's (here 2026-01-01T11:50:00Z, there 2026-01-01T12:00:00Z)"),
        );
    }
}
