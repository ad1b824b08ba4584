//! The grammar of quantities.

use super::{BINARY_SUFFIXES, DECIMAL_SUFFIXES, Format, ParseError, Quantity, rescale};

/// The finest unit: more decimal places are rounded up.
const NANO: i32 = -9;
/// Digits that 64 bits always hold; up to there upstream keeps a canonical text as it is.
const SHORT: usize = 18;

struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

enum Scale {
    Ten(i32),
    Two(u32),
}

pub(super) fn parse(text: &str) -> Result<Quantity, ParseError> {
    if text.is_empty() {
        return Err(ParseError::Format);
    }
    let parts = split(text)?;
    let (scale, format) = interpret(parts.suffix).ok_or(ParseError::Suffix)?;
    let digits = format!("{}{}", parts.whole, parts.fraction);
    let places = i32::try_from(parts.fraction.len()).map_err(|_| ParseError::Numeric)?;
    let number: i128 = digits.parse().map_err(|_| ParseError::Numeric)?;
    let (mantissa, exponent) = match scale {
        Scale::Ten(power) => (number, power.saturating_sub(places)),
        Scale::Two(power) => (number.checked_mul(1i128 << power).ok_or(ParseError::Numeric)?, -places),
    };
    let kept = exponent >= NANO && is_canonical(&digits, number, exponent, &scale);
    let (mantissa, exponent) = round(mantissa, exponent);
    let (mantissa, exponent, format) = cap(mantissa, exponent, format);
    Ok(Quantity {
        mantissa: if parts.negative { -mantissa } else { mantissa },
        exponent,
        format,
        text: kept.then(|| text.into()),
    })
}

/// Takes a text apart by hand, accepting what upstream's scanner accepts.
fn split(text: &str) -> Result<Parts<'_>, ParseError> {
    let (negative, unsigned) = match text.as_bytes()[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let unsigned = unsigned.trim_start_matches('0');
    let (whole, rest) = take(unsigned, |c| c.is_ascii_digit());
    let (fraction, suffix) = match rest.strip_prefix('.') {
        Some(rest) => take(rest, |c| c.is_ascii_digit()),
        None => ("", rest),
    };
    let (_, rest) = take(suffix, |c| "eEinumkKMGTP".contains(c));
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    if !rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ParseError::Format);
    }
    let whole = if whole.is_empty() { "0" } else { whole };
    Ok(Parts { negative, whole, fraction, suffix })
}

fn take(text: &str, accept: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !accept(c)).unwrap_or(text.len()))
}

fn interpret(suffix: &str) -> Option<(Scale, Format)> {
    if let Some((_, power)) = DECIMAL_SUFFIXES.iter().find(|(name, _)| *name == suffix) {
        return Some((Scale::Ten(*power), Format::DecimalSi));
    }
    if let Some((_, power)) = BINARY_SUFFIXES.iter().find(|(name, _)| *name == suffix) {
        return Some((Scale::Two(*power), Format::BinarySi));
    }
    let power = suffix.strip_prefix(['e', 'E'])?;
    Some((Scale::Ten(power.parse().ok()?), Format::DecimalExponent))
}

/// Whether upstream writes the text back as it came: short, no unit too small, not to be shortened.
fn is_canonical(digits: &str, number: i128, exponent: i32, scale: &Scale) -> bool {
    match *scale {
        // Upstream's estimate of what fits: a power of two has three tenths as many digits.
        Scale::Two(power) => exponent == 0 && digits.len() + power as usize * 3 / 10 < 15 && number & 7 != 0,
        Scale::Ten(_) => {
            let shortest = !digits.ends_with("000") && !digits.starts_with('0');
            digits.len() <= SHORT && exponent % 3 == 0 && shortest
        }
    }
}

fn round(mantissa: i128, exponent: i32) -> (i128, i32) {
    if exponent >= NANO {
        return (mantissa, exponent);
    }
    (rescale(mantissa, exponent, NANO).unwrap_or(i128::MAX), NANO)
}

/// Binary amounts end at 2^63-1, and below 1 they are written as decimals.
fn cap(mantissa: i128, exponent: i32, format: Format) -> (i128, i32, Format) {
    if format != Format::BinarySi || mantissa == 0 {
        return (mantissa, exponent, format);
    }
    let most = i128::from(i64::MAX);
    let whole = rescale(mantissa, exponent, 0).unwrap_or(i128::MAX);
    if whole > most {
        return (most, 0, format);
    }
    let below_one = rescale(1, 0, exponent).is_some_and(|one| mantissa < one);
    (mantissa, exponent, if below_one { Format::DecimalSi } else { format })
}
