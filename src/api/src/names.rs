//! The name rules that kinds choose from (upstream: `apimachinery/pkg/api/validation/name.go`).
//!
//! Each takes a name and whether it is only the prefix of one to be generated, and answers what is wrong with it, in
//! upstream's words. Which kind uses which rule is said in the kind's file.

use std::borrow::Cow;

use machinery::names;

/// A DNS subdomain: most kinds.
pub(crate) fn subdomain(name: &str, prefix: bool) -> Vec<String> {
    names::dns1123_subdomain(&whole(name, prefix))
}

/// A DNS label: namespaces, services.
pub(crate) fn label(name: &str, prefix: bool) -> Vec<String> {
    names::dns1123_label(&whole(name, prefix))
}

/// Anything that can stand in a URL path: the RBAC kinds.
pub(crate) fn path_segment(name: &str, prefix: bool) -> Vec<String> {
    if prefix { names::path_segment_prefix(name) } else { names::path_segment_name(name) }
}

/// A prefix may end with a dash, since more follows.
fn whole(name: &str, prefix: bool) -> Cow<'_, str> {
    if prefix { names::mask_trailing_dash(name).into() } else { name.into() }
}
