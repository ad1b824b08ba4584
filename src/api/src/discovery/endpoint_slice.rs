//! EndpointSlice (upstream: `pkg/registry/discovery/endpointslice`).

mod validate;

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use k8s_openapi::jiff::Timestamp;
use machinery::field::{ErrorList, Path};
use machinery::table::Column;
use serde_json::Value;

use crate::kind::{Context, Kind};
use crate::{cells, checks, defaults};

const TYPE: &str = "io.k8s.api.discovery.v1.EndpointSlice";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const CONTROLLERS: &[&str] = &["endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"];

impl Kind for EndpointSlice {
    const SINGULAR: &'static str = "endpointslice";
    const NAMESPACED: bool = true;

    fn set_defaults(&mut self) {
        for port in self.ports.iter_mut().flatten() {
            port.name.get_or_insert_default();
            defaults::string(&mut port.protocol, "TCP");
        }
    }

    fn prepare_for_create(&mut self, _cx: &Context) {
        self.metadata.generation = Some(1);
        drop_topology(self);
    }

    fn validate(&self) -> ErrorList {
        validate::validate(self)
    }

    fn prepare_for_update(&mut self, old: &Self, _cx: &Context) {
        if is_changed(self, old) {
            self.metadata.generation = Some(old.metadata.generation.unwrap_or_default() + 1);
        }
        if self.endpoints != old.endpoints {
            drop_topology(self);
        }
    }

    fn validate_update(&self, old: &Self) -> ErrorList {
        let mut errors = checks::metadata(self);
        errors.extend(validate::validate_update(self, old));
        errors.extend(checks::immutable(&self.address_type, &old.address_type, &Path::new("addressType")));
        errors
    }

    fn warnings(&self, old: Option<&Self>) -> Vec<String> {
        let mut warnings = vec![];
        if old.is_none() && self.address_type == "FQDN" {
            warnings.push("spec.addressType: FQDN endpoints are deprecated".to_owned());
        }
        if is_from_controller(self) {
            return warnings;
        }
        for (index, endpoint) in self.endpoints.iter().flatten().enumerate() {
            let path = Path::new("endpoints").index(index).child("addresses");
            for (index, address) in endpoint.addresses.iter().enumerate() {
                warnings.extend(checks::ip_warnings(address, &path.index(index)));
            }
        }
        warnings
    }

    fn columns() -> Vec<Column> {
        vec![
            cells::name(),
            cells::column("AddressType", "string", "Type of the addresses."),
            cells::column("Ports", "string", "Ports of every endpoint."),
            cells::column("Endpoints", "string", "Addresses of the endpoints."),
            cells::age(),
        ]
    }

    fn row(&self, now: Timestamp) -> Vec<Value> {
        vec![
            cells::name_of(&self.metadata),
            Value::from(self.address_type.as_str()),
            shown(self.ports.iter().flatten().map(port)).into(),
            shown(self.endpoints.iter().flatten().flat_map(|endpoint| endpoint.addresses.clone())).into(),
            cells::age_of(&self.metadata, now),
        ]
    }
}

/// `deprecatedTopology` cannot be written through this version.
fn drop_topology(slice: &mut EndpointSlice) {
    let drop = |endpoint: &mut Endpoint| endpoint.deprecated_topology = None;
    slice.endpoints.iter_mut().flatten().for_each(drop);
}

/// The generation counts changes of anything but metadata, and of labels.
fn is_changed(new: &EndpointSlice, old: &EndpointSlice) -> bool {
    let without_metadata = |slice: &EndpointSlice| {
        let labels = slice.metadata.labels.clone();
        let mut slice = slice.clone();
        slice.metadata = Default::default();
        slice.metadata.labels = labels;
        slice
    };
    !checks::same(TYPE, &without_metadata(new), &without_metadata(old))
}

fn is_from_controller(slice: &EndpointSlice) -> bool {
    let labels = slice.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|by| CONTROLLERS.contains(&by.as_str()))
}

fn port(port: &EndpointPort) -> String {
    match (port.port, &port.name) {
        (Some(number), _) => number.to_string(),
        (None, Some(name)) => name.clone(),
        (None, None) => "*".to_owned(),
    }
}

fn shown(all: impl Iterator<Item = String>) -> String {
    let text = cells::first_three(&all.collect::<Vec<_>>());
    if text.is_empty() { "<unset>".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, object};

    #[test]
    fn generation_counts_changes_of_content_and_labels() {
        let old: EndpointSlice = object(
            r#"{"metadata":{"generation":3},"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"]}]}"#,
        );
        let generation = |change: fn(&mut EndpointSlice)| {
            let mut new = old.clone();
            change(&mut new);
            new.prepare_for_update(&old, &context());
            new.metadata.generation
        };
        assert_eq!(generation(|_| ()), Some(3));
        assert_eq!(
            generation(|slice| slice.metadata.annotations = Some([("a".into(), "b".into())].into())),
            Some(3)
        );
        assert_eq!(
            generation(|slice| slice.metadata.labels = Some([("a".into(), "b".into())].into())),
            Some(4)
        );
        assert_eq!(generation(|slice| slice.endpoints = None), Some(4));
    }

    #[test]
    fn the_table_shows_ports_and_addresses() {
        let slice: EndpointSlice = object(
            r#"{"addressType":"IPv4","ports":[{"port":80}],"endpoints":[{"addresses":["10.0.0.1"]},{"addresses":["10.0.0.2"]}]}"#,
        );
        assert_eq!(
            slice.row(Timestamp::UNIX_EPOCH)[1..4],
            ["IPv4", "80", "10.0.0.1,10.0.0.2"].map(Value::from)
        );
        assert_eq!(EndpointSlice::default().row(Timestamp::UNIX_EPOCH)[2], "<unset>");
    }
}
