//! IPAddress: an address that is in use, and by whom (upstream: `pkg/registry/networking/ipaddress`, `ValidateIPAddress`). It
//! is called what it is, so that the store has each address once.

use k8s_openapi::api::networking::v1::{IPAddress, ParentReference};
use k8s_openapi::jiff::Timestamp;
use machinery::field::{Error, ErrorList, Path};
use machinery::json::Tree;
use machinery::names;
use machinery::table::Column;
use serde_json::Value;

use crate::cells;
use crate::checks::{self, text};
use crate::kind::Kind;

const PARENT: &str = "io.k8s.api.networking.v1.ParentReference";

impl Kind for IPAddress {
    const SINGULAR: &'static str = "ipaddress";
    const SHORT_NAMES: &'static [&'static str] = &["ip"];
    const NAMESPACED: bool = false;

    fn validate_name(name: &str, _prefix: bool) -> Vec<String> {
        checks::strict_ip(name, &Path::root()).into_iter().map(|error| error.detail).collect()
    }

    /// An address with a suffix would be none: the base itself.
    fn generate_name(base: &str) -> String {
        base.to_owned()
    }

    fn validate(&self) -> ErrorList {
        let path = Path::new("spec.parentRef");
        match parent(self) {
            Some(parent) => validate_parent(parent, &path),
            None => vec![Error::required(&path, "")],
        }
    }

    fn validate_update(&self, old: &Self) -> ErrorList {
        let mut errors = checks::metadata(self);
        errors.extend(self.validate());
        errors.extend(checks::metadata_update(self, old));
        if self.spec.parent_ref != old.spec.parent_ref {
            let shown = parent(self).map_or(Tree::Null, |parent| checks::internal(PARENT, parent));
            errors.push(Error::invalid(&Path::new("spec.parentRef"), shown, "field is immutable"));
        }
        errors
    }

    fn columns() -> Vec<Column> {
        vec![cells::name(), cells::column("ParentRef", "string", "Who uses the address.")]
    }

    fn row(&self, _now: Timestamp) -> Vec<Value> {
        let shown = parent(self).map_or_else(|| cells::NONE.to_owned(), shown);
        vec![cells::name_of(&self.metadata), Value::from(shown)]
    }
}

/// Who uses the address. A reference that names nothing is none.
fn parent(address: &IPAddress) -> Option<&ParentReference> {
    let parent = &address.spec.parent_ref;
    (*parent != ParentReference::default()).then_some(parent)
}

fn shown(parent: &ParentReference) -> String {
    let group = text(&parent.group);
    let dot = if group.is_empty() { "" } else { "." };
    let resource = format!("{}{dot}{group}", parent.resource).to_lowercase();
    let namespace = text(&parent.namespace);
    let slash = if namespace.is_empty() { "" } else { "/" };
    format!("{resource}{slash}{namespace}/{}", parent.name)
}

fn validate_parent(parent: &ParentReference, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let group = text(&parent.group);
    if !group.is_empty() {
        errors.extend(checks::dns_subdomain(group, &path.child("group")));
    }
    for (name, value) in [("resource", &parent.resource), ("name", &parent.name)] {
        let path = path.child(name);
        match value.as_str() {
            "" => errors.push(Error::required(&path, "")),
            value => errors.extend(checks::each(&path, value, names::path_segment_name(value))),
        }
    }
    let namespace = text(&parent.namespace);
    if !namespace.is_empty() {
        let messages = names::path_segment_name(namespace);
        errors.extend(checks::each(&path.child("namespace"), namespace, messages));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{errors_of, object};

    #[test]
    fn an_address_is_called_what_it_is_and_has_a_user() {
        assert_eq!(IPAddress::validate_name("10.0.0.1", false), [""; 0]);
        assert_eq!(IPAddress::validate_name("FD00::1", false), ["must be in canonical form (\"fd00::1\")"]);
        errors_of::<IPAddress>("{}", &["spec.parentRef: Required value"]);
        errors_of::<IPAddress>(
            r#"{"spec":{"parentRef":{"resource":"services"}}}"#,
            &["spec.parentRef.name: Required value"],
        );
    }

    #[test]
    fn the_table_shows_the_user() {
        let address: IPAddress = object(
            r#"{"metadata":{"name":"10.0.0.1"},"spec":{"parentRef":{"group":"example.com","resource":"gateways","namespace":"ns","name":"a"}}}"#,
        );
        assert_eq!(address.row(Timestamp::UNIX_EPOCH)[1], "gateways.example.com/ns/a");
    }
}
