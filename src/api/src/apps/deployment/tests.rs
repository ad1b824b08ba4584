use super::*;
use crate::testing::{context, errors_of, errors_of_update, object};

fn deployment(spec: &str) -> String {
    format!(
        r#"{{"metadata":{{"name":"a","generation":1}},"spec":{{"selector":{{"matchLabels":{{"a":"b"}}}},{spec}
        "template":{{"metadata":{{"labels":{{"a":"b"}}}},"spec":{{"containers":[{{"name":"c","image":"i"}}]}}}}}}}}"#
    )
}

#[test]
fn a_new_deployment_rolls_by_quarters() {
    let mut new: Deployment = object(&deployment(""));
    new.set_defaults();
    let spec = new.spec.unwrap();
    assert_eq!((spec.replicas, spec.revision_history_limit), (Some(1), Some(10)));
    assert_eq!(spec.progress_deadline_seconds, Some(600));
    let rolling = spec.strategy.unwrap().rolling_update.unwrap();
    let quarter = Some(k8s_openapi::apimachinery::pkg::util::intstr::IntOrString::String("25%".into()));
    assert_eq!((rolling.max_surge, rolling.max_unavailable), (quarter.clone(), quarter));
}

#[test]
fn a_missing_selector_is_required() {
    errors_of::<Deployment>(
        r#"{"spec":{"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}"#,
        &[
            "spec.selector: Required value",
            "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`",
        ],
    );
}

#[test]
fn the_strategy_is_checked() {
    let check = |strategy: &str, expected: &[&str]| {
        errors_of::<Deployment>(&deployment(&format!("\"strategy\":{strategy},")), expected);
    };
    check(r#"{"type":"Recreate"}"#, &[]);
    check(
        r#"{"type":"Recreate","rollingUpdate":{}}"#,
        &["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
    );
    check(
        r#"{"type":"Other"}"#,
        &[
            "spec.strategy: Unsupported value: {\"Type\":\"Other\",\"RollingUpdate\":null}: supported values: \"Recreate\", \"RollingUpdate\"",
        ],
    );
    check(
        r#"{"rollingUpdate":{"maxSurge":0,"maxUnavailable":0}}"#,
        &["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"],
    );
    check(
        r#"{"rollingUpdate":{"maxSurge":"1","maxUnavailable":"101%"}}"#,
        &[
            "spec.strategy.rollingUpdate.maxSurge: Invalid value: \"1\": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%",
        ],
    );
}

#[test]
fn numbers_fit_together() {
    errors_of::<Deployment>(
        &deployment(r#""replicas":-1,"minReadySeconds":600,"#),
        &[
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds",
        ],
    );
}

#[test]
fn the_selector_cannot_change() {
    let changed = deployment("").replace("\"a\":\"b\"", "\"a\":\"c\"");
    errors_of_update::<Deployment>(
        &deployment(""),
        &changed,
        &["spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"c\"}}: field is immutable"],
    );
}

#[test]
fn generation_counts_spec_and_annotations() {
    let mut old: Deployment = object(&deployment(""));
    old.set_defaults();
    let generation = |change: fn(&mut Deployment)| {
        let mut new = old.clone();
        change(&mut new);
        new.prepare_for_update(&old, &context());
        new.metadata.generation
    };
    assert_eq!(generation(|_| ()), Some(1));
    assert_eq!(generation(|new| new.metadata.labels = Some([("a".into(), "b".into())].into())), Some(1));
    assert_eq!(generation(|new| new.metadata.annotations = Some([("a".into(), "b".into())].into())), Some(2));
    assert_eq!(generation(|new| new.spec.as_mut().unwrap().paused = Some(true)), Some(2));
    assert_eq!(generation(|new| new.spec.as_mut().unwrap().paused = Some(false)), Some(1));
}

#[test]
fn the_table_shows_ready_of_wanted() {
    let mut shown: Deployment = object(&deployment("\"replicas\":3,"));
    shown.status = Some(DeploymentStatus { ready_replicas: Some(2), ..Default::default() });
    let row = shown.row(Timestamp::UNIX_EPOCH);
    assert_eq!(row[1], "2/3");
    assert_eq!(row[5..], ["c", "i", "a=b"].map(Value::from));
}
