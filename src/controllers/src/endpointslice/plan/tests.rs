//! Plans for slices, told by what is written.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::*;
use crate::endpointslice::desired::desired;

fn service(spec: Value) -> Service {
    let meta = json!({"name": "s", "namespace": "ns", "uid": "service", "labels": {"app": "a"}});
    serde_json::from_value(json!({"metadata": meta, "spec": spec})).unwrap()
}

fn pods(range: std::ops::Range<usize>, ready: bool) -> Vec<Arc<Pod>> {
    let ready = if ready { "True" } else { "False" };
    let pod = |number: usize| {
        let ip = format!("10.0.{}.{}", number / 250, number % 250 + 1);
        let pod = json!({
            "metadata": {"name": format!("p{number}"), "namespace": "ns", "uid": format!("{number:05}")},
            "spec": {"containers": [], "nodeName": "node"},
            "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": ready}]},
        });
        Arc::new(serde_json::from_value(pod).unwrap())
    };
    range.map(pod).collect()
}

fn plan_for(service: &Service, pods: &[Arc<Pod>], slices: &Slices) -> Plan {
    plan(service, desired(service, pods, |_| Some("zone".into())), slices, None)
}

/// Carries a plan out on `slices`.
fn carry_out(slices: &mut Vec<Arc<EndpointSlice>>, plan: Plan) {
    let gone: Vec<_> = plan.delete.iter().map(|slice| slice.metadata.name.clone()).collect();
    slices.retain(|slice| !gone.contains(&slice.metadata.name));
    for mut update in plan.update {
        update.metadata.annotations = None;
        let place = slices.iter().position(|slice| slice.metadata.name == update.metadata.name).unwrap();
        slices[place] = Arc::new(update);
    }
    for (number, mut create) in plan.create.into_iter().enumerate() {
        create.metadata.annotations = None;
        create.metadata.name = Some(format!("s-{}-{number}", slices.len()));
        slices.push(Arc::new(create));
    }
}

/// Applies one list of pods after another and compares `created/updated/deleted: sizes` of each step.
fn check(spec: Value, steps: &[(Vec<Arc<Pod>>, &str)]) {
    let (service, mut slices) = (service(spec), Vec::new());
    for (pods, expected) in steps {
        let plan = plan_for(&service, pods, &slices);
        let counts = format!("{}/{}/{}", plan.create.len(), plan.update.len(), plan.delete.len());
        carry_out(&mut slices, plan);
        let sizes: Vec<String> =
            slices.iter().map(|slice| slice.endpoints.as_ref().map_or(0, Vec::len).to_string()).collect();
        assert_eq!(format!("{counts}: {}", sizes.join(" ")), *expected);
        let again = plan_for(&service, pods, &slices);
        assert!(again.create.is_empty() && again.update.is_empty() && again.delete.is_empty(), "stable");
    }
}

fn web() -> Value {
    json!({"clusterIP": "1.1.1.1", "ipFamilies": ["IPv4"], "ports": [{"port": 80, "targetPort": 8080}]})
}

#[test]
fn slices_fill_up_to_a_hundred_and_change_as_little_as_possible() {
    check(
        web(),
        &[
            (pods(0..0, true), "1/0/0: 0"),
            (pods(0..3, true), "1/0/1: 3"),
            (pods(0..3, false), "0/1/0: 3"),
            (pods(0..150, true), "1/1/0: 100 50"),
            (pods(0..160, true), "0/1/0: 100 60"),
            (pods(100..160, true), "0/0/1: 60"),
            (pods(0..0, true), "1/0/1: 0"),
        ],
    );
}

#[test]
fn a_slice_tells_conditions_node_zone_and_owner() {
    let service = service(web());
    let plan = plan_for(&service, &pods(0..1, true), &[]);
    let slice = serde_json::to_value(&plan.create[0]).unwrap();
    assert_eq!(slice["metadata"]["generateName"], "s-");
    assert_eq!(slice["metadata"]["labels"]["kubernetes.io/service-name"], "s");
    assert_eq!(slice["metadata"]["labels"]["app"], "a");
    assert_eq!(slice["metadata"]["ownerReferences"][0]["uid"], "service");
    assert_eq!(slice["addressType"], "IPv4");
    assert_eq!(slice["ports"], json!([{"name": "", "port": 8080, "protocol": "TCP"}]));
    let endpoint = &slice["endpoints"][0];
    assert_eq!(endpoint["conditions"], json!({"ready": true, "serving": true, "terminating": false}));
    assert_eq!((&endpoint["nodeName"], &endpoint["zone"]), (&json!("node"), &json!("zone")));
    assert_eq!(endpoint["targetRef"]["name"], "p0");
}

#[test]
fn slices_of_an_earlier_service_of_the_same_name_are_deleted() {
    let mut slices = Vec::new();
    let old = service(web());
    carry_out(&mut slices, plan_for(&old, &pods(0..1, true), &[]));
    let mut new = old;
    new.metadata.uid = Some("another".into());
    let plan = plan_for(&new, &pods(0..1, true), &slices);
    assert_eq!((plan.create.len(), plan.update.len(), plan.delete.len()), (1, 0, 1));
}

#[test]
fn only_endpoints_that_are_ready_get_the_hints_that_the_service_wants() {
    let hints = |distribution: &str, ready: bool| {
        let mut spec = web();
        spec["trafficDistribution"] = json!(distribution);
        let plan = plan_for(&service(spec), &pods(0..1, ready), &Vec::new());
        let endpoint = plan.create[0].endpoints.as_ref().unwrap()[0].clone();
        serde_json::to_value(endpoint.hints).unwrap()
    };
    let zone = json!({"forZones": [{"name": "zone"}]});
    assert_eq!([hints("PreferClose", true), hints("PreferSameZone", true)], [zone.clone(), zone]);
    let node = json!({"forNodes": [{"name": "node"}], "forZones": [{"name": "zone"}]});
    assert_eq!(hints("PreferSameNode", true), node);
    assert_eq!(hints("PreferSameNode", false), Value::Null);
}

#[test]
fn hints_come_and_go_with_the_services_wish() {
    let mut near = web();
    near["trafficDistribution"] = json!("PreferSameZone");
    let mut slices = Vec::new();
    for (spec, hinted) in [(web(), false), (near, true), (web(), false)] {
        let plan = plan_for(&service(spec), &pods(0..1, true), &slices);
        assert_eq!(plan.create.len() + plan.update.len(), 1);
        carry_out(&mut slices, plan);
        assert_eq!(slices[0].endpoints.as_ref().unwrap()[0].hints.is_some(), hinted);
    }
}
