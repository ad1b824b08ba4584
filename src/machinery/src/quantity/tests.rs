use super::*;

#[track_caller]
fn check(text: &str, canonical: &str) {
    assert_eq!(Quantity::parse(text).unwrap().to_string(), canonical, "{text}");
}

#[test]
fn quantities_are_written_canonically() {
    check("0", "0");
    check("0Gi", "0");
    check("1000m", "1");
    check("1.5", "1500m");
    check("0.5", "500m");
    check("100m", "100m");
    check("1.5Gi", "1536Mi");
    check("1024Mi", "1Gi");
    check("1000Mi", "1000Mi");
    check("1024", "1024");
    check("1000", "1k");
    check("1e3", "1e3");
    check("1000e3", "1e6");
    check("12E", "12E");
    check("0.1n", "1n");
    check("1.1Ki", "1126400m");
    check("0.5Ki", "512");
    check("-1.5Gi", "-1536Mi");
    check("-5", "-5");
    check("100Ei", "9223372036854775807");
    check("1.500", "1.500");
    check("2000Ki", "2000Ki");
    check("512Ki", "512Ki");
    check("2048Ki", "2Mi");
}

#[test]
fn bad_quantities_are_refused() {
    for (text, error) in [
        ("", ParseError::Format),
        ("abc", ParseError::Format),
        ("1.2.3", ParseError::Format),
        ("1 Gi", ParseError::Format),
        ("1Mm", ParseError::Suffix),
        ("1i", ParseError::Suffix),
        ("1e", ParseError::Suffix),
    ] {
        assert_eq!(Quantity::parse(text).unwrap_err(), error, "{text}");
    }
}

#[test]
fn values_round_away_from_zero() {
    let check = |text: &str, value: i64, milli: i64| {
        let quantity = Quantity::parse(text).unwrap();
        assert_eq!((quantity.value(), quantity.milli_value()), (value, milli), "{text}");
    };
    check("1500m", 2, 1500);
    check("-1500m", -2, -1500);
    check("1u", 1, 1);
    check("1Gi", 1 << 30, 1000 << 30);
    check("9E", 9_000_000_000_000_000_000, i64::MAX);
}

#[test]
fn amounts_are_compared_and_added_exactly() {
    let quantity = |text: &str| Quantity::parse(text).unwrap();
    assert_eq!(quantity("1"), quantity("1000m"));
    assert!(quantity("1Gi") > quantity("1G"));
    assert!(quantity("-1") < quantity("1n"));
    assert!(quantity("1e50") > quantity("1"));
    let mut total = Quantity::default();
    total.add(&quantity("512Mi"));
    total.add(&quantity("512Mi"));
    assert_eq!(total.to_string(), "1Gi");
    total.sub(&quantity("1Ki"));
    assert_eq!(total.to_string(), "1048575Ki");
}
