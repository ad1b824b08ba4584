//! Container output as CRI log lines: `<RFC 3339 time with nanoseconds> <stream> <F or P> <text>`.
//! Format: kubernetes `design-proposals-archive/node/kubelet-cri-logging.md`. A line longer than [`LIMIT_BYTES`] becomes several
//! partial ones (`P`) and a full one (`F`); what comes after the last line end is a partial one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The longest text of one log line; containerd's default.
pub(crate) const LIMIT_BYTES: usize = 16 * 1024;

/// One output stream on its way to the log.
pub(crate) struct Lines {
    stream: &'static str,
    /// The start of a line whose end has not come yet.
    pending: Vec<u8>,
}

impl Lines {
    pub(crate) fn new(stream: &'static str) -> Self {
        Self { stream, pending: Vec::new() }
    }

    /// Takes output and appends to `out` the lines that it completes.
    pub(crate) fn push(&mut self, mut data: &[u8], now: SystemTime, out: &mut Vec<u8>) {
        while let Some(end) = data.iter().position(|byte| *byte == b'\n') {
            self.take(&data[..end], now, out);
            self.emit("F", now, out);
            data = &data[end + 1..];
        }
        self.take(data, now, out);
    }

    /// The stream has ended: what is left has no line end, which only a partial line can say.
    pub(crate) fn finish(&mut self, now: SystemTime, out: &mut Vec<u8>) {
        if !self.pending.is_empty() {
            self.emit("P", now, out);
        }
    }

    /// Adds to the pending line; a part that is full and not the last goes out.
    fn take(&mut self, mut data: &[u8], now: SystemTime, out: &mut Vec<u8>) {
        while self.pending.len() + data.len() > LIMIT_BYTES {
            let (part, rest) = data.split_at(LIMIT_BYTES - self.pending.len());
            self.pending.extend_from_slice(part);
            self.emit("P", now, out);
            data = rest;
        }
        self.pending.extend_from_slice(data);
    }

    fn emit(&mut self, tag: &str, now: SystemTime, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("{} {} {tag} ", rfc3339(now), self.stream).as_bytes());
        out.append(&mut self.pending);
        out.push(b'\n');
        if self.pending.capacity() > 1024 {
            self.pending = Vec::new();
        }
    }
}

/// A time in UTC with nanoseconds.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:09}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_nanos()
    )
}

/// The date of a day counted from 1970-01-01. Counts in years that start in March, so that the leap day comes last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(parts: &[&[u8]], expected: &[(&str, usize)]) {
        let (mut lines, mut out) = (Lines::new("stdout"), Vec::new());
        for part in parts {
            lines.push(part, UNIX_EPOCH, &mut out);
        }
        lines.finish(UNIX_EPOCH, &mut out);
        let text = String::from_utf8(out).unwrap();
        let got: Vec<(&str, usize)> = text
            .lines()
            .map(|line| {
                let fields: Vec<&str> = line.splitn(4, ' ').collect();
                assert_eq!(fields[..2], ["1970-01-01T00:00:00.000000000Z", "stdout"]);
                (fields[2], fields[3].len())
            })
            .collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn lines_are_cut_at_line_ends_wherever_reads_end() {
        check(&[b"one\ntw", b"o\n", b"\n"], &[("F", 3), ("F", 3), ("F", 0)]);
    }

    #[test]
    fn output_without_a_last_line_end_gets_none() {
        check(&[b"a\nbc"], &[("F", 1), ("P", 2)]);
    }

    #[test]
    fn long_lines_become_parts() {
        let long = vec![b'x'; 2 * LIMIT_BYTES + 5];
        check(&[&long, b"\n"], &[("P", LIMIT_BYTES), ("P", LIMIT_BYTES), ("F", 5)]);
        check(&[&long[..LIMIT_BYTES], b"\n"], &[("F", LIMIT_BYTES)]);
    }

    #[test]
    fn dates_are_right_around_leap_days() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_399, "2000-02-28T23:59:59.000000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000000Z"),
            (1_709_251_200, "2024-03-01T00:00:00.000000000Z"),
            (1_795_219_199, "2026-11-20T23:59:59.000000000Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }
}
