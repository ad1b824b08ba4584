//! One thing wrong with one field.

use std::fmt;

use serde::Serialize;

use super::Path;
use crate::json::{self, Tree};

/// What validation found, in the order it looked.
pub type ErrorList = Vec<Error>;

/// How a value is wrong. The names in [`ErrorKind::reason`] are what causes of a `Status` carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A referenced value does not exist.
    NotFound,
    /// A value is missing.
    Required,
    /// A value that must be unique occurs again.
    Duplicate,
    /// The value breaks a rule.
    Invalid,
    /// The value is not one of the allowed ones.
    NotSupported,
    /// The value may not be set here or now.
    Forbidden,
    /// Too many bytes or characters.
    TooLong,
    /// Too many items.
    TooMany,
    /// The check itself failed.
    Internal,
}

impl ErrorKind {
    /// The `reason` of the cause in a `Status`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Internal => "InternalError",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }

    fn shows_value(self) -> bool {
        !matches!(self, Self::Required | Self::Forbidden | Self::TooLong | Self::Internal)
    }
}

/// One error of validation. Prints as `spec.replicas: Invalid value: -1: must be greater than or equal to 0`.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    /// How the value is wrong.
    pub kind: ErrorKind,
    /// Where it is.
    pub path: Path,
    /// The value, as far as it could be shown as JSON.
    pub value: Tree<'static>,
    /// The rule that it breaks; may be empty.
    pub detail: String,
    /// Whether the value's Go type is a plain string, which messages quote as Go does. Strings of named types, such as
    /// those of enumerations, are shown as JSON.
    pub is_plain: bool,
}

impl Error {
    fn new(kind: ErrorKind, path: &Path, value: Tree<'static>, detail: impl Into<String>) -> Self {
        let is_plain = kind != ErrorKind::NotSupported;
        Self { kind, path: path.clone(), value, detail: detail.into(), is_plain }
    }

    /// The value refers to something that does not exist.
    pub fn not_found(path: &Path, value: impl Serialize) -> Self {
        Self::new(ErrorKind::NotFound, path, shown(value), "")
    }

    /// The value is missing.
    pub fn required(path: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Required, path, Tree::from(""), detail)
    }

    /// The value occurs twice where it must be unique.
    pub fn duplicate(path: &Path, value: impl Serialize) -> Self {
        Self::new(ErrorKind::Duplicate, path, shown(value), "")
    }

    /// The value breaks the rule that `detail` states.
    pub fn invalid(path: &Path, value: impl Serialize, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, path, shown(value), detail)
    }

    /// The value is not one of `supported`, which are listed in the order given (upstream mostly sorts them).
    pub fn not_supported<S: AsRef<str>>(path: &Path, value: impl Serialize, supported: &[S]) -> Self {
        let quoted: Vec<String> = supported.iter().map(|value| json::quoted(value.as_ref())).collect();
        let detail = if quoted.is_empty() {
            String::new()
        } else {
            format!("supported values: {}", quoted.join(", "))
        };
        Self::new(ErrorKind::NotSupported, path, shown(value), detail)
    }

    /// The value may not be set, for the reason in `detail`.
    pub fn forbidden(path: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, path, Tree::from(""), detail)
    }

    /// The value has more than `max` bytes.
    pub fn too_long(path: &Path, max: usize) -> Self {
        Self::new(
            ErrorKind::TooLong,
            path,
            omitted(),
            format!("may not be more than {}", counted(max, "byte")),
        )
    }

    /// The list has `actual` items and may have `max`.
    pub fn too_many(path: &Path, actual: usize, max: usize) -> Self {
        let detail = format!("must have at most {}", counted(max, "item"));
        Self::new(ErrorKind::TooMany, path, shown(actual), detail)
    }

    /// The check failed, not the value.
    pub fn internal(path: &Path, error: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Internal, path, Tree::Null, error.to_string())
    }

    /// The same, with the value as a plain string.
    #[must_use]
    pub fn plain(self) -> Self {
        Self { is_plain: true, ..self }
    }

    /// The same, with the value as a string of a named Go type.
    #[must_use]
    pub fn named(self) -> Self {
        Self { is_plain: false, ..self }
    }

    /// The text without the path, as causes of a `Status` carry it.
    pub fn body(&self) -> String {
        let mut body = self.kind.words().to_owned();
        if self.kind.shows_value() {
            body.push_str(": ");
            body.push_str(&self.printed_value());
        }
        if !self.detail.is_empty() {
            body.push_str(": ");
            body.push_str(&self.detail);
        }
        body
    }

    fn printed_value(&self) -> String {
        match &self.value {
            Tree::String(text) if self.is_plain => json::quoted(text),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.body())
    }
}

impl std::error::Error for Error {}

/// All errors in one text: one alone as it is, several as `[a, b]`, equal ones once.
pub fn aggregate(errors: &[Error]) -> String {
    let mut texts: Vec<String> = Vec::with_capacity(errors.len());
    for error in errors {
        let text = error.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    if let [single] = texts.as_slice() { single.clone() } else { format!("[{}]", texts.join(", ")) }
}

fn shown(value: impl Serialize) -> Tree<'static> {
    json::to_tree(&value).unwrap_or(Tree::Null)
}

fn omitted() -> Tree<'static> {
    Tree::from("<value omitted>")
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: &Error, text: &str) {
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn errors_print_as_upstream_prints_them() {
        let path = Path::new("spec").child("containers").index(0).child("name");
        check(&Error::required(&path, ""), "spec.containers[0].name: Required value");
        check(
            &Error::invalid(&path, "A\n", "must be lower"),
            r#"spec.containers[0].name: Invalid value: "A\n": must be lower"#,
        );
        check(&Error::invalid(&path, -1, ""), "spec.containers[0].name: Invalid value: -1");
        let pair = serde_json::json!({"a": "<"});
        check(&Error::duplicate(&path, pair), r#"spec.containers[0].name: Duplicate value: {"a":"\u003c"}"#);
        check(
            &Error::not_supported(&path, "x", &["A", "B"]),
            r#"spec.containers[0].name: Unsupported value: "x": supported values: "A", "B""#,
        );
        check(
            &Error::too_long(&path, 63),
            "spec.containers[0].name: Too long: may not be more than 63 bytes",
        );
        check(&Error::too_many(&Path::new("items"), 3, 1), "items: Too many: 3: must have at most 1 item");
        check(
            &Error::forbidden(&Path::new("metadata").child("labels").key("a/b"), "no"),
            "metadata.labels[a/b]: Forbidden: no",
        );
    }

    #[test]
    fn equal_errors_are_told_once() {
        let one = Error::required(&Path::new("a"), "");
        let two = Error::required(&Path::new("b"), "");
        assert_eq!(aggregate(&[one.clone(), one.clone()]), "a: Required value");
        assert_eq!(aggregate(&[one, two]), "[a: Required value, b: Required value]");
    }
}
