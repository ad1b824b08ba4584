use super::*;

/// a is written at 2, 3, deleted at 4; b is written at 5.
fn log() -> Log {
    let mut log = Log::new(1);
    for (revision, key, deletes) in [(2, "a", false), (3, "a", false), (4, "a", true), (5, "b", false)] {
        log.push(Change { revision, key: key.to_owned(), write: revision * 10, deletes });
    }
    log
}

fn call(revision: u64, key: &str, requires: Requires, said: Said) -> Call {
    let window = Window { since: revision - 1, until: revision };
    Call { write: revision * 10, key: key.to_owned(), requires, deletes: revision == 4, window, said }
}

fn calls() -> Vec<Call> {
    vec![
        call(2, "a", Requires::Absent, Said::Done(2)),
        call(3, "a", Requires::At(2), Said::Unknown),
        call(4, "a", Requires::Present, Said::Done(4)),
        call(5, "b", Requires::Nothing, Said::Done(5)),
        Call { write: 99, ..call(5, "a", Requires::Present, Said::Refused(None)) },
    ]
}

#[test]
fn a_true_history_is_accepted() {
    log().check_calls(&calls());
    log().check_read("a", Window { since: 1, until: 2 }, None);
    log().check_read("a", Window { since: 3, until: 4 }, Some(3));
    log().check_list(|_| true, 3, &[("a".to_owned(), 3)]);
    log().check_watch(|key| key == "b", 2, 5, &log().after(4)[..1]);
}

#[track_caller]
fn refused(check: impl FnOnce() + std::panic::UnwindSafe) {
    assert!(std::panic::catch_unwind(check).is_err(), "a false history was accepted");
}

fn with(at: usize, change: impl FnOnce(&mut Call)) -> Vec<Call> {
    let mut calls = calls();
    change(&mut calls[at]);
    calls
}

#[test]
fn each_kind_of_lie_is_found() {
    refused(|| log().check_calls(&with(0, |call| call.said = Said::Done(3))));
    refused(|| log().check_calls(&with(0, |call| call.said = Said::NotDone)));
    refused(|| log().check_calls(&with(0, |call| call.window.since = 2)));
    refused(|| log().check_calls(&with(1, |call| call.requires = Requires::At(1))));
    refused(|| log().check_calls(&with(3, |call| call.requires = Requires::Present)));
    refused(|| log().check_calls(&with(4, |call| call.said = Said::Refused(Some(3)))));
    refused(|| log().check_calls(&with(4, |call| call.requires = Requires::Nothing)));
    refused(|| log().check_calls(&calls()[1..]));
    refused(|| log().check_read("a", Window { since: 3, until: 5 }, Some(2)));
    refused(|| log().check_list(|_| true, 4, &[("a".to_owned(), 3)]));
    refused(|| log().check_list(|_| true, 5, &[]));
    refused(|| log().check_watch(|_| true, 1, 5, log().after(2)));
    refused(|| log().check_watch(|_| true, 1, 4, log().after(1)));
    refused(|| log().check_watch(|_| true, 5, 6, &[]));
    refused(|| {
        let mut log = log();
        log.push(log.after(4)[0].clone());
    });
}

fn event(kind: Kind, revision: u64, key: &str, write: u64) -> Told {
    Told::Event { kind, revision, key: key.to_owned(), write }
}

/// All that a watch from 2 tells.
fn stream() -> Stream {
    let told = vec![
        event(Kind::Modified, 3, "a", 30),
        Told::Bookmark(3),
        event(Kind::Deleted, 4, "a", 30),
        event(Kind::Added, 5, "b", 50),
        Told::Bookmark(5),
    ];
    Stream { after: 2, told }
}

#[test]
fn a_true_stream_is_accepted_whole_and_in_part() {
    log().check_stream(|_| true, &stream());
    log().check_stream(|_| true, &stream().behind(4));
    log().check_stream(|_| true, &Stream { told: stream().told[..2].to_vec(), ..stream() });
    // What its second write takes out of the selection is gone for who watches that.
    let told = vec![event(Kind::Deleted, 3, "a", 20), event(Kind::Added, 5, "b", 50)];
    log().check_stream(|change| change.write != 30, &Stream { after: 2, told });
}

#[test]
fn each_kind_of_false_stream_is_found() {
    type Falsify = fn(&mut Vec<Told>);
    let falsifications: [(&str, Falsify); 8] = [
        ("left out", |told| drop(told.remove(2))),
        ("repeated", |told| told.insert(1, told[0].clone())),
        ("in another order", |told| told.swap(2, 3)),
        ("of another kind", |told| told[0] = event(Kind::Added, 3, "a", 30)),
        ("of another write", |told| told[0] = event(Kind::Modified, 3, "a", 20)),
        ("not of the log", |told| told.push(event(Kind::Modified, 6, "b", 60))),
        ("a bookmark ahead of an event", |told| told[1] = Told::Bookmark(4)),
        ("a bookmark of the past", |told| told[4] = Told::Bookmark(4)),
    ];
    for (what, falsify) in falsifications {
        let mut stream = stream();
        falsify(&mut stream.told);
        let judged = std::panic::catch_unwind(|| log().check_stream(|_| true, &stream));
        assert!(judged.is_err(), "an event was {what}, and that was accepted");
    }
}

/// The log of a store that remembers from 3 on.
fn remembered() -> Log {
    let mut remembered = Log::from_state(3, vec![log().after(2)[0].clone()]);
    log().after(3).iter().for_each(|change| remembered.push(change.clone()));
    remembered
}

#[test]
fn what_a_store_has_forgotten_is_not_held_against_it_but_what_comes_back_is() {
    remembered().check_calls(&calls());
    let older = Change { revision: 2, key: "a".to_owned(), write: 20, deletes: false };
    // The write of 3 was acknowledged, and its key is as it was before.
    refused(|| Log::from_state(3, vec![older]).check_calls(&with(1, |call| call.said = Said::Done(3))[..2]));
    refused(|| remembered().check_calls(&with(3, |call| call.said = Said::Done(4))));
}

#[test]
fn another_write_does_not_stand_where_one_was_acknowledged_even_where_the_log_begins_later() {
    let acknowledged = with(1, |call| call.said = Said::Done(3));
    let at_3 = |write| Log::from_state(3, vec![Change { write, ..log().after(2)[0].clone() }]);
    at_3(30).check_calls(&acknowledged[..2]);
    refused(|| at_3(31).check_calls(&acknowledged[..2]));
    // Nor one whose call was to delete.
    let deleted = with(1, |call| (call.deletes, call.said) = (true, Said::Done(3)));
    refused(|| at_3(31).check_calls(&deleted[..2]));
}

#[test]
fn an_answer_without_a_revision_is_true_or_false_too() {
    log().check_calls(&with(2, |call| call.said = Said::Accepted));
    log().check_calls(&with(4, |call| call.said = Said::Unmet));
    refused(|| log().check_calls(&with(4, |call| call.said = Said::Accepted)));
    refused(|| log().check_calls(&with(2, |call| call.said = Said::Unmet)));
    let always_met = |call: &mut Call| (call.requires, call.said) = (Requires::Nothing, Said::Unmet);
    refused(|| log().check_calls(&with(4, always_met)));
}

#[test]
fn revisions_of_others_are_passed_over() {
    let mut log = Log::new(1);
    log.pass(9);
    log.push(Change { revision: 10, key: "a".to_owned(), write: 1, deletes: false });
    log.pass(12);
    assert_eq!((log.tip(), log.key_at("a", 11), log.key_at("a", 9)), (12, Some(10), None));
    refused(move || log.pass(11));
}

#[test]
fn a_transcript_is_what_was_printed_but_for_a_line_that_is_cut() {
    let recorder = Recorder::new(7, 3);
    let call = recorder.ask("a", Requires::Absent, false);
    let (asked, told) = (Transcript::call(&call), event(Kind::Added, 4, "a", 7));
    let answered = recorder.answer(call, Said::Done(4));
    let lines = [asked, Transcript::watch(3), Transcript::told(&told), Transcript::call(&answered)];
    for line in &lines {
        for length in 0..line.len() {
            let mut nothing = Transcript::default();
            nothing.take(&line[..length]);
            assert_eq!(nothing, Transcript::default(), "{line} is cut to {length} bytes");
        }
    }
    let mut transcript = Transcript::default();
    lines.iter().take(3).for_each(|line| transcript.take(line));
    transcript.take(&lines[3][..20]);
    assert_eq!((transcript.acknowledged(), &transcript.calls[0].said), (0, &Said::Unknown));
    transcript.take(&format!("test it ... {}", lines[3]));
    assert_eq!(transcript.calls, recorder.calls());
    assert_eq!(transcript.streams, [Stream { after: 3, told: vec![told] }]);
    assert_eq!((recorder.known(), recorder.ask("b", Requires::Nothing, true).write), (4, 8));
}
