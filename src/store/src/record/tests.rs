use super::*;

fn log_record() -> LogRecord {
    LogRecord {
        revision: 8,
        group: 7,
        previous: Some(3),
        time_ms: 1_700_000_000_123,
        size: 1500,
        kind: EventKind::Updated,
        key: Key::new("", "pods", "default", "a"),
    }
}

#[test]
fn the_newest_version_of_a_key_sorts_first_and_keys_keep_their_order() {
    let key = |name: &str, revision| data_key(&Key::new("", "pods", "default", name), revision);
    assert!(key("a", 9) < key("a", 8));
    assert!(key("a", 1) < key("a-b", 9));
    assert!(key("a-b", 1) < key("b", 9));
    assert_eq!(parse_data_key(&key("a", 9)), Some(("/pods/default/a", 9)));
}

#[test]
fn ranges_of_records_hold_all_versions_of_their_keys_and_nothing_else() {
    fn check(range: &Range, after: Option<&Key>, key: &Key, expected: bool) {
        let (from, to) = data_range(range, after);
        for revision in [0, 1, Revision::MAX] {
            let record = data_key(key, revision);
            assert_eq!(*from <= *record && *record < *to, expected, "{key} at {revision} in {range:?}");
        }
    }
    let name = |name: &str| Key::new("", "pods", "default", name);
    for key in ["a", "a-b", "b"] {
        check(&Range::resource("", "pods"), None, &name(key), true);
        check(&Range::namespace("", "pods", "default"), None, &name(key), true);
        check(&Range::namespace("", "pods", "default"), Some(&name("a")), &name(key), key != "a");
        check(&Range::namespace("", "pods", "default-2"), None, &name(key), false);
        check(&Range::key(&name("a")), None, &name(key), key == "a");
    }
}

#[test]
fn a_data_record_comes_back_and_a_changed_one_does_not() {
    let value = Value::new(Bytes::from_static(b"{\"rv\":\""), Bytes::from_static(b"\"}"));
    let record = encode_data(&value, false, 5, 12);
    let version = decode_data(&record, 12).unwrap();
    assert_eq!((version.deleted, version.created), (false, 5));
    assert_eq!(&version.bytes[..], b"{\"rv\":\"12\"}");
    assert_eq!(object(&record), version.bytes);
    assert!(decode_data(&record, 13).is_none(), "another revision");
    for at in 0..record.len() {
        let mut damaged = record.to_vec();
        damaged[at] ^= 0x10;
        assert!(decode_data(&damaged.into(), 12).is_none(), "byte {at} changed");
    }
}

#[test]
fn a_log_record_comes_back_and_a_changed_one_does_not() {
    let record = log_record();
    let bytes = record.encode();
    assert_eq!(LogRecord::decode(&bytes), Some(record));
    for at in 0..bytes.len() {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 0x10;
        assert_eq!(LogRecord::decode(&damaged), None, "byte {at} changed");
        assert_eq!(LogRecord::decode(&bytes[..at]), None, "cut at {at}");
    }
}

#[test]
fn log_records_are_found_among_foreign_bytes() {
    let first = log_record();
    let second = LogRecord { revision: 9, previous: None, kind: EventKind::Created, ..log_record() };
    let mut damaged = first.encode().to_vec();
    damaged[20] ^= 1;
    let bytes = [&b"noise"[..], &first.encode(), MAGIC, &damaged, &second.encode(), b"tail"].concat();
    assert_eq!(find_log_records(&bytes).collect::<Vec<_>>(), [first, second]);
}
