//! Numbers with a fraction as Go's encoder writes them.

/// Writes `number` in the shortest form that reads back as the same: without exponent between 1e-6 and 1e21, otherwise
/// as `1e-7`. What JSON cannot say (NaN, infinities) is written as `null`.
pub(crate) fn write_float(number: f64, out: &mut Vec<u8>) {
    if !number.is_finite() {
        out.extend_from_slice(b"null");
        return;
    }
    let size = number.abs();
    let text = if size != 0.0 && !(1e-6..1e21).contains(&size) {
        with_signed_exponent(&format!("{number:e}"))
    } else {
        format!("{number}")
    };
    out.extend_from_slice(text.as_bytes());
}

/// Go writes `1e+21` where Rust writes `1e21`.
fn with_signed_exponent(text: &str) -> String {
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        _ => text.to_owned(),
    }
}
