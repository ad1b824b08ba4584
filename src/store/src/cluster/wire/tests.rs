//! What is said comes back as it went in, whole or not at all.

use super::*;

#[test]
fn a_forwarded_write_comes_back_as_it_went_in() {
    let value = Value::new(Bytes::from_static(b"head"), Bytes::from_static(b"tail"));
    let forward = |precondition, write| Forward { key: Key::new("", "pods", "a", "b"), precondition, write };
    for forward in [
        forward(Precondition::Absent, Write::Put(value.clone())),
        forward(Precondition::Revision(7), Write::Delete(value)),
        forward(Precondition::Present, Write::Put(Value::whole(Bytes::new()))),
        forward(Precondition::Any, Write::Put(Value::new(Bytes::new(), Bytes::new()))),
    ] {
        let frame = Call::Commit(9, forward.clone()).encode();
        let Some(Call::Commit(9, read)) = Call::decode(frame.clone()) else { panic!("{forward:?}") };
        assert_eq!(format!("{read:?}"), format!("{forward:?}"));
        for cut in 0..frame.len() {
            assert!(Call::decode(frame.slice(..cut)).is_none(), "cut at {cut}");
        }
    }
}

#[test]
fn answers_come_back_as_they_went_in() {
    let sealing = Sealing::By("key".into());
    let bytes = Bytes::from_static(b"{}");
    let version = Version { revision: 5, created: 3, bytes, sealing };
    for answer in [
        Answer::Done { revision: 5, created: 3, sealing: Sealing::Unreadable("why".into()) },
        Answer::Exists(version.clone()),
        Answer::Conflict(version),
        Answer::Missing,
        Answer::Unknown("u".to_owned()),
        Answer::Poisoned("p".to_owned()),
        Answer::Unavailable(String::new()),
        Answer::Refused(Refusal::Sealing("s".to_owned())),
        Answer::Refused(Refusal::BadKey("k".to_owned())),
        Answer::Refused(Refusal::TooLarge { size: 7, limit: 5 }),
    ] {
        let reply = Reply::Answer(4, answer);
        assert_eq!(Reply::decode(reply.encode()), Some(reply));
    }
}
