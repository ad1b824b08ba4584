//! Filling in single fields. Called by the kinds' `set_defaults`; upstream's zero value and an absent one are the same.

/// Sets a string that is absent or empty.
pub(crate) fn string(field: &mut Option<String>, value: &str) {
    if field.as_deref().unwrap_or_default().is_empty() {
        *field = Some(value.to_owned());
    }
}

/// Sets a number that is absent or zero.
pub(crate) fn nonzero(field: &mut Option<i32>, value: i32) {
    if field.unwrap_or_default() == 0 {
        *field = Some(value);
    }
}
