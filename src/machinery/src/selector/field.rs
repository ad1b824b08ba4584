//! Field selectors: `spec.nodeName=a,status.phase!=Running`.

use std::fmt;

/// Which objects are meant, by the values of some of their fields. All requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The path of the field.
    pub field: String,
    /// The value that it must have, or not have.
    pub value: String,
    /// Whether it must have it.
    pub equal: bool,
}

/// A text that is no field selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A part without an operator.
    #[error("invalid selector: '{selector}'; can't understand '{term}'")]
    Term {
        /// The whole text.
        selector: String,
        /// The part.
        term: String,
    },
    /// A backslash before what needs none.
    #[error("invalid field selector: invalid escape sequence: {0}")]
    Escape(String),
    /// `=` or `,` without a backslash in a value; upstream tells its code point.
    #[error("invalid field selector: unescaped character in value: {}", u32::from(*.0))]
    Unescaped(char),
}

impl Selector {
    /// Reads `a=b`, `a==b` and `a!=b`, separated by commas. Backslash escapes `\`, `,` and `=` in values.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut requirements = Vec::new();
        for term in terms(text) {
            if term.is_empty() {
                continue;
            }
            let (field, operator, value) = split(term)
                .ok_or_else(|| Error::Term { selector: text.to_owned(), term: term.to_owned() })?;
            let value = unescape(value)?;
            requirements.push(Requirement { field: field.to_owned(), value, equal: operator != "!=" });
        }
        Ok(Self(requirements))
    }

    /// The conditions, all of which must hold.
    pub fn requirements(&self) -> &[Requirement] {
        &self.0
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value that a field must have, if the selector demands one.
    pub fn requires_exact_match(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|one| one.equal && one.field == field).map(|one| one.value.as_str())
    }

    /// Whether an object with these field values is meant. A field that `value_of` does not know counts as empty.
    pub fn matches<'v>(&self, value_of: impl Fn(&str) -> Option<&'v str>) -> bool {
        self.0.iter().all(|one| (value_of(&one.field).unwrap_or("") == one.value) == one.equal)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, one) in self.0.iter().enumerate() {
            let separator = if place > 0 { "," } else { "" };
            let operator = if one.equal { "=" } else { "!=" };
            write!(f, "{separator}{}{operator}{}", one.field, escape(&one.value))?;
        }
        Ok(())
    }
}

/// The parts between commas that no backslash precedes.
fn terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (place, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

/// Splits at the first operator; `!=` and `==` are longer than `=` and win.
fn split(term: &str) -> Option<(&str, &str, &str)> {
    (0..term.len()).filter(|&place| term.is_char_boundary(place)).find_map(|place| {
        ["!=", "==", "="]
            .into_iter()
            .find(|operator| term[place..].starts_with(operator))
            .map(|operator| (&term[..place], operator, &term[place + operator.len()..]))
    })
}

fn unescape(value: &str) -> Result<String, Error> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                Some(c) => return Err(Error::Escape(format!("\\{c}"))),
                None => return Err(Error::Escape("\\".to_owned())),
            },
            ',' | '=' => return Err(Error::Unescaped(c)),
            c => out.push(c),
        }
    }
    Ok(out)
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, phase: &str, expected: bool) {
        let selector = Selector::parse(text).unwrap();
        assert_eq!(selector.matches(|field| (field == "status.phase").then_some(phase)), expected, "{text}");
    }

    #[test]
    fn fields_are_compared() {
        check("", "x", true);
        check("status.phase=Running", "Running", true);
        check("status.phase==Running,status.phase!=Failed", "Running", true);
        check("status.phase!=Running", "Running", false);
        check("spec.nodeName=", "x", true);
        check(r"status.phase=a\,b\=", "a,b=", true);
    }

    #[test]
    fn bad_selectors_are_refused() {
        for (text, message) in [
            ("a", "invalid selector: 'a'; can't understand 'a'"),
            (r"a=b\c", r"invalid field selector: invalid escape sequence: \c"),
            ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        ] {
            assert_eq!(Selector::parse(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn a_demanded_value_is_told() {
        let selector = Selector::parse("metadata.name=a,x!=b").unwrap();
        assert_eq!(selector.requires_exact_match("metadata.name"), Some("a"));
        assert_eq!(selector.requires_exact_match("x"), None);
        assert_eq!(selector.to_string(), "metadata.name=a,x!=b");
    }
}
