//! Readers and watches: what they ask for, and what they were shown.

use std::path::Path;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, ObjectList, VersionMatch, WatchEvent, WatchParams};
use kube::{Api, Error};
use rand::Rng;
use testing::history::{Kind, Stream, Told, Window};
use tokio::sync::watch;

use super::record::{Listed, Record, Selection, name};
use super::{KEYS, PAUSE, connect, parse, version};

/// How many revisions back readers look and watches begin: less than the store remembers.
const PAST: u64 = 200;

impl Record {
    /// Reads one after the other until told to stop.
    pub(super) async fn read_until(
        &self,
        stopped: &watch::Receiver<bool>,
        kubeconfig: &Path,
        pause: Duration,
    ) {
        let api = connect(kubeconfig).await;
        while !*stopped.borrow() {
            let number = rand::rng().random_range(0..24);
            let selection = Selection::any(number / 4);
            let read = match number % 4 {
                0 => self.get(&api, &name(number % KEYS)).await,
                1 => self.list(&api, selection, None, None).await,
                2 => self.list(&api, selection, None, Some(2)).await,
                _ => self.list(&api, selection, Some(self.past()), None).await,
            };
            self.note(read);
            tokio::time::sleep(pause).await;
        }
    }

    /// What a server said; that there is none is not said by one.
    fn note(&self, outcome: Result<(), Error>) {
        if let Err(Error::Api(status)) = outcome {
            self.refusals.lock().unwrap().push(status.to_string());
        }
    }

    /// A revision that somebody has been told of.
    fn past(&self) -> u64 {
        let known = self.calls.known();
        rand::rng().random_range(known.saturating_sub(PAST).max(self.base)..=known)
    }

    async fn get(&self, api: &Api<ConfigMap>, name: &str) -> Result<(), Error> {
        let window = Window { since: self.calls.known(), until: u64::MAX };
        let found = api.get_opt(name).await?.map(|object| version(&object).1);
        self.saw(name, found);
        found.into_iter().for_each(|revision| self.calls.learn(revision));
        self.shown.lock().unwrap().reads.push((name.to_owned(), window, found));
        Ok(())
    }

    /// A list of now or of a revision, in pages or whole.
    async fn list(
        &self,
        api: &Api<ConfigMap>,
        selection: Selection,
        at: Option<u64>,
        limit: Option<u32>,
    ) -> Result<(), Error> {
        let since = at.unwrap_or_else(|| self.calls.known());
        let mut params = ListParams { limit, ..ListParams::default() }.labels(selection.labels());
        params.field_selector = selection.fields();
        if let Some(at) = at {
            params = params.at(&at.to_string()).matching(VersionMatch::Exact);
        }
        let mut list: ObjectList<ConfigMap> = api.list(&params).await?;
        let revision = parse(list.metadata.resource_version.clone());
        let mut found: Vec<_> = list.items.iter().map(version).collect();
        while let Some(more) = list.metadata.continue_.filter(|more| !more.is_empty()) {
            params.continue_token = Some(more);
            list = api.list(&params).await?;
            assert_eq!(parse(list.metadata.resource_version.clone()), revision, "pages are of one revision");
            found.extend(list.items.iter().map(version));
        }
        assert!(at.is_none_or(|at| at == revision), "a list at {at:?} is of {revision}");
        self.calls.learn(revision);
        self.shown.lock().unwrap().lists.push(Listed { selection, since, revision, found });
        Ok(())
    }

    /// Watches until told to stop: when a watch ends, another goes on where it was, or earlier.
    pub(super) async fn watch_until(
        &self,
        stopped: &watch::Receiver<bool>,
        kubeconfig: &Path,
        selection: Selection,
    ) {
        let api = connect(kubeconfig).await;
        while !*stopped.borrow() {
            let reached = self.positions.lock().unwrap().get(&selection).copied();
            let again = rand::rng().random_bool(0.3);
            let after = reached.filter(|_| !again).unwrap_or_else(|| self.past());
            let mut stream = Stream::new(after);
            let ended = self.watch(&api, stopped, &selection, &mut stream).await;
            self.positions.lock().unwrap().insert(selection.clone(), stream.position());
            self.shown.lock().unwrap().streams.push((selection.clone(), stream));
            if ended.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
            self.note(ended);
        }
    }

    /// One watch to its end, or until told to stop.
    async fn watch(
        &self,
        api: &Api<ConfigMap>,
        stopped: &watch::Receiver<bool>,
        selection: &Selection,
        stream: &mut Stream,
    ) -> Result<(), Error> {
        // Short, so that there are many: each begins with a resumption and ends with a bookmark.
        let mut params = WatchParams::default().timeout(1).labels(selection.labels());
        params.field_selector = selection.fields();
        let mut stopped = stopped.clone();
        let watching = async {
            let mut events = api.watch(&params, &stream.after.to_string()).await?.boxed();
            while let Some(event) = events.try_next().await? {
                let told = told(event)?;
                stream.told.push(told);
                self.calls.learn(stream.position());
            }
            Ok(())
        };
        tokio::select! {
            ended = watching => ended,
            _ = stopped.wait_for(|stopped| *stopped) => Ok(()),
        }
    }
}

/// What an event of a watch tells.
pub(super) fn told(event: WatchEvent<ConfigMap>) -> Result<Told, Error> {
    let (kind, object) = match event {
        WatchEvent::Added(object) => (Kind::Added, object),
        WatchEvent::Modified(object) => (Kind::Modified, object),
        WatchEvent::Deleted(object) => (Kind::Deleted, object),
        WatchEvent::Bookmark(bookmark) => {
            return Ok(Told::Bookmark(parse(Some(bookmark.metadata.resource_version))));
        }
        WatchEvent::Error(status) => return Err(Error::Api(status)),
    };
    let write = object.data.as_ref().and_then(|data| data.get("write")?.parse().ok());
    let (key, revision) = version(&object);
    Ok(Told::Event { kind, revision, key, write: write.expect("every object tells which call wrote it") })
}
