//! One line of a CRI log: `<RFC 3339 time> stdout|stderr F|P <text>`. Pure.

use jiff::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

#[derive(Debug, PartialEq)]
pub(super) struct Line<'a> {
    pub time: &'a str,
    pub stream: Stream,
    /// The text goes on in the next line of the file.
    pub is_partial: bool,
    pub text: &'a [u8],
}

impl<'a> Line<'a> {
    /// Reads a line without its newline; `None` for what is no log line.
    pub(super) fn parse(raw: &'a [u8]) -> Option<Self> {
        let mut parts = raw.splitn(4, |byte| *byte == b' ');
        let time = std::str::from_utf8(parts.next()?).ok()?;
        let stream = match parts.next()? {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return None,
        };
        let tags = parts.next()?;
        let is_partial = tags.split(|byte| *byte == b':').next() == Some(b"P");
        Some(Self { time, stream, is_partial, text: parts.next().unwrap_or_default() })
    }
}

/// What of a log is wanted, and how.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub since: Option<Timestamp>,
    pub timestamps: bool,
    /// How much may still go out.
    pub bytes_left: Option<usize>,
    /// How many lines of the file may still be looked at: of a log that is not followed, what is written meanwhile is not
    /// part of its tail.
    pub lines_left: Option<usize>,
    pub stream: Option<Stream>,
}

impl Filter {
    /// Appends `line` to `out` in the form that was asked for, if it was.
    pub(super) fn append(&mut self, line: &Line<'_>, out: &mut Vec<u8>) {
        if self.is_done() {
            return;
        }
        self.lines_left = self.lines_left.map(|left| left - 1);
        if self.stream.is_some_and(|wanted| wanted != line.stream) || !self.is_recent(line.time) {
            return;
        }
        if self.timestamps {
            self.push(line.time.as_bytes(), out);
            self.push(b" ", out);
        }
        self.push(line.text, out);
        if !line.is_partial {
            self.push(b"\n", out);
        }
    }

    /// Whether nothing more will go out.
    pub(super) fn is_done(&self) -> bool {
        self.bytes_left == Some(0) || self.lines_left == Some(0)
    }

    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let length = self.bytes_left.map_or(bytes.len(), |left| left.min(bytes.len()));
        out.extend_from_slice(&bytes[..length]);
        if let Some(left) = &mut self.bytes_left {
            *left -= length;
        }
    }

    fn is_recent(&self, time: &str) -> bool {
        let Some(since) = self.since else { return true };
        time.parse::<Timestamp>().is_ok_and(|time| time >= since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mut filter: Filter, expected: &str) {
        let log = "2026-01-01T00:00:00.000000001Z stdout F one\n\
            2026-01-01T00:00:01Z stderr P tw\n\
            2026-01-01T00:00:01Z stderr F o\n\
            nonsense\n\
            2026-01-01T00:00:02Z stdout F \n";
        let mut out = Vec::new();
        for raw in log.lines() {
            if let Some(line) = Line::parse(raw.as_bytes()) {
                filter.append(&line, &mut out);
            }
        }
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn lines_are_joined_filtered_and_cut() {
        check(Filter::default(), "one\ntwo\n\n");
        check(Filter { stream: Some(Stream::Stderr), ..Filter::default() }, "two\n");
        let since = "2026-01-01T00:00:02Z".parse().ok();
        check(Filter { since, timestamps: true, ..Filter::default() }, "2026-01-01T00:00:02Z \n");
        check(Filter { bytes_left: Some(5), ..Filter::default() }, "one\nt");
        check(Filter { lines_left: Some(2), ..Filter::default() }, "one\ntw");
        check(Filter { lines_left: Some(0), ..Filter::default() }, "");
    }
}
