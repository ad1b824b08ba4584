//! `$(NAME)` references in commands, arguments, values and paths.
//!
//! `$$` is a literal dollar; a reference to an unknown name stays as it is (upstream:
//! third_party/forked/golang/expansion).

/// Replaces every reference for which `lookup` has a value.
pub(crate) fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    expand_noting(text, lookup).0
}

/// As [`expand`], and names the first reference that `lookup` does not know.
pub(crate) fn expand_noting(text: &str, lookup: impl Fn(&str) -> Option<String>) -> (String, Option<String>) {
    let mut out = String::with_capacity(text.len());
    let mut missing = None;
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match lookup(name) {
                Some(value) => out.push_str(&value),
                None => {
                    out.push_str(&format!("$({name})"));
                    missing.get_or_insert_with(|| name.to_owned());
                }
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    (out, missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let lookup = |name: &str| match name {
            "A" => Some("1".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        assert_eq!(expand(text, lookup), expected, "{text}");
    }

    #[test]
    fn references_are_replaced_and_everything_else_stays() {
        check("$(A)", "1");
        check("x$(A)y$(A)", "x1y1");
        check("$(EMPTY)x", "x");
        check("$(UNKNOWN)", "$(UNKNOWN)");
        check("$$(A)", "$(A)");
        check("$$$(A)", "$1");
        check("$A ${A} $", "$A ${A} $");
        check("$(A", "$(A");
        check("ü$(A)ü", "ü1ü");
    }
}
