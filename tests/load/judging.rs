//! Takes what has happened into the log, and holds everything that was said and shown against it.

use std::path::Path;

use futures::{StreamExt, TryStreamExt};
use kube::api::WatchParams;
use testing::history::{Change, Kind, Said, Stream, Told};

use super::record::{Record, Selection, Shown};
use super::{Load, PATIENCE, block_on, connect, reading};
use crate::cluster::Cluster;

impl Load {
    /// Judges everything since it was last done, when no load is on. The log is what a new watch tells that resumes where
    /// the log ends.
    pub(crate) fn judge(&mut self, cluster: &Cluster) {
        let (after, seen) = (self.log.tip(), self.follow(cluster, self.log.tip(), None));
        for told in &seen.told {
            if let Some(change) = self.change(told) {
                self.log.pass(change.revision - 1);
                self.log.push(change);
            }
        }
        assert!(self.log.tip() > after, "the mark is in the log");
        self.log.check_stream(|_| true, &seen);
        self.log.check_calls(&self.record.calls.calls());
        self.check_shown();
    }

    /// Ends with a load that nothing is done to, and judges that, too. Nothing of what is to be judged was missing.
    pub(crate) fn conclude(mut self, cluster: &Cluster) {
        let running = self.start(cluster, 100);
        running.until_acknowledged(200);
        self.until_much_was_shown();
        assert_eq!(running.stop(), Vec::<String>::new(), "refused by a sound server");
        self.judge(cluster);
        let calls = self.record.calls.calls();
        let count = |which: fn(&Said) -> bool| calls.iter().filter(|call| which(&call.said)).count();
        let said = [
            ("done", count(|said| matches!(said, Said::Done(_)))),
            ("deleted", count(|said| *said == Said::Accepted)),
            ("refused", count(|said| matches!(said, Said::Unmet | Said::Refused(_)))),
        ];
        println!("judged: {said:?} of {} calls, {:?}", calls.len(), self.judged);
        assert!(said.iter().all(|(_, count)| *count > 0) && self.judged.is_everything());
    }

    /// A watch from before the first write tells everything again.
    pub(crate) fn check_all_is_remembered(&self, cluster: &Cluster) {
        let seen = self.follow(cluster, self.record.base, Some(self.log.tip()));
        self.log.check_stream(|_| true, &seen);
    }

    /// What a watch tells up to a revision, or to a write that is made for that.
    fn follow(&self, cluster: &Cluster, after: u64, until: Option<u64>) -> Stream {
        let (record, kubeconfig) = (self.record.clone(), cluster.kubeconfig());
        let following = cluster.host.run(move || block_on(record.follow(&kubeconfig, after, until)));
        following.join().unwrap()
    }

    /// The write of the log that an event is of.
    fn change(&self, told: &Told) -> Option<Change> {
        let Told::Event { kind, revision, key, write } = told else { return None };
        let deletes = *kind == Kind::Deleted;
        let write = if deletes { self.deletion(key, *revision) } else { *write };
        Some(Change { revision: *revision, key: key.clone(), write, deletes })
    }

    /// The call that deleted what was there before a revision.
    fn deletion(&self, key: &str, revision: u64) -> u64 {
        let before = self.log.key_at(key, revision - 1).expect("there was something to delete");
        let deletions = self.record.deletions.lock().unwrap();
        let call = deletions.get(&(key.to_owned(), before)).copied();
        call.unwrap_or_else(|| panic!("nobody deleted {key} of {before}, which is gone at {revision}"))
    }

    fn check_shown(&mut self) {
        let shown = std::mem::take(&mut *self.record.shown.lock().unwrap());
        for (key, window, found) in &shown.reads {
            self.log.check_read(key, *window, *found);
        }
        for list in &shown.lists {
            assert!(list.revision >= list.since, "a list of {} when {} was known", list.revision, list.since);
            self.log.check_selection(|change| list.selection.selects(change), list.revision, &list.found);
        }
        for (selection, stream) in &shown.streams {
            self.log.check_stream(|change| selection.selects(change), stream);
        }
        self.judged.add(&shown);
    }
}

/// How much was held against the log.
#[derive(Debug, Default)]
pub(super) struct Judged {
    reads: usize,
    lists: usize,
    events: usize,
    bookmarks: usize,
}

impl Judged {
    fn add(&mut self, shown: &Shown) {
        self.reads += shown.reads.len();
        self.lists += shown.lists.len();
        let told = || shown.streams.iter().flat_map(|(_, stream)| &stream.told);
        let bookmarks = told().filter(|told| matches!(told, Told::Bookmark(_))).count();
        self.bookmarks += bookmarks;
        self.events += told().count() - bookmarks;
    }

    fn is_everything(&self) -> bool {
        [self.reads, self.lists, self.events, self.bookmarks].iter().all(|&count| count > 0)
    }
}

impl Record {
    async fn follow(&self, kubeconfig: &Path, after: u64, until: Option<u64>) -> Stream {
        let api = connect(kubeconfig).await;
        let until = match until {
            Some(until) => until,
            None => tokio::time::timeout(PATIENCE, self.mark(&api)).await.expect("the mark is written"),
        };
        let params = WatchParams::default().labels(Selection::All.labels());
        let mut events = api.watch(&params, &after.to_string()).await.unwrap().boxed();
        let mut seen = Stream::new(after);
        while seen.position() < until {
            let event = tokio::time::timeout(PATIENCE, events.try_next()).await.expect("events come");
            seen.told.push(reading::told(event.unwrap().expect("the watch goes on")).unwrap());
        }
        seen
    }
}
