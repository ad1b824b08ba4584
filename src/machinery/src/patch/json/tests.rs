use super::*;

#[track_caller]
fn check(current: &str, patch: &str, expected: &str) {
    let current = parse(current.as_bytes()).unwrap().tree;
    let patched = apply(&current, patch.as_bytes()).unwrap();
    assert_eq!(patched, parse(expected.as_bytes()).unwrap().tree);
}

#[track_caller]
fn check_error(current: &str, patch: &str, error: fn(String) -> Error) {
    let current = parse(current.as_bytes()).unwrap().tree;
    let found = apply(&current, patch.as_bytes()).unwrap_err();
    assert_eq!(std::mem::discriminant(&found), std::mem::discriminant(&error(String::new())), "{found}");
}

#[test]
fn operations_are_applied_in_order() {
    check(
        r#"{"a":[1,2],"b":{"c":1}}"#,
        r#"[{"op":"add","path":"/a/-","value":3},{"op":"replace","path":"/b/c","value":2},{"op":"move","from":"/b/c","path":"/d"},
            {"op":"test","path":"/d","value":2},{"op":"copy","from":"/d","path":"/e~1f"},{"op":"remove","path":"/a/0"}]"#,
        r#"{"a":[2,3],"b":{},"d":2,"e/f":2}"#,
    );
}

#[test]
fn upstreams_library_has_its_habits() {
    check(r#"{"a":[1,2]}"#, r#"[{"op":"remove","path":"/a/-1"}]"#, r#"{"a":[1]}"#);
    check(r#"{"a":[1,2]}"#, r#"[{"op":"add","path":"/a/-1","value":3}]"#, r#"{"a":[1,2,3]}"#);
    check("{}", r#"[{"op":"replace","path":"/a","value":1}]"#, r#"{"a":1}"#);
    check("{}", r#"[{"op":"replace","path":"","value":{"a":1}}]"#, r#"{"a":1}"#);
    check("{}", r#"[{"op":"test","path":"/a","value":null}]"#, "{}");
    check("{}", r#"[{"op":"copy","from":"/a","path":"/b"}]"#, r#"{"b":null}"#);
    check("{}", r#"[{"op":"add","path":"/a"}]"#, r#"{"a":null}"#);
    check("{}", r#"[{"op":"add","path":"x/a","value":1}]"#, r#"{"a":1}"#);
    check_error("{}", r#"[{"op":"add","path":"","value":{}}]"#, Error::Inapplicable);
    check_error("{}", r#"[{"op":"copy","from":"","path":"/a"}]"#, Error::Inapplicable);
    check_error("{}", r#"[{"op":"replace","path":"","value":1}]"#, Error::Inapplicable);
    check_error(r#"{"a":{}}"#, r#"[{"op":"move","from":"/a","path":"/a/b"}]"#, Error::Inapplicable);
    check_error(r#"{"a":[1]}"#, r#"[{"op":"replace","path":"/a/-","value":1}]"#, Error::Inapplicable);
    check_error(r#"{"a":[1]}"#, r#"[{"op":"replace","path":"/a/1","value":1}]"#, Error::Inapplicable);
    check_error(r#"{"a":1}"#, r#"[{"op":"add","path":"/a/b","value":1}]"#, Error::Inapplicable);
    check_error("{}", "[null]", Error::Inapplicable);
}

#[test]
fn bad_patches_are_told_apart() {
    check_error("{}", "{}", Error::Malformed);
    check_error("{}", "[", Error::Malformed);
    check_error("{}", "[1]", Error::Malformed);
    check_error("{}", r#"[{"op":"jump","path":"/a"}]"#, Error::Inapplicable);
    check_error("{}", r#"[{"op":"remove"}]"#, Error::Inapplicable);
    check_error("{}", r#"[{"op":"remove","path":"/a"}]"#, Error::Inapplicable);
    check_error(r#"{"a":1}"#, r#"[{"op":"test","path":"/a","value":2}]"#, Error::Inapplicable);
    let many = format!("[{}]", vec![r#"{"op":"test","path":"","value":{}}"#; MAX_OPERATIONS + 1].join(","));
    check_error("{}", &many, Error::TooLarge);
}

#[test]
fn strict_decoding_knows_the_members_of_an_operation() {
    let check = |patch: &str, expected: Result<&[&str], &str>| {
        let errors = strict_errors(patch.as_bytes()).map_err(|error| error.to_string());
        assert_eq!(
            errors,
            expected.map(|all| all.iter().map(|one| (*one).to_owned()).collect()).map_err(str::to_owned)
        );
    };
    check(r#"[{"op":"add","path":"/a","value":{"x":1},"from":""}]"#, Ok(&[]));
    check(
        r#"[{},{"op":"add","op":"add","Path":"/a"}]"#,
        Ok(&[r#"json patch unknown field "[1].Path""#, r#"json patch duplicate field "[1].op""#]),
    );
    check(
        r#"[{"op":"add","path":1}]"#,
        Err("json: cannot unmarshal number into Go struct field jsonPatchOp.path of type string"),
    );
}

/// An object with a large list and a deep corner.
fn large() -> String {
    let deep = format!("{}1{}", r#"{"d":"#.repeat(100), "}".repeat(100));
    format!(r#"{{"a":{{}},"deep":{deep},"list":[{}0]}}"#, "0,".repeat(100_000))
}

fn repeated(operations: &str, times: usize) -> String {
    format!("[{}]", vec![operations; times].join(","))
}

#[test]
fn moves_to_and_fro_are_cheap_however_large_what_is_moved() {
    let round = r#"{"op":"move","from":"/list","path":"/b"},{"op":"move","from":"/b","path":"/list"}"#;
    check(&large(), &repeated(round, MAX_OPERATIONS / 2), &large());
    let deeper = r#"{"op":"move","from":"/list","path":"/a/b"},{"op":"move","from":"/a/b","path":"/list"}"#;
    check(&large(), &repeated(deeper, MAX_OPERATIONS / 2), &large());
}

#[test]
fn what_shifts_a_long_list_again_and_again_is_too_much() {
    let insert = r#"{"op":"add","path":"/list/0","value":0}"#;
    check_error(&large(), &repeated(insert, MAX_OPERATIONS), Error::TooLarge);
    let rotate = r#"{"op":"move","from":"/list/0","path":"/list/-"}"#;
    check_error(&large(), &repeated(rotate, MAX_OPERATIONS), Error::TooLarge);
    check(&large(), &repeated(rotate, 100), &large());
}

#[test]
fn copies_cannot_blow_up_the_document() {
    let start = format!(r#"{{"a":{{"b":"{}"}}}}"#, "x".repeat(1000));
    let doubling: Vec<String> =
        (0..60).map(|n| format!(r#"{{"op":"copy","from":"/a","path":"/a/b{n}"}}"#)).collect();
    check_error(&start, &format!("[{}]", doubling.join(",")), Error::Inapplicable);
}

#[test]
fn operations_cannot_nest_without_end() {
    let mut path = String::new();
    let mut operations = Vec::new();
    for _ in 0..200 {
        path.push_str("/a");
        operations.push(format!(r#"{{"op":"add","path":"{path}","value":{{}}}}"#));
    }
    check_error("{}", &format!("[{}]", operations.join(",")), Error::Inapplicable);
    // Each round puts what there is into another object.
    let wrap = r#"{"op":"add","path":"/b","value":{}},{"op":"move","from":"/a","path":"/b/a"},{"op":"move","from":"/b","path":"/a"}"#;
    check_error(r#"{"a":{}}"#, &repeated(wrap, 200), Error::Inapplicable);
}
