//! What the commands say to whoever runs them: results on standard output, what went wrong in one line.
//!
//! Servers say nothing here; they log.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};

use anyhow::Context;

/// Writes a line to standard output. A reader that has seen enough (`| head`) is no failure: nobody is left to be told.
///
/// # Errors
/// It cannot be written, as on a full disk: whoever runs the command has not been told.
pub(crate) fn say(line: Arguments<'_>) -> anyhow::Result<()> {
    write_line(io::stdout().lock(), line).context("cannot write to standard output")
}

fn write_line(mut output: impl Write, line: Arguments<'_>) -> io::Result<()> {
    match writeln!(output, "{line}").and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// What is wrong and what to do, with the causes behind it. Those that somebody has named already are left out: many
/// libraries put the causes of an error into its text.
pub(crate) fn in_one_line(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails as it is told to.
    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn only_a_reader_that_has_gone_is_no_failure() {
        let write = |kind| write_line(Failing(kind), format_args!("x")).map_err(|error| error.kind());
        assert_eq!(write(ErrorKind::BrokenPipe), Ok(()));
        assert_eq!(write(ErrorKind::StorageFull), Err(ErrorKind::StorageFull));
        let mut written = Vec::new();
        write_line(&mut written, format_args!("{} lines", 2)).unwrap();
        assert_eq!(written, b"2 lines\n");
    }

    #[test]
    fn a_cause_is_named_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read x: {0}")]
        struct Talkative(#[source] std::io::Error);
        let refused = || std::io::Error::other("refused");
        let error = anyhow::Error::new(Talkative(refused())).context("cannot save");
        assert_eq!(in_one_line(&error), "cannot save: cannot read x: refused");
        let error = anyhow::Error::new(refused()).context("cannot read x").context("cannot save");
        assert_eq!(in_one_line(&error), "cannot save: cannot read x: refused");
    }
}
