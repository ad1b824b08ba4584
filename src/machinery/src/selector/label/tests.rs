use super::*;

#[track_caller]
fn check(text: &str, labels: &[(&str, &'static str)], expected: bool) {
    let selector = Selector::parse(text).unwrap();
    let value_of = |key: &str| labels.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
    assert_eq!(selector.matches(value_of), expected, "{text}");
}

#[track_caller]
fn check_error(text: &str, message: &str) {
    assert_eq!(Selector::parse(text).unwrap_err().to_string(), message);
}

#[test]
fn labels_are_compared() {
    let labels = [("app", "web"), ("tier", "front"), ("n", "5")];
    check("", &labels, true);
    check("app=web,tier==front", &labels, true);
    check("app!=web", &labels, false);
    check("absent!=x", &labels, true);
    check("tier in (front,back)", &labels, true);
    check("tier notin (front)", &labels, false);
    check("absent notin (x)", &labels, true);
    check("app", &labels, true);
    check("!app", &labels, false);
    check("!absent , app", &labels, true);
    check("n>4,n<6", &labels, true);
    check("app in (,)", &labels, false);
    check("in in (in)", &[("in", "in")], true);
    check("app=", &[("app", "")], true);
}

#[test]
fn selectors_are_written_canonically() {
    for (text, canonical) in [
        ("x in (c,a, b)", "x in (a,b,c)"),
        ("b=2,a=1", "a=1,b=2"),
        ("!a,b", "!a,b"),
        ("a in ()", "a in ()"),
        ("a>1", "a>1"),
    ] {
        assert_eq!(Selector::parse(text).unwrap().to_string(), canonical);
    }
}

#[test]
fn bad_selectors_are_refused_in_upstreams_words() {
    check_error("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt");
    check_error("a,", "found '', expected: identifier after ','");
    check_error("=a", "found '=', expected: !, identifier, or 'end of string'");
    check_error("a=b c", "found 'c', expected: ',' or 'end of string'");
    check_error("a in x", "unable to parse requirement: found 'x' expected: '('");
    check_error("a in (x", "unable to parse requirement: found '', expected: ',' or ')'");
    let error = Selector::parse("a=-").unwrap_err().to_string();
    assert!(
        error.starts_with("unable to parse requirement: values[0][a]: Invalid value: \"-\": a valid label"),
        "{error}"
    );
}

#[test]
fn typed_selectors_are_read() {
    assert!(!Selector::from_label_selector(None).unwrap().matches(|_| None));
    assert!(Selector::from_label_selector(Some(&LabelSelector::default())).unwrap().is_empty());
    let text =
        r#"{"matchLabels":{"b":"1"},"matchExpressions":[{"key":"a","operator":"In","values":["y","x"]}]}"#;
    let selector: LabelSelector = serde_json::from_str(text).unwrap();
    let selector = Selector::from_label_selector(Some(&selector)).unwrap();
    assert_eq!(selector.to_string(), "a in (x,y),b=1");
    let bad: LabelSelector =
        serde_json::from_str(r#"{"matchExpressions":[{"key":"a","operator":"Eq"}]}"#).unwrap();
    let error = Selector::from_label_selector(Some(&bad)).unwrap_err();
    assert_eq!(error.to_string(), "\"Eq\" is not a valid label selector operator");
}
