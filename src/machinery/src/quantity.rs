//! Amounts of resources, such as `500m`, `1.5Gi` or `12e6`.
//!
//! Exact decimal arithmetic with upstream's grammar, rounding and canonical form (`apimachinery/pkg/api/resource`). Input
//! is the text in objects; taken by defaulting, validation, scheduling, quota and the canonical encoding. Knows no
//! resource names.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

mod parse;

/// An amount. Ordered and compared by value: `1` equals `1000m`.
#[derive(Clone, Debug, Default)]
pub struct Quantity {
    mantissa: i128,
    /// Power of ten; at least -9.
    exponent: i32,
    format: Format,
    /// The text it was read from, where upstream writes that back unchanged.
    text: Option<Box<str>>,
}

/// The family of suffixes by which an amount is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `12M`
    #[default]
    DecimalSi,
    /// `12Mi`
    BinarySi,
    /// `12e6`
    DecimalExponent,
}

/// A text that is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// It has another shape.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// Its digits make no number, or one that is too long.
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    /// Its suffix is unknown.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

const DECIMAL_SUFFIXES: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY_SUFFIXES: [(&str, u32); 6] =
    [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

impl Quantity {
    /// Reads a quantity. More than nine decimal places are rounded up.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::parse(text)
    }

    /// A whole amount.
    pub fn new(value: i64, format: Format) -> Self {
        Self { mantissa: value.into(), exponent: 0, format, text: None }
    }

    /// An amount in thousandths.
    pub fn from_milli(value: i64, format: Format) -> Self {
        Self { mantissa: value.into(), exponent: -3, format, text: None }
    }

    /// The whole amount, rounded away from zero; capped at what 64 bits hold.
    pub fn value(&self) -> i64 {
        self.scaled(0)
    }

    /// The amount in thousandths, rounded away from zero; capped at what 64 bits hold.
    pub fn milli_value(&self) -> i64 {
        self.scaled(-3)
    }

    /// What upstream takes for [`Quantity::value`] in its checks: its arithmetic does not notice when 64 bits are too few.
    pub fn wrapping_value(&self) -> i64 {
        self.wrapped(0)
    }

    /// What upstream takes for [`Quantity::milli_value`] in its checks.
    pub fn wrapping_milli_value(&self) -> i64 {
        self.wrapped(-3)
    }

    /// Whether it is nothing.
    pub fn is_zero(&self) -> bool {
        self.mantissa == 0
    }

    /// -1, 0 or 1.
    pub fn signum(&self) -> i32 {
        if self.mantissa == 0 {
            0
        } else if self.mantissa > 0 {
            1
        } else {
            -1
        }
    }

    /// The amount as a floating-point number, for ratios.
    pub fn as_f64(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "callers want an approximation")]
        let mantissa = self.mantissa as f64;
        mantissa * 10f64.powi(self.exponent)
    }

    /// How it is written.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Adds `other`. Nothing takes the format of what is added to it.
    pub fn add(&mut self, other: &Self) {
        if self.is_zero() {
            self.format = other.format;
        }
        self.text = None;
        (self.mantissa, self.exponent) =
            sum((self.mantissa, self.exponent), (other.mantissa, other.exponent));
    }

    /// Takes `other` away.
    pub fn sub(&mut self, other: &Self) {
        self.add(&Self { mantissa: -other.mantissa, text: None, ..*other });
    }

    fn wrapped(&self, scale: i32) -> i64 {
        let places = self.exponent - scale;
        let exact = rescale(self.mantissa, self.exponent, scale).and_then(|value| i64::try_from(value).ok());
        // Upstream multiplies by these powers at once, and by others ten by ten until it sees that it cannot.
        let is_given_up = self.format != Format::BinarySi && !matches!(places, 0..=3 | 6 | 9);
        match exact {
            Some(value) => value,
            None if places <= 0 => self.scaled(scale),
            None if is_given_up => 0,
            None => {
                let factor = (0..places).fold(1i64, |factor, _| factor.wrapping_mul(10));
                #[expect(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
                let low = self.mantissa as i64;
                low.wrapping_mul(factor)
            }
        }
    }

    fn scaled(&self, scale: i32) -> i64 {
        let value =
            rescale(self.mantissa, self.exponent, scale).unwrap_or(i128::MAX * self.mantissa.signum());
        i64::try_from(value).unwrap_or(if value > 0 { i64::MAX } else { i64::MIN })
    }

    /// The mantissa without trailing zeros, at an exponent that is a multiple of three.
    fn canonical_decimal(&self) -> (i128, i32) {
        let (mut mantissa, mut exponent) = without_factors(self.mantissa, 10);
        exponent += self.exponent;
        while exponent % 3 != 0 {
            mantissa = mantissa.saturating_mul(10);
            exponent -= 1;
        }
        (mantissa, exponent)
    }

    /// The whole amount, where writing it with a binary suffix loses nothing and helps.
    fn whole_for_binary(&self) -> Option<i128> {
        let whole = rescale(self.mantissa, self.exponent, 0)?;
        let exact = self.exponent >= 0 || rescale(whole, 0, self.exponent) == Some(self.mantissa);
        (exact && whole.abs() >= 1024).then_some(whole)
    }
}

/// `mantissa * 10^from` in units of `10^to`, rounded away from zero; `None` when it does not fit.
fn rescale(mantissa: i128, from: i32, to: i32) -> Option<i128> {
    let Some(down) = u32::try_from(to - from).ok().filter(|&down| down > 0) else {
        return mantissa.checked_mul(10i128.checked_pow(from.abs_diff(to))?);
    };
    let Some(divisor) = 10i128.checked_pow(down) else { return Some(mantissa.signum()) };
    let rest = if mantissa % divisor == 0 { 0 } else { mantissa.signum() };
    Some(mantissa / divisor + rest)
}

/// Adds two decimals exactly; where they are too far apart for 128 bits the small one does not count.
fn sum(a: (i128, i32), b: (i128, i32)) -> (i128, i32) {
    if a.0 == 0 || b.0 == 0 {
        return if a.0 == 0 { b } else { a };
    }
    let (large, small) = if a.1 >= b.1 { (a, b) } else { (b, a) };
    rescale(large.0, large.1, small.1)
        .and_then(|mantissa| mantissa.checked_add(small.0))
        .map_or(large, |mantissa| (mantissa, small.1))
}

fn without_factors(mut number: i128, factor: i128) -> (i128, i32) {
    let mut times = 0;
    while number != 0 && number % factor == 0 {
        number /= factor;
        times += 1;
    }
    (number, times)
}

/// The canonical form: no fraction, the largest suffix that loses nothing.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = &self.text {
            return f.write_str(text);
        }
        if self.is_zero() {
            return f.write_str("0");
        }
        if self.format == Format::BinarySi
            && let Some(whole) = self.whole_for_binary()
        {
            return write_binary(whole, f);
        }
        let (mantissa, exponent) = self.canonical_decimal();
        match self.format {
            Format::DecimalExponent if exponent == 0 => write!(f, "{mantissa}"),
            Format::DecimalExponent => write!(f, "{mantissa}e{exponent}"),
            _ => write_decimal(mantissa, exponent, f),
        }
    }
}

fn write_binary(whole: i128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (mantissa, times) = without_factors(whole, 1024);
    let suffix = usize::try_from(times).ok().and_then(|times| BINARY_SUFFIXES.get(times.checked_sub(1)?));
    match suffix {
        Some((suffix, _)) => write!(f, "{mantissa}{suffix}"),
        None => write!(f, "{whole}"),
    }
}

/// Above exa there is no suffix; the digits grow instead.
fn write_decimal(mantissa: i128, exponent: i32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match DECIMAL_SUFFIXES.iter().find(|(_, power)| *power == exponent) {
        Some((suffix, _)) => write!(f, "{mantissa}{suffix}"),
        None => {
            let zeros = usize::try_from(exponent - 18).unwrap_or(0);
            write!(f, "{mantissa}{:0<zeros$}E", "")
        }
    }
}

impl FromStr for Quantity {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

impl TryFrom<&Text> for Quantity {
    type Error = ParseError;

    fn try_from(quantity: &Text) -> Result<Self, ParseError> {
        Self::parse(quantity.0.trim())
    }
}

impl From<Quantity> for Text {
    fn from(quantity: Quantity) -> Self {
        Self(quantity.to_string())
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        let difference = sum((self.mantissa, self.exponent), (-other.mantissa, other.exponent)).0;
        difference.cmp(&0)
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Quantity {}

#[cfg(test)]
mod tests;
