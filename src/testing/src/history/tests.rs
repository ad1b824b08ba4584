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
