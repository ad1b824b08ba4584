//! Lists and maps of limited size, which are not looked into when they are too long (upstream: `validateSlice`, `validateSet`
//! and `validateMap` of `pkg/apis/resource/validation`).

use std::collections::{BTreeMap, BTreeSet};

use machinery::field::{Error, ErrorList, Path};

/// Errors of every element.
pub(super) fn each<T>(
    items: &[T],
    path: &Path,
    mut validate: impl FnMut(&T, &Path) -> ErrorList,
) -> ErrorList {
    items.iter().enumerate().flat_map(|(index, item)| validate(item, &path.index(index))).collect()
}

/// As [`each`], of at most `max` elements.
pub(super) fn bounded<T>(
    items: &[T],
    max: usize,
    path: &Path,
    validate: impl FnMut(&T, &Path) -> ErrorList,
) -> ErrorList {
    if items.len() > max {
        vec![Error::too_many(path, items.len(), max)]
    } else {
        each(items, path, validate)
    }
}

/// As [`bounded`], of elements that differ in their keys.
pub(super) fn set<'a, T, K: Ord + Into<machinery::json::Tree<'static>>>(
    items: &'a [T],
    max: usize,
    path: &Path,
    validate: impl FnMut(&T, &Path) -> ErrorList,
    key: impl Fn(&'a T) -> K,
) -> ErrorList {
    if items.len() > max {
        return vec![Error::too_many(path, items.len(), max)];
    }
    let mut errors = each(items, path, validate);
    errors.extend(duplicates(items, path, key, |path, key| Error::duplicate(path, key.into())));
    errors
}

/// An error, made by `error`, for every element whose key came before.
pub(super) fn duplicates<'a, T, K: Ord>(
    items: &'a [T],
    path: &Path,
    key: impl Fn(&'a T) -> K,
    error: impl Fn(&Path, K) -> Error,
) -> ErrorList {
    let mut seen = BTreeSet::new();
    let mut errors = ErrorList::new();
    for (index, item) in items.iter().enumerate() {
        if !seen.insert(key(item)) {
            errors.push(error(&path.index(index), key(item)));
        }
    }
    errors
}

/// Errors of a map's keys, which are shown cut to `key_length`, and of its values.
pub(super) fn map<T>(
    entries: &BTreeMap<String, T>,
    key_length: usize,
    path: &Path,
    validate_key: impl Fn(&str, &Path) -> ErrorList,
    validate: impl Fn(&T, &Path) -> ErrorList,
) -> ErrorList {
    let mut errors = ErrorList::new();
    for (key, value) in entries {
        errors.extend(validate_key(key, path));
        errors.extend(validate(value, &path.key(&shortened(key, key_length))));
    }
    errors
}

/// A text with its middle left out where it is too long.
fn shortened(text: &str, max: usize) -> String {
    const DOTS: &str = "...";
    let max = max.max(16);
    if text.len() <= max {
        return text.to_owned();
    }
    let rest = max - DOTS.len();
    let (head, tail) = (&text.as_bytes()[..rest.div_ceil(2)], &text.as_bytes()[text.len() - rest / 2..]);
    format!("{}{DOTS}{}", String::from_utf8_lossy(head), String::from_utf8_lossy(tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_keys_are_shown_without_their_middle() {
        assert_eq!(shortened("0123456789abcdef", 1), "0123456789abcdef");
        assert_eq!(shortened("0123456789abcdefg", 16), "0123456...bcdefg");
    }

    #[test]
    fn what_is_too_long_is_not_looked_into() {
        let wrong = |_: &u8, path: &Path| vec![Error::required(path, "")];
        let texts = |errors: ErrorList| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            texts(bounded(&[1, 2], 2, &"a".into(), wrong)),
            ["a[0]: Required value", "a[1]: Required value"]
        );
        assert_eq!(
            texts(bounded(&[1, 2], 1, &"a".into(), wrong)),
            ["a: Too many: 2: must have at most 1 item"]
        );
        let right = |_: &&str, _: &Path| vec![];
        assert_eq!(
            texts(set(&["x", "x"], 2, &"a".into(), right, |x| (*x).to_owned())),
            ["a[1]: Duplicate value: \"x\""]
        );
    }
}
