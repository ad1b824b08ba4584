//! ResourceSlice: devices that a driver offers (upstream: `pkg/registry/resource/resourceslice`).

mod attributes;
mod capacity;
mod devices;
mod validate;

use std::collections::BTreeMap;

use k8s_openapi::api::resource::v1::{Counter, ResourceSlice};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use machinery::field::ErrorList;
use machinery::meta;
use machinery::table::Column;
use serde_json::Value;

use crate::kind::{Context, Kind, Selectable};
use crate::{cells, checks};

pub(super) use devices::validate_binding;

const SPEC: &str = "io.k8s.api.resource.v1.ResourceSliceSpec";

impl Kind for ResourceSlice {
    const SINGULAR: &'static str = "resourceslice";
    const RETURNS_DELETED: bool = true;
    const NAMESPACED: bool = false;
    const FIELDS: &'static [Selectable] = &[
        Selectable::new("spec.driver", &[&["spec", "driver"]]),
        Selectable::new("spec.nodeName", &[&["spec", "nodeName"]]),
    ];

    fn unselectable(label: &str) -> String {
        format!("field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: {label}")
    }

    fn set_defaults(&mut self) {
        let sets = self.spec.shared_counters.iter_mut().flatten().map(|set| &mut set.counters);
        sets.for_each(set_amounts);
        for device in self.spec.devices.iter_mut().flatten() {
            device.capacity.iter_mut().flatten().for_each(|(_, capacity)| set_amount(&mut capacity.value));
            device.consumes_counters.iter_mut().flatten().for_each(|set| set_amounts(&mut set.counters));
        }
    }

    fn prepare_for_create(&mut self, cx: &Context) {
        self.metadata.generation = Some(1);
        date_taints(self, cx);
        drop_disabled(self);
    }

    fn validate(&self) -> ErrorList {
        validate::validate(&self.spec, None)
    }

    fn prepare_for_update(&mut self, old: &Self, cx: &Context) {
        date_taints(self, cx);
        // What is dropped counts as a change, as it does upstream.
        if !checks::same(SPEC, &self.spec, &old.spec) {
            self.metadata.generation = Some(old.metadata.generation.unwrap_or_default() + 1);
        }
        drop_disabled(self);
    }

    fn validate_update(&self, old: &Self) -> ErrorList {
        let mut errors = checks::metadata_update(self, old);
        errors.extend(validate::validate(&self.spec, Some(&old.spec)));
        errors
    }

    fn warnings(&self, _old: Option<&Self>) -> Vec<String> {
        let driver = &self.spec.driver;
        if *driver == driver.to_lowercase() {
            return vec![];
        }
        let quoted = machinery::json::quoted(driver);
        vec![format!("spec.driver: driver names should be lowercase; {quoted} contains uppercase characters")]
    }

    fn columns() -> Vec<Column> {
        vec![
            cells::name(),
            cells::column("Node", "string", "The node that has the devices, if it is one."),
            cells::column("Driver", "string", "The driver that offers them."),
            cells::column("Pool", "string", "The pool that they belong to."),
            cells::age(),
        ]
    }

    fn row(&self, now: Timestamp) -> Vec<Value> {
        vec![
            cells::name_of(&self.metadata),
            cells::text(self.spec.node_name.as_deref()),
            Value::from(self.spec.driver.as_str()),
            Value::from(self.spec.pool.name.as_str()),
            cells::age_of(&self.metadata, now),
        ]
    }
}

fn set_amounts(counters: &mut BTreeMap<String, Counter>) {
    counters.values_mut().for_each(|counter| set_amount(&mut counter.value));
}

/// An amount that is absent is none.
fn set_amount(amount: &mut Quantity) {
    if amount.0.is_empty() {
        amount.0 = "0".to_owned();
    }
}

/// A taint that says nothing of it was added now.
fn date_taints(slice: &mut ResourceSlice, cx: &Context) {
    let taints =
        slice.spec.devices.iter_mut().flatten().flat_map(|device| device.taints.iter_mut().flatten());
    for taint in taints {
        taint.time_added.get_or_insert_with(|| Time(meta::whole_seconds(cx.now).0));
    }
}

/// Drops what this version does not store: attributes with several values, and devices that stand for resources of a node
/// (upstream's gates `DRAListTypeAttributes` and `DRANodeAllocatableResources`, which are off).
fn drop_disabled(slice: &mut ResourceSlice) {
    for device in slice.spec.devices.iter_mut().flatten() {
        device.node_allocatable_resource_mappings = None;
        for (_, attribute) in device.attributes.iter_mut().flatten() {
            attribute.bools = None;
            attribute.ints = None;
            attribute.strings = None;
            attribute.versions = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, errors_of, errors_of_update, object};

    const SLICE: &str = r#"{"spec":{"driver":"d.example.com","pool":{"name":"p","resourceSliceCount":1},"nodeName":"n",
        "devices":[{"name":"a","attributes":{"model":{"string":"x"}},"capacity":{"memory":{"value":"1Gi"}}}]}}"#;

    #[test]
    fn a_slice_says_once_where_its_devices_are() {
        errors_of::<ResourceSlice>(SLICE, &[]);
        errors_of::<ResourceSlice>(
            &SLICE.replace("\"nodeName\"", "\"allNodes\":true,\"nodeName\""),
            &[
                "spec: Invalid value: \"{`nodeName`, `allNodes`}\": exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set",
            ],
        );
    }

    #[test]
    fn driver_pool_and_node_stay() {
        errors_of_update::<ResourceSlice>(
            SLICE,
            &SLICE.replace("\"n\"", "\"m\""),
            &["spec.nodeName: Invalid value: \"m\": field is immutable"],
        );
    }

    #[test]
    fn a_taint_is_dated_and_the_generation_counts_changes() {
        let old: ResourceSlice = object(SLICE);
        let mut new: ResourceSlice = object(
            &SLICE.replace("\"attributes\"", r#""taints":[{"key":"k","effect":"NoSchedule"}],"attributes""#),
        );
        new.prepare_for_update(&old, &context());
        assert_eq!(new.metadata.generation, Some(1));
        let taint = &new.spec.devices.unwrap()[0].taints.clone().unwrap()[0];
        assert_eq!(taint.time_added, Some(Time(Timestamp::UNIX_EPOCH)));
    }
}
