use super::*;

#[track_caller]
fn check(json: &str, expected: &[&str]) {
    let requirements: ResourceRequirements = serde_json::from_str(json).unwrap();
    let terms = Terms { claims: &BTreeSet::new(), fractions: false };
    let errors = validate_container(&requirements, &terms, &Path::new("resources"));
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(texts, expected);
}

#[test]
fn requests_stay_within_limits() {
    check(r#"{"requests":{"cpu":"100m","memory":"1Gi"},"limits":{"cpu":"1","memory":"1Gi"}}"#, &[]);
    check(
        r#"{"requests":{"cpu":"2"},"limits":{"cpu":"1"}}"#,
        &["resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1"],
    );
    check(
        r#"{"requests":{"example.com/gpu":"1"}}"#,
        &["resources.limits: Required value: Limit must be set for non overcommitable resources"],
    );
}

#[test]
fn names_and_amounts_are_checked() {
    check(
        r#"{"requests":{"cpus":"1"}}"#,
        &[
            "resources.requests[cpus]: Invalid value: \"cpus\": must be a standard resource type or fully qualified",
            "resources.requests[cpus]: Invalid value: \"cpus\": must be a standard resource for containers",
        ],
    );
    check(
        r#"{"limits":{"cpu":"-1"}}"#,
        &["resources.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0"],
    );
    check(
        r#"{"limits":{"example.com/gpu":"500m"}}"#,
        &["resources.limits[example.com/gpu]: Invalid value: \"500m\": must be an integer"],
    );
    check(
        r#"{"limits":{"hugepages-2Mi":"3Mi"}}"#,
        &[
            "resources.limits[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer multiple of hugepages-2Mi",
            "resources: Forbidden: HugePages require cpu or memory",
        ],
    );
}

#[test]
fn claims_must_be_the_pods() {
    check(
        r#"{"claims":[{"name":"a"}]}"#,
        &[
            "resources.claims[0]: Not found: \"a\": must be one of the names in pod.spec.resourceClaims which is empty",
        ],
    );
}

#[test]
fn amounts_below_a_thousandth_are_rounded_up() {
    let mut amounts: BTreeMap<String, Text> = [("a", "1.5m"), ("b", "100m"), ("c", "1Gi"), ("d", "8E")]
        .map(|(k, v)| (k.into(), Text(v.into())))
        .into();
    round_up(&mut amounts);
    let texts: Vec<&str> = amounts.values().map(|text| text.0.as_str()).collect();
    assert_eq!(texts, ["2m", "100m", "1Gi", "8E"]);
}
