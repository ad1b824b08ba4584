//! Points in time as Go reads and writes them.

use jiff::Timestamp;

use crate::json::quoted;

const LAYOUT: &str = "2006-01-02T15:04:05Z07:00";
const MICRO_LAYOUT: &str = "2006-01-02T15:04:05.000000Z07:00";

/// The elements of RFC 3339 before the fraction, as Go's layout writes them.
const ELEMENTS: [&str; 11] = ["2006", "-", "01", "-", "02", "T", "15", ":", "04", ":", "05"];

/// What stands behind them in a time with microseconds; in others there may be a fraction of any length.
const MICROSECONDS: &str = ".000000";

/// Reads RFC 3339 as strictly as Go; the error is Go's text. With `micro`, exactly microseconds.
pub(crate) fn parse(text: &str, micro: bool) -> Result<Timestamp, String> {
    let layout = if micro { MICRO_LAYOUT } else { LAYOUT };
    let complain = |what: String| format!("parsing time {} as {}{what}", quoted(text), quoted(layout));
    let mut rest = text;
    for element in ELEMENTS {
        rest = strip(rest, element)
            .ok_or_else(|| complain(format!(": cannot parse {} as {}", quoted(rest), quoted(element))))?;
    }
    rest = match micro {
        true => strip_microseconds(rest).ok_or_else(|| {
            complain(format!(": cannot parse {} as {}", quoted(rest), quoted(MICROSECONDS)))
        })?,
        false => strip_fraction(rest),
    };
    let zone = strip(rest, "Z").or_else(|| strip_offset(rest));
    match zone {
        Some("") => text.replace(',', ".").parse().map_err(|_| complain(out_of_range(text))),
        Some(extra) => Err(complain(format!(": extra text: {}", quoted(extra)))),
        None => Err(complain(format!(": cannot parse {} as \"Z07:00\"", quoted(rest)))),
    }
}

/// What Go says of a text that is no time of RFC 3339, as in a request's query.
pub fn error(text: &str) -> Option<String> {
    parse(text, false).err()
}

/// Takes an element off the beginning: digits where it has digits, else itself.
fn strip<'a>(text: &'a str, element: &str) -> Option<&'a str> {
    if !element.as_bytes()[0].is_ascii_digit() {
        return text.strip_prefix(element);
    }
    let digits = text.get(..element.len())?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| &text[element.len()..])
}

fn strip_microseconds(text: &str) -> Option<&str> {
    strip(text.strip_prefix(['.', ','])?, &MICROSECONDS[1..])
}

fn strip_fraction(text: &str) -> &str {
    let Some(fraction) = text.strip_prefix(['.', ',']) else { return text };
    let rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
    if rest.len() == fraction.len() { text } else { rest }
}

fn strip_offset(text: &str) -> Option<&str> {
    let rest = text.strip_prefix(['+', '-'])?;
    strip(strip(strip(rest, "07")?, ":")?, "00")
}

fn out_of_range(text: &str) -> String {
    let number = |from: usize, to: usize| text[from..to].parse::<u32>().unwrap_or(0);
    let name = if !(1..=12).contains(&number(5, 7)) {
        "month"
    } else if number(11, 13) > 23 {
        "hour"
    } else if number(14, 16) > 59 {
        "minute"
    } else if number(17, 19) > 59 {
        "second"
    } else {
        "day"
    };
    format!(": {name} out of range")
}

/// Whole seconds in UTC.
pub(crate) fn seconds(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Microseconds in UTC, always six digits.
pub(crate) fn microseconds(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_normalised() {
        let moment = parse("2026-01-02T03:04:05.6789+01:00", false).unwrap();
        assert_eq!(seconds(moment), "2026-01-02T02:04:05Z");
        assert_eq!(microseconds(moment), "2026-01-02T02:04:05.678900Z");
    }

    #[test]
    fn microseconds_have_six_digits() {
        let check = |text: &str, error: &str| {
            let layout = r#""2006-01-02T15:04:05.000000Z07:00""#;
            let expected = format!("parsing time {text:?} as {layout}: cannot parse {error}");
            assert_eq!(parse(text, true).unwrap_err(), expected);
        };
        assert!(parse("2026-01-02T03:04:05.678900+01:00", true).is_ok());
        check("2026-01-02T03:04:05Z", r#""Z" as ".000000""#);
        check("2026-01-02T03:04:05.5Z", r#"".5Z" as ".000000""#);
        check("2026-01-02T03:04:05.123456789Z", r#""789Z" as "Z07:00""#);
    }

    #[test]
    fn bad_times_are_refused_in_the_words_of_go() {
        let check = |text: &str, error: &str| assert_eq!(parse(text, false).unwrap_err(), error);
        let layout = r#""2006-01-02T15:04:05Z07:00""#;
        check("x", &format!(r#"parsing time "x" as {layout}: cannot parse "x" as "2006""#));
        check("2026-01-02", &format!(r#"parsing time "2026-01-02" as {layout}: cannot parse "" as "T""#));
        check(
            "2026-13-02T00:00:00Z",
            &format!(r#"parsing time "2026-13-02T00:00:00Z" as {layout}: month out of range"#),
        );
        check(
            "2026-01-02T00:00:00",
            &format!(r#"parsing time "2026-01-02T00:00:00" as {layout}: cannot parse "" as "Z07:00""#),
        );
    }
}
