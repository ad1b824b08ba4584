use super::*;

fn tree(text: &str) -> Tree<'_> {
    parse(text.as_bytes()).unwrap().tree
}

#[test]
fn documents_survive_a_round_trip_in_order() {
    for text in [
        r#"{"b":1,"a":[true,null,-5,18446744073709551615,1.5],"c":{"":"x"}}"#,
        r#""\u003cb\u003e \"q\" \\ \n\t\u0001\u2028""#,
        "9223372036854775807",
        "-9223372036854775808",
        "1e-7",
        "1e+21",
        "100000000000000000000",
        "[]",
    ] {
        assert_eq!(tree(text).to_string(), text);
    }
}

#[test]
fn a_float_without_fraction_is_written_as_go_writes_it() {
    assert_eq!(tree("[1.0,0.000001,1.10]").to_string(), "[1,0.000001,1.1]");
}

#[test]
fn duplicate_keys_are_found_with_their_path_and_the_last_one_counts() {
    let parsed = parse(br#"{"spec":{"c":[{"n":1,"n":2,"n":3}]},"a":1,"a":2}"#).unwrap();
    assert_eq!(parsed.duplicates, ["spec.c[0].n", "a"]);
    assert_eq!(parsed.tree.to_string(), r#"{"spec":{"c":[{"n":3}]},"a":2}"#);
}

#[test]
fn an_object_that_comes_again_in_a_struct_is_decoded_into_the_first() {
    let text = br#"{"data":{"a":"1","b":{"c":1}},"data":{"d":"2","b":{"e":2}},"n":1,"n":[2]}"#;
    let parsed = parse_struct(text).unwrap();
    assert_eq!(parsed.tree.to_string(), r#"{"data":{"a":"1","b":{"c":1,"e":2},"d":"2"},"n":[2]}"#);
}

#[test]
fn duplicate_keys_are_found_in_large_objects() {
    let members: Vec<String> = (0..1000).map(|n| format!("\"k{}\":{n}", n % 990)).collect();
    let text = format!("{{{}}}", members.join(","));
    let parsed = parse(text.as_bytes()).unwrap();
    assert_eq!(parsed.duplicates.len(), 10);
    assert_eq!(parsed.tree.as_object().unwrap().len(), 990);
    assert_eq!(parsed.tree.get("k3"), Some(&Tree::Int(993)));
}

#[test]
fn bad_documents_are_refused_in_the_words_of_go() {
    for (text, message) in [
        ("", "unexpected end of JSON input"),
        ("{", "unexpected end of JSON input"),
        ("{a", "invalid character 'a' looking for beginning of object key string"),
        ("x", "invalid character 'x' looking for beginning of value"),
        ("{} x", "invalid character 'x' after top-level value"),
        ("[1 2]", "invalid character '2' after array element"),
        (r#"{"a":1 "b":2}"#, "invalid character '\"' after object key:value pair"),
        (r#"{"a" 1}"#, "invalid character '1' after object key"),
    ] {
        assert_eq!(parse(text.as_bytes()).unwrap_err().to_string(), message, "{text}");
    }
    let deep = "[".repeat(MAX_DEPTH + 1);
    assert_eq!(parse(deep.as_bytes()).unwrap_err().to_string(), "exceeded max depth");
}

#[test]
fn invalid_utf8_is_replaced() {
    assert_eq!(parse(b"\"a\xff\"").unwrap().tree.as_str(), Some("a\u{fffd}"));
}

#[test]
fn typed_objects_go_through_the_tree_unchanged() {
    use k8s_openapi::api::core::v1::Pod;
    let text = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","labels":{"x":"y"}},"spec":{"containers":[{"name":"c","ports":[{"containerPort":80}]}]}}"#;
    let pod: Pod = from_tree(&tree(text)).unwrap();
    assert_eq!(pod.metadata.name.as_deref(), Some("a"));
    assert_eq!(to_tree(&pod).unwrap(), tree(text));
}

#[test]
fn a_condition_without_a_time_keeps_none() {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
    for time in ["", r#""lastTransitionTime":null,"#] {
        let text = format!(r#"{{{time}"message":"m","reason":"r","status":"True","type":"t"}}"#);
        let condition: Condition = from_tree(&tree(&text)).unwrap();
        let kept = r#"{"lastTransitionTime":null,"message":"m","reason":"r","status":"True","type":"t"}"#;
        assert_eq!(to_tree(&condition).unwrap(), tree(kept));
    }
}

#[test]
fn a_value_that_does_not_fit_is_named_by_its_path() {
    use k8s_openapi::api::core::v1::Pod;
    let text = r#"{"apiVersion":"v1","kind":"Pod","spec":{"containers":[{"name":1}]}}"#;
    let error = from_tree::<Pod>(&tree(text)).unwrap_err();
    assert_eq!(error.path, "spec.containers[0].name");
}

#[test]
fn members_are_merged_by_key() {
    for many in [2, 100] {
        let text: Vec<String> = (0..many).map(|n| format!("\"k{n}\":{n}")).collect();
        let text = format!("{{{}}}", text.join(","));
        let (Tree::Object(mut object), Tree::Object(changes)) = (tree(&text), tree(&text)) else { panic!() };
        object.remove("k1");
        object.merge_with(changes, |old, new| if old.is_some() { Some(new) } else { None });
        assert_eq!(object.len(), many - 1);
    }
}

#[test]
fn objects_are_equal_in_any_order() {
    assert_eq!(tree(r#"{"a":1,"b":2}"#), tree(r#"{"b":2,"a":1}"#));
    assert_ne!(tree(r#"{"a":1,"b":2}"#), tree(r#"{"b":2,"c":1}"#));
}

#[test]
fn values_are_set_and_removed_by_path() {
    let mut object = tree(r#"{"a":{"b":1}}"#);
    object.set(&["a", "c", "d"], Tree::from("x"));
    assert_eq!(object.remove(&["a", "b"]), Some(Tree::Int(1)));
    assert_eq!(object.to_string(), r#"{"a":{"c":{"d":"x"}}}"#);
}

#[test]
fn what_go_takes_for_absent_or_equal_is_taken_so() {
    use k8s_openapi::api::core::v1::PodSpec;
    let text = r#"{"containers":[{"name":null,"env":null,"resources":{"limits":{"cpu":1,"memory":"1Gi"}}}],"nodeSelector":{"a":null}}"#;
    let spec: PodSpec = from_tree(&tree(text)).unwrap();
    let limits = spec.containers[0].resources.as_ref().unwrap().limits.as_ref().unwrap();
    assert_eq!((spec.containers[0].name.as_str(), limits["cpu"].0.as_str()), ("", "1"));
    assert_eq!(spec.node_selector.unwrap()["a"], "");
}

#[test]
fn free_json_inside_objects_keeps_its_nulls() {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
    let text = r#"{"default":{"a":null}}"#;
    let props: JSONSchemaProps = from_tree(&tree(text)).unwrap();
    assert_eq!(to_tree(&props).unwrap().get("default"), tree(text).get("default"));
}
