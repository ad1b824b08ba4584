use super::*;
use crate::json::parse;
use crate::schema;

#[track_caller]
fn check(name: &str, current: &str, patch: &str, expected: &str) {
    let current = parse(current.as_bytes()).unwrap().tree;
    let patch = parse(patch.as_bytes()).unwrap().tree;
    let patched = apply(&current, &patch, schema::named(name).unwrap()).unwrap();
    assert_eq!(patched.to_string(), parse(expected.as_bytes()).unwrap().tree.to_string());
}

#[track_caller]
fn check_error(name: &str, current: &str, patch: &str, message: &str) {
    let current = parse(current.as_bytes()).unwrap().tree;
    let patch = parse(patch.as_bytes()).unwrap().tree;
    let error = apply(&current, &patch, schema::named(name).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), message);
}

const POD: &str = "io.k8s.api.core.v1.PodSpec";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const SERVICE: &str = "io.k8s.api.core.v1.ServiceSpec";
const DEPLOYMENT: &str = "io.k8s.api.apps.v1.DeploymentSpec";

#[test]
fn containers_are_merged_by_name() {
    check(
        POD,
        r#"{"containers":[{"name":"a","image":"1"},{"name":"b","image":"1","env":[{"name":"X","value":"1"}]}]}"#,
        r#"{"containers":[{"name":"b","image":"2","env":[{"name":"Y","value":"2"}]},{"name":"c","image":"3"}]}"#,
        r#"{"containers":[{"name":"a","image":"1"},{"name":"b","image":"2","env":[{"name":"Y","value":"2"},{"name":"X","value":"1"}]},{"name":"c","image":"3"}]}"#,
    );
}

#[test]
fn ports_are_merged_by_their_number() {
    check(
        SERVICE,
        r#"{"ports":[{"port":80,"name":"http"},{"port":443,"name":"https"}]}"#,
        r#"{"ports":[{"port":443,"name":"tls"}]}"#,
        r#"{"ports":[{"port":80,"name":"http"},{"port":443,"name":"tls"}]}"#,
    );
}

#[test]
fn lists_without_a_strategy_are_replaced() {
    check(
        POD,
        r#"{"tolerations":[{"key":"a"},{"key":"b"}]}"#,
        r#"{"tolerations":[{"key":"c"}]}"#,
        r#"{"tolerations":[{"key":"c"}]}"#,
    );
}

#[test]
fn nulls_take_away_and_leave_no_trace() {
    check(
        POD,
        r#"{"nodeName":"n","nodeSelector":{"a":"1","b":"2"}}"#,
        r#"{"nodeName":null,"nodeSelector":{"a":null},"securityContext":{"runAsUser":null}}"#,
        r#"{"nodeSelector":{"b":"2"},"securityContext":{}}"#,
    );
}

#[test]
fn patch_delete_takes_elements_away() {
    check(
        POD,
        r#"{"containers":[{"name":"a"},{"name":"b"}]}"#,
        r#"{"containers":[{"name":"a","$patch":"delete"}]}"#,
        r#"{"containers":[{"name":"b"}]}"#,
    );
    check(
        POD,
        r#"{"securityContext":{"runAsUser":1}}"#,
        r#"{"securityContext":{"$patch":"delete"}}"#,
        r#"{"securityContext":{}}"#,
    );
    check(POD, "{}", r#"{"securityContext":{"$patch":"delete"}}"#, "{}");
}

#[test]
fn patch_replace_replaces_lists_and_objects() {
    check(
        POD,
        r#"{"containers":[{"name":"a"},{"name":"b"}]}"#,
        r#"{"containers":[{"$patch":"replace"},{"name":"c"}]}"#,
        r#"{"containers":[{"name":"c"}]}"#,
    );
    check(
        POD,
        r#"{"securityContext":{"runAsUser":1}}"#,
        r#"{"securityContext":{"$patch":"replace","runAsGroup":2}}"#,
        r#"{"securityContext":{"runAsGroup":2}}"#,
    );
}

#[test]
fn set_element_order_orders_what_is_there() {
    check(
        POD,
        r#"{"containers":[{"name":"a"},{"name":"b"},{"name":"server"}]}"#,
        r#"{"$setElementOrder/containers":[{"name":"c"},{"name":"b"},{"name":"a"}],"containers":[{"name":"c"},{"name":"a","image":"x"}]}"#,
        r#"{"containers":[{"name":"c"},{"name":"b"},{"name":"a","image":"x"},{"name":"server"}]}"#,
    );
    check(
        META,
        r#"{"finalizers":["a","b","c"]}"#,
        r#"{"$setElementOrder/finalizers":["c","d","a"],"finalizers":["d"],"$deleteFromPrimitiveList/finalizers":["b"]}"#,
        r#"{"finalizers":["c","d","a"]}"#,
    );
    check_error(
        POD,
        "{}",
        r#"{"$setElementOrder/containers":[{"name":"a"}],"containers":[{"name":"b"}]}"#,
        "The order in patch list:\n[map[name:b]]\n doesn't match $setElementOrder list:\n[map[name:a]]\n",
    );
}

#[test]
fn retain_keys_drops_what_is_not_listed() {
    check(
        DEPLOYMENT,
        r#"{"strategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":1}}}"#,
        r#"{"strategy":{"$retainKeys":["type"],"type":"Recreate"}}"#,
        r#"{"strategy":{"type":"Recreate"}}"#,
    );
    check_error(
        DEPLOYMENT,
        r#"{"strategy":{}}"#,
        r#"{"strategy":{"$retainKeys":["a"],"type":"Recreate"}}"#,
        "invalid patch format of retainKeys",
    );
}

#[test]
fn scalars_are_merged_as_a_set_and_deleted_by_directive() {
    check(
        META,
        r#"{"finalizers":["a","b"]}"#,
        r#"{"finalizers":["b","c"]}"#,
        r#"{"finalizers":["a","b","c"]}"#,
    );
    check(
        META,
        r#"{"finalizers":["a","b"]}"#,
        r#"{"$deleteFromPrimitiveList/finalizers":["a"]}"#,
        r#"{"finalizers":["b"]}"#,
    );
}

#[test]
fn bad_patches_are_refused_in_upstreams_words() {
    check_error(
        POD,
        r#"{"containers":[{"name":"a"}]}"#,
        r#"{"containers":[{"image":"x"}]}"#,
        "map: map[image:x] does not contain declared merge key: name",
    );
    check_error(POD, "{}", r#"{"$patch":"x"}"#, "unknown patch type: x in map: map[$patch:x]");
    check_error(
        POD,
        r#"{"foo":{}}"#,
        r#"{"foo":{}}"#,
        "unable to find api field in struct PodSpec for the json field \"foo\"",
    );
    check_error(META, "{}", r#"{"$deleteFromPrimitiveList":[]}"#, "invalid patch format of primitive list");
}
