//! Names of entries and the parts of the key space that lists and watches cover.
//!
//! Keys come from the caller and go into the current map and the engine. Nothing here knows what a group or a resource
//! means; they are only the first two parts of a path, and the store keeps one map per pair of them.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

/// The longest key in bytes.
pub(crate) const MAX_KEY: usize = 4096;

/// The name of one entry: `<group>/<resource>/<namespace>/<name>`.
///
/// The core group and "no namespace" are empty parts. Cheap to clone; ordered by bytes, which within one namespace is
/// the order of names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// Puts the four parts together. A part holding `/` or NUL makes a key that [`Key::is_valid`] refuses.
    #[must_use]
    pub fn new(group: &str, resource: &str, namespace: &str, name: &str) -> Self {
        let mut path = String::with_capacity(group.len() + resource.len() + namespace.len() + name.len() + 3);
        for (index, part) in [group, resource, namespace, name].into_iter().enumerate() {
            if index > 0 {
                path.push('/');
            }
            path.push_str(part);
        }
        Self(path.into())
    }

    /// The key that [`Key::as_str`] gave, or `None` where the text is not the name of an entry.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let key = Self(path.into());
        key.is_valid().then_some(key)
    }

    /// Whether it has exactly four parts, a resource, a name, no NUL and at most 4096 bytes: what the store accepts.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.0.len() <= MAX_KEY
            && self.0.bytes().filter(|&byte| byte == b'/').count() == 3
            && !self.0.as_bytes().contains(&0)
            && !self.resource().is_empty()
            && !self.name().is_empty()
    }

    /// The first part; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.part(0)
    }

    /// The second part.
    #[must_use]
    pub fn resource(&self) -> &str {
        self.part(1)
    }

    /// The third part; empty for what lives in no namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.part(2)
    }

    /// The last part.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.splitn(4, '/').nth(3).unwrap_or("")
    }

    /// The whole path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `<group>/<resource>`: the current map and the watchers are kept per value of this.
    pub(crate) fn collection(&self) -> &str {
        let mut slashes = self.0.match_indices('/').map(|(at, _)| at);
        let end = slashes.nth(1).unwrap_or(self.0.len());
        &self.0[..end]
    }

    fn part(&self, index: usize) -> &str {
        self.0.split('/').nth(index).unwrap_or("")
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

/// What a list or a watch covers: one resource, one namespace of it, or one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Range {
    path: Box<str>,
    extent: Extent,
}

/// How much of the key space below [`Range::path`] belongs to a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Extent {
    /// The path is `<group>/<resource>/`.
    Resource,
    /// The path is `<group>/<resource>/<namespace>/`.
    Namespace,
    /// The path is a key.
    Key,
}

impl Extent {
    /// The path of the range of this extent in which a key lies.
    pub(crate) fn of(self, key: &str) -> &str {
        let slash = match self {
            Self::Resource => key.match_indices('/').nth(1),
            Self::Namespace => key.match_indices('/').nth(2),
            Self::Key => None,
        };
        slash.map_or(key, |(at, _)| &key[..=at])
    }
}

impl Range {
    /// Every entry of a resource, in all namespaces.
    #[must_use]
    pub fn resource(group: &str, resource: &str) -> Self {
        Self { path: format!("{group}/{resource}/").into(), extent: Extent::Resource }
    }

    /// Every entry of a resource in one namespace.
    #[must_use]
    pub fn namespace(group: &str, resource: &str, namespace: &str) -> Self {
        Self { path: format!("{group}/{resource}/{namespace}/").into(), extent: Extent::Namespace }
    }

    /// One entry.
    #[must_use]
    pub fn key(key: &Key) -> Self {
        Self { path: key.as_str().into(), extent: Extent::Key }
    }

    /// Whether the key lies in the range.
    #[must_use]
    pub fn contains(&self, key: &Key) -> bool {
        match self.extent {
            Extent::Key => key.as_str() == &*self.path,
            Extent::Resource | Extent::Namespace => key.as_str().starts_with(&*self.path),
        }
    }

    pub(crate) fn is_whole_resource(&self) -> bool {
        self.extent == Extent::Resource
    }

    pub(crate) fn extent(&self) -> Extent {
        self.extent
    }

    /// The prefix all keys of the range share; the key itself for a range of one.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// As [`Key::collection`].
    pub(crate) fn collection(&self) -> &str {
        let mut slashes = self.path.match_indices('/').map(|(at, _)| at);
        let end = slashes.nth(1).unwrap_or(self.path.len());
        &self.path[..end]
    }

    /// The first text behind all keys of the range.
    pub(crate) fn end(&self) -> String {
        let mut end = String::from(&*self.path);
        match self.extent {
            Extent::Key => end.push('\0'),
            Extent::Resource | Extent::Namespace => {
                // The path ends with '/', and '0' is the character after it.
                end.pop();
                end.push('0');
            }
        }
        end
    }

    /// Where to look for the keys of the range that come after `after`.
    pub(crate) fn start<'a>(&'a self, after: Option<&'a Key>) -> Bound<&'a str> {
        match after {
            Some(key) if key.as_str() >= &*self.path => Bound::Excluded(key.as_str()),
            _ => Bound::Included(&self.path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_as_they_went_in() {
        let key = Key::new("apps", "deployments", "default", "web");
        assert_eq!(key.as_str(), "apps/deployments/default/web");
        assert_eq!((key.group(), key.resource()), ("apps", "deployments"));
        assert_eq!((key.namespace(), key.name()), ("default", "web"));
        assert_eq!(key.collection(), "apps/deployments");
        assert_eq!(Key::new("", "nodes", "", "n1").as_str(), "/nodes//n1");
        assert_eq!(Key::new("", "nodes", "", "n1").collection(), "/nodes");
    }

    #[test]
    fn only_names_of_entries_are_valid() {
        for valid in ["/nodes//n1", "apps/deployments/default/web", "rbac/clusterroles//system:node"] {
            assert!(Key::parse(valid).is_some(), "{valid}");
        }
        for invalid in ["", "nodes", "/nodes/n1", "/nodes//", "///n", "a/b/c/d/e", "/nodes//a\0b"] {
            assert!(Key::parse(invalid).is_none(), "{invalid:?}");
        }
    }

    #[test]
    fn ranges_contain_their_own_and_not_their_neighbours() {
        fn check(range: &Range, key: &str, expected: bool) {
            let key = Key::parse(key).unwrap();
            assert_eq!(range.contains(&key), expected, "{key} in {range:?}");
            let within = *key.as_str() >= *range.path && *key.as_str() < *range.end();
            assert_eq!(within, expected, "bounds of {range:?} for {key}");
        }
        let pods = Range::resource("", "pods");
        check(&pods, "/pods/default/a", true);
        check(&pods, "/podtemplates/default/a", false);
        check(&pods, "x/pods/default/a", false);
        let default = Range::namespace("", "pods", "default");
        check(&default, "/pods/default/a", true);
        check(&default, "/pods/default-2/a", false);
        let one = Range::key(&Key::new("", "pods", "default", "a"));
        check(&one, "/pods/default/a", true);
        check(&one, "/pods/default/a-b", false);
        assert_eq!(one.collection(), pods.collection());
    }
}
