//! CSINode: which storage drivers a node has (upstream: `pkg/registry/storage/csinode`, `ValidateCSINode`). Kubelets write it,
//! schedulers read it.

use std::collections::BTreeSet;

use k8s_openapi::api::storage::v1::{CSINode, CSINodeDriver};
use k8s_openapi::jiff::Timestamp;
use machinery::field::{Error, ErrorList, Path};
use machinery::table::Column;
use serde_json::Value;

use crate::kind::Kind;
use crate::{cells, checks};

const DRIVER: &str = "io.k8s.api.storage.v1.CSINodeDriver";
const MAX_NODE_ID: usize = 256;

impl Kind for CSINode {
    const SINGULAR: &'static str = "csinode";
    const RETURNS_DELETED: bool = true;
    const NAMESPACED: bool = false;
    const ALLOW_UNCONDITIONAL_UPDATE: bool = false;

    fn validate(&self) -> ErrorList {
        let drivers = Path::new("spec.drivers");
        let mut seen = BTreeSet::new();
        let each = self.spec.drivers.iter().enumerate();
        each.flat_map(|(index, driver)| validate_driver(driver, &mut seen, &drivers.index(index))).collect()
    }

    fn validate_update(&self, old: &Self) -> ErrorList {
        let mut errors = checks::metadata(self);
        errors.extend(self.validate());
        for old in &old.spec.drivers {
            let same = self.spec.drivers.iter().filter(|driver| driver.name == old.name);
            errors.extend(same.filter_map(|driver| changed(driver, old)));
        }
        errors
    }

    fn columns() -> Vec<Column> {
        vec![
            cells::name(),
            cells::column("Drivers", "integer", "How many drivers the node has."),
            cells::age(),
        ]
    }

    fn row(&self, now: Timestamp) -> Vec<Value> {
        vec![
            cells::name_of(&self.metadata),
            Value::from(self.spec.drivers.len()),
            cells::age_of(&self.metadata, now),
        ]
    }
}

/// A driver that is registered stays as it is, the number of volumes that it takes apart.
fn changed(new: &CSINodeDriver, old: &CSINodeDriver) -> Option<Error> {
    let without_count = |driver: &CSINodeDriver| CSINodeDriver { allocatable: None, ..driver.clone() };
    let (new, old) = (without_count(new), without_count(old));
    let error =
        || Error::invalid(&Path::new("spec.drivers"), checks::internal(DRIVER, &new), "field is immutable");
    (!checks::same(DRIVER, &new, &old)).then(error)
}

fn validate_driver<'a>(driver: &'a CSINodeDriver, seen: &mut BTreeSet<&'a str>, path: &Path) -> ErrorList {
    let mut errors = checks::driver_name(&driver.name, &path.child("name"));
    errors.extend(validate_node_id(&driver.node_id, &path.child("nodeID")));
    if let Some(count) = driver.allocatable.as_ref().and_then(|allocatable| allocatable.count) {
        errors.extend(checks::nonnegative(count.into(), &path.child("allocatable.count")));
    }
    if !seen.insert(&driver.name) {
        errors.push(Error::duplicate(&path.child("name"), driver.name.as_str()));
    }
    errors.extend(validate_topology_keys(driver.topology_keys.as_deref().unwrap_or_default(), path));
    errors
}

fn validate_node_id(id: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if id.is_empty() {
        errors.push(Error::required(path, ""));
    }
    if id.len() > MAX_NODE_ID {
        errors.push(Error::invalid(path, id, format!("must be {MAX_NODE_ID} characters or less")));
    }
    errors
}

fn validate_topology_keys(keys: &[String], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for key in keys {
        if key.is_empty() {
            errors.push(Error::required(path, ""));
        }
        if !seen.insert(key) {
            errors.push(Error::duplicate(path, key.as_str()));
        }
        errors.extend(checks::qualified_name(key, path));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{errors_of, errors_of_update};

    #[test]
    fn a_driver_is_named_once_and_has_a_node_id() {
        errors_of::<CSINode>(
            r#"{"spec":{"drivers":[{"name":"a.b","nodeID":"n","topologyKeys":["z/k"]}]}}"#,
            &[],
        );
        errors_of::<CSINode>(
            r#"{"spec":{"drivers":[{"name":"a.b","nodeID":"n"},{"name":"a.b","nodeID":"","topologyKeys":["k","k"],"allocatable":{"count":-1}}]}}"#,
            &[
                "spec.drivers[1].nodeID: Required value",
                "spec.drivers[1].allocatable.count: Invalid value: -1: must be greater than or equal to 0",
                "spec.drivers[1].name: Duplicate value: \"a.b\"",
                "spec.drivers[1]: Duplicate value: \"k\"",
            ],
        );
    }

    #[test]
    fn of_a_registered_driver_only_the_volume_limit_changes() {
        let old = r#"{"spec":{"drivers":[{"name":"a","nodeID":"n"}]}}"#;
        errors_of_update::<CSINode>(
            old,
            r#"{"spec":{"drivers":[{"name":"a","nodeID":"n","allocatable":{"count":3}}]}}"#,
            &[],
        );
        errors_of_update::<CSINode>(
            old,
            r#"{"spec":{"drivers":[{"name":"a","nodeID":"m"}]}}"#,
            &[
                r#"spec.drivers: Invalid value: {"Name":"a","NodeID":"m","TopologyKeys":null,"Allocatable":null}: field is immutable"#,
            ],
        );
    }
}
