//! A path to a field, printed as `spec.containers[0].name`.

use std::fmt;

/// Where in an object a field is. Cheap to extend, prints as upstream's `field.Path`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    /// The path of a top-level field. A dotted name gives a longer path.
    pub fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The empty path: the object itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// The field `name` of what this path names.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() { Self::new(name) } else { Self(format!("{}.{name}", self.0)) }
    }

    /// The element `index` of the list that this path names.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// The value under `key` of the map that this path names.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Path {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

/// Upstream prints a path that names nothing as `<nil>`.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "<nil>" } else { &self.0 })
    }
}
