//! Names of images, as users write them, in their full form. Pure.
//!
//! The rules are those of Docker's `reference` package: a name without a registry is Docker Hub's, and there a name
//! of one component is in `library`.

use std::fmt;

use crate::error::{Error, Result};

const HUB: &str = "docker.io";

/// A full image name: registry, repository, and a tag or a digest (or both; then the digest counts).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) registry: String,
    pub(crate) repository: String,
    pub(crate) tag: Option<String>,
    pub(crate) digest: Option<String>,
}

impl Reference {
    /// Reads a name; one with neither tag nor digest gets the tag `latest`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let invalid =
            || Error::Invalid(format!("failed to parse reference {text:?}: invalid reference format"));
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.to_owned())),
            None => (text, None),
        };
        let (name, tag) = split_tag(name);
        let (registry, path) = split_registry(name);
        let repository =
            if registry == HUB && !path.contains('/') { format!("library/{path}") } else { path.to_owned() };
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some("latest".to_owned()),
        };
        let good = is_registry(registry)
            && repository.split('/').all(is_component)
            && tag.as_deref().is_none_or(is_tag)
            && digest.as_deref().is_none_or(is_digest);
        if !good {
            return Err(invalid());
        }
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }

    /// `registry/repository`.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The name with this digest and no tag.
    pub(crate) fn with_digest(&self, digest: &str) -> String {
        format!("{}@{digest}", self.name())
    }

    /// The name with the tag, if it names a tag and no digest.
    pub(crate) fn tagged(&self) -> Option<String> {
        match (&self.tag, &self.digest) {
            (Some(tag), None) => Some(format!("{}:{tag}", self.name())),
            _ => None,
        }
    }

    /// Whether the registry is this machine, which may be asked by plain HTTP.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = match self.registry.strip_prefix('[') {
            Some(v6) => v6.split(']').next().unwrap_or_default(),
            None => self.registry.split(':').next().unwrap_or_default(),
        };
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.digest, self.tagged()) {
            (Some(digest), _) => f.write_str(&self.with_digest(digest)),
            (None, Some(tagged)) => f.write_str(&tagged),
            (None, None) => f.write_str(&self.name()),
        }
    }
}

/// A colon after the last slash starts a tag; one before belongs to the registry's port.
fn split_tag(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(':') {
        Some((rest, tag)) if !tag.contains('/') => (rest, Some(tag)),
        _ => (name, None),
    }
}

fn split_registry(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some(("index.docker.io", path)) => (HUB, path),
        Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => (first, path),
        _ => (HUB, name),
    }
}

fn is_registry(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-.:[]".contains(c))
}

/// Lower case letters and digits, parted by one dot, one or two underscores, or dashes.
fn is_component(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(alphanumeric)
        && text.ends_with(alphanumeric)
        && text.chars().all(|c| alphanumeric(c) || "._-".contains(c))
        && !["..", "___", "._", "_.", ".-", "-.", "_-", "-_"].iter().any(|bad| text.contains(bad))
}

fn is_tag(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() <= 128 && text.starts_with(word) && text.chars().all(|c| word(c) || c == '.' || c == '-')
}

/// Only SHA-256 is used by registries; others cannot be checked here.
pub(crate) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: &str) {
        let got = Reference::parse(input).map_or_else(|_| "invalid".to_owned(), |r| r.to_string());
        assert_eq!(got, expected, "{input}");
    }

    #[test]
    fn short_names_are_docker_hubs() {
        check("nginx", "docker.io/library/nginx:latest");
        check("nginx:1.15-4", "docker.io/library/nginx:1.15-4");
        check("bitnami/redis", "docker.io/bitnami/redis:latest");
        check("index.docker.io/library/a", "docker.io/library/a:latest");
    }

    #[test]
    fn a_first_part_with_dot_or_port_is_a_registry() {
        check("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10");
        check("localhost/a", "localhost/a:latest");
        check("127.0.0.1:5000/a/b:t", "127.0.0.1:5000/a/b:t");
        check("host:5000/a", "host:5000/a:latest");
    }

    #[test]
    fn a_digest_wins_over_a_tag() {
        let digest = format!("sha256:{}", "a".repeat(64));
        check(&format!("a:1@{digest}"), &format!("docker.io/library/a@{digest}"));
        check("a@sha256:123", "invalid");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in ["", "UPPER", "a//b", "a:", "a b", "../x", "a/../b", "-a"] {
            check(bad, "invalid");
        }
    }

    #[test]
    fn loopback_registries_are_known_by_address_and_name() {
        for (name, expected) in
            [("localhost:5000/a", true), ("127.0.0.1:5000/a", true), ("[::1]:5000/a", true), ("a.b/c", false)]
        {
            assert_eq!(Reference::parse(name).unwrap().is_loopback(), expected, "{name}");
        }
    }
}
