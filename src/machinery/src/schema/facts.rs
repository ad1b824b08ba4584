//! The generated facts, and finding a type in them.
//!
//! The files are part of the binary. A file is split into its types when one of them is first asked for, and a type is
//! parsed when it is itself first asked for, so that what is not used costs nothing.

use std::sync::OnceLock;

use super::{Type, parse};
use crate::gvk::{GroupVersion, GroupVersionKind};

static KINDS: &str = include_str!("facts/kinds.txt");

macro_rules! packages {
    ($($name:literal)*) => {
        [$(Package {
            name: $name,
            text: include_str!(concat!("facts/", $name, ".txt")),
            entries: OnceLock::new(),
        }),*]
    };
}

static PACKAGES: [Package; 28] = packages![
    "admission" "admissionregistration" "apidiscovery" "apiextensions" "apiregistration" "apiserverinternal" "apps"
    "authentication" "authorization" "autoscaling" "batch" "certificates" "coordination" "core" "discovery" "events"
    "extensions" "flowcontrol" "imagepolicy" "meta" "networking" "node" "policy" "rbac" "resource" "scheduling"
    "storage" "storagemigration"
];

struct Package {
    name: &'static str,
    text: &'static str,
    entries: OnceLock<Box<[Entry]>>,
}

struct Entry {
    head: parse::Head,
    fields: &'static str,
    parsed: OnceLock<Type>,
}

/// The type of a kind, if it is a built-in one.
pub fn of(kind: &GroupVersionKind) -> Option<&'static Type> {
    let own = type_name(&kind.api_version(), &kind.kind);
    named(&own.or_else(|| shared_type_name(&kind.kind))?)
}

/// Options and the like belong to every group and version; they are listed under `v1` only.
fn shared_type_name(kind: &str) -> Option<String> {
    type_name("v1", kind).filter(|name| name.starts_with("io.k8s.apimachinery."))
}

/// The type of this OpenAPI name.
pub fn named(name: &str) -> Option<&'static Type> {
    let package = name.rsplit('.').nth(2)?;
    let package = PACKAGES.iter().find(|one| one.name == package)?;
    let entries = package.entries.get_or_init(|| entries(package.text));
    let place = entries.binary_search_by_key(&name, |entry| entry.head.name).ok()?;
    let entry = &entries[place];
    Some(entry.parsed.get_or_init(|| parse::type_(entry.head, entry.fields)))
}

/// All built-in kinds, but for the options that belong to every group and version.
pub fn kinds() -> Vec<GroupVersionKind> {
    let mut kinds = Vec::new();
    for line in KINDS.lines() {
        let mut words = line.split(' ');
        let api_version = words.next().unwrap_or_default();
        let group_version = GroupVersion::parse(api_version).expect("the generator writes group/version");
        kinds.extend(
            words.skip(1).map(|word| group_version.with_kind(word.split('=').next().unwrap_or(word))),
        );
    }
    kinds
}

fn type_name(api_version: &str, kind: &str) -> Option<String> {
    let rest = KINDS.lines().find_map(|line| line.strip_prefix(api_version)?.strip_prefix(' '))?;
    let (home, kinds) = rest.split_once(' ')?;
    kinds.split(' ').find_map(|word| match word.split_once('=') {
        None => (word == kind).then(|| format!("{home}.{kind}")),
        Some((name, type_name)) => (name == kind).then(|| type_name.to_owned()),
    })
}

/// Splits a file at the lines that begin a type: those that begin with no tab.
fn entries(text: &'static str) -> Box<[Entry]> {
    let mut entries = Vec::new();
    let mut rest = text;
    while let Some((head, below)) = rest.split_once('\n') {
        let len = fields_len(below);
        let (fields, next) = below.split_at(len);
        entries.push(Entry { head: parse::head(head), fields, parsed: OnceLock::new() });
        rest = next;
    }
    entries.into()
}

fn fields_len(text: &str) -> usize {
    if text.starts_with('\t') {
        text.match_indices('\n')
            .map(|(place, _)| place + 1)
            .find(|&place| !text[place..].starts_with('\t'))
            .unwrap_or(text.len())
    } else {
        0
    }
}
