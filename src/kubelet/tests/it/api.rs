//! An API server of a page: objects by path, lists and watches with field selectors, patches, events nobody reads.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{FutureExt, StreamExt, future::BoxFuture};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::watch;

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

#[derive(Clone, Default)]
pub(crate) struct Api(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    revision: watch::Sender<u64>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { state: Mutex::default(), revision: watch::Sender::new(1) }
    }
}

#[derive(Default)]
struct State {
    /// By collection path, then name.
    objects: BTreeMap<(String, String), Value>,
    /// Revision, collection, type of change, object.
    log: Vec<(u64, String, &'static str, Value)>,
}

impl Api {
    pub(crate) fn client(&self) -> kube::Client {
        kube::Client::new(self.clone(), "default")
    }

    pub(crate) fn get(&self, collection: &str, name: &str) -> Option<Value> {
        self.0.state.lock().unwrap().objects.get(&(collection.to_owned(), name.to_owned())).cloned()
    }

    /// All objects of a collection.
    pub(crate) fn list(&self, collection: &str) -> Vec<Value> {
        let state = self.0.state.lock().unwrap();
        let of = state.objects.iter().filter(|((path, _), _)| path == collection);
        of.map(|(_, object)| object.clone()).collect()
    }

    /// Creates or replaces an object.
    pub(crate) fn put(&self, collection: &str, object: Value) -> Value {
        self.write(&mut self.0.state.lock().unwrap(), collection, object)
    }

    /// Changes an object without anybody in between.
    pub(crate) fn update(&self, collection: &str, name: &str, change: impl FnOnce(&mut Value)) -> Value {
        let mut state = self.0.state.lock().unwrap();
        let mut object = state.objects[&(collection.to_owned(), name.to_owned())].clone();
        change(&mut object);
        self.write(&mut state, collection, object)
    }

    fn write(&self, state: &mut State, collection: &str, mut object: Value) -> Value {
        let name = object["metadata"]["name"].as_str().unwrap_or("generated").to_owned();
        let key = (collection.to_owned(), name);
        // Under the lock: a revision is given out once.
        let revision = *self.0.revision.borrow() + 1;
        let known = state.objects.contains_key(&key);
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.insert("resourceVersion".into(), json!(revision.to_string()));
        metadata.entry("uid").or_insert_with(|| json!(format!("uid-{revision}")));
        state.objects.insert(key, object.clone());
        state.log.push((
            revision,
            collection.into(),
            if known { "MODIFIED" } else { "ADDED" },
            object.clone(),
        ));
        self.0.revision.send_replace(revision);
        object
    }

    /// The last state of an object that was deleted.
    pub(crate) fn deleted(&self, collection: &str, name: &str) -> Option<Value> {
        let state = self.0.state.lock().unwrap();
        let mut deleted =
            state.log.iter().filter(|(_, path, type_, _)| path == collection && *type_ == "DELETED");
        deleted.find(|(.., object)| object["metadata"]["name"] == name).map(|(.., object)| object.clone())
    }

    pub(crate) fn remove(&self, collection: &str, name: &str) -> Option<Value> {
        let mut state = self.0.state.lock().unwrap();
        let object = state.objects.remove(&(collection.to_owned(), name.to_owned()))?;
        let revision = *self.0.revision.borrow() + 1;
        state.log.push((revision, collection.into(), "DELETED", object.clone()));
        // Under the lock: a revision is given out once.
        self.0.revision.send_replace(revision);
        drop(state);
        Some(object)
    }

    /// Waits until `test` says something about the objects.
    pub(crate) async fn until<T>(&self, mut test: impl FnMut(&Self) -> Option<T>) -> T {
        let mut revisions = self.0.revision.subscribe();
        loop {
            revisions.borrow_and_update();
            if let Some(found) = test(self) {
                return found;
            }
            revisions.changed().await.unwrap();
        }
    }

    async fn answer(self, request: Request<Body>) -> Answer {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let path = parts.uri.path().to_owned();
        let query: BTreeMap<String, String> = parts
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| {
                (key.into(), percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned())
            })
            .collect();
        let json_body = || serde_json::from_slice::<Value>(&body).unwrap();
        let (collection, name, subresource) = split(&path);
        match (parts.method, name) {
            (Method::POST, _) if subresource == "token" => {
                let status = json!({"token": "the-token", "expirationTimestamp": "2100-01-01T00:00:00Z"});
                ok(
                    &json!({"metadata": {}, "spec": {"audiences": [], "expirationSeconds": 3600}, "status": status}),
                )
            }
            (Method::POST, None) if collection.ends_with("reviews") => ok(&review(&collection, json_body())),
            (Method::POST, None) => {
                let object = json_body();
                let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                if self.get(&collection, &name).is_some() {
                    return error(StatusCode::CONFLICT, "AlreadyExists");
                }
                ok(&self.put(&collection, object))
            }
            (Method::GET, None) if query.contains_key("watch") => self.watch(collection, &query),
            (Method::GET, None) => {
                let revision = self.0.revision.borrow().to_string();
                let items = self.list_selected(&collection, query.get("fieldSelector"));
                ok(&json!({"metadata": {"resourceVersion": revision}, "items": items}))
            }
            (Method::GET, Some(name)) => {
                self.get(&collection, &name).map_or_else(not_found, |object| ok(&object))
            }
            (Method::PUT, Some(_)) => ok(&self.put(&collection, json_body())),
            (Method::PATCH, Some(name)) => match self.get(&collection, &name) {
                None => not_found(),
                Some(_) => ok(&self.update(&collection, &name, |object| merge(object, &json_body()))),
            },
            (Method::DELETE, Some(name)) => {
                self.remove(&collection, &name).map_or_else(not_found, |object| ok(&object))
            }
            (method, _) => panic!("{method} {path} is not expected"),
        }
    }

    /// The objects of a collection, or of all namespaces.
    fn list_selected(&self, collection: &str, selector: Option<&String>) -> Vec<Value> {
        let state = self.0.state.lock().unwrap();
        let of = state
            .objects
            .iter()
            .filter(|((path, _), object)| is_in(path, collection) && selects(selector, object));
        of.map(|(_, object)| object.clone()).collect()
    }

    fn watch(self, collection: String, query: &BTreeMap<String, String>) -> Answer {
        let from: u64 = query.get("resourceVersion").and_then(|text| text.parse().ok()).unwrap_or(0);
        let selector = query.get("fieldSelector").cloned();
        let revisions = self.0.revision.subscribe();
        let stream = futures::stream::unfold((self, revisions, from), move |(api, mut revisions, from)| {
            let (collection, selector) = (collection.clone(), selector.clone());
            async move {
                loop {
                    let now = *revisions.borrow_and_update();
                    let lines: String = {
                        let state = api.0.state.lock().unwrap();
                        let news = state.log.iter().filter(|(revision, path, _, object)| {
                            *revision > from
                                && *revision <= now
                                && is_in(path, &collection)
                                && selects(selector.as_ref(), object)
                        });
                        news.map(|(_, _, type_, object)| {
                            format!("{}\n", json!({"type": type_, "object": object}))
                        })
                        .collect()
                    };
                    if !lines.is_empty() {
                        let frame = Ok::<_, Infallible>(Frame::data(Bytes::from(lines)));
                        return Some((frame, (api, revisions, now)));
                    }
                    revisions.changed().await.ok()?;
                }
            }
        });
        Response::new(StreamBody::new(stream.boxed()).boxed_unsync())
    }
}

/// `/api/v1/namespaces/a/pods/b/status` as collection, name and subresource.
fn split(path: &str) -> (String, Option<String>, String) {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let group = if parts[0] == "api" { 2 } else { 3 };
    let namespaced = parts.get(group) == Some(&"namespaces") && parts.len() > group + 2;
    let end = if namespaced { group + 3 } else { group + 1 };
    let name = parts.get(end).map(|name| (*name).to_owned());
    (format!("/{}", parts[..end].join("/")), name, parts.get(end + 1).copied().unwrap_or_default().to_owned())
}

/// Whether a namespaced collection belongs to the one over all namespaces, or is it.
fn is_in(path: &str, collection: &str) -> bool {
    let resource = collection.rsplit('/').next().unwrap();
    path == collection || (!collection.contains("/namespaces/") && path.ends_with(&format!("/{resource}")))
}

fn selects(selector: Option<&String>, object: &Value) -> bool {
    selector.into_iter().flat_map(|selector| selector.split(',')).all(|part| {
        let (field, value) = part.split_once('=').unwrap();
        object.pointer(&format!("/{}", field.replace('.', "/"))).and_then(Value::as_str) == Some(value)
    })
}

/// A strategic merge patch as far as the kubelet needs one.
fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else { return };
    let object = object.as_object_mut().unwrap();
    for (key, value) in patch {
        match value {
            Value::Null => drop(object.remove(key)),
            Value::Object(_) => merge(object.entry(key).or_insert_with(|| json!({})), value),
            Value::Array(list) if key == "conditions" => {
                let known = object.entry(key).or_insert_with(|| json!([])).as_array_mut().unwrap();
                for new in list {
                    known.retain(|old| old["type"] != new["type"]);
                    known.push(without_nulls(new));
                }
            }
            Value::Array(list) => {
                let list: Vec<&Value> = list.iter().filter(|item| item.get("$patch").is_none()).collect();
                object.insert(key.clone(), json!(list));
            }
            other => drop(object.insert(key.clone(), other.clone())),
        }
    }
}

fn without_nulls(value: &Value) -> Value {
    value
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

/// Everybody is who their token says, and only `admin` may do anything.
fn review(collection: &str, mut review: Value) -> Value {
    review["status"] = match collection.ends_with("tokenreviews") {
        true => json!({"authenticated": true, "user": {"username": review["spec"]["token"]}}),
        false => json!({"allowed": review["spec"]["user"] == "admin"}),
    };
    review
}

fn ok(body: &Value) -> Answer {
    Response::new(Full::new(Bytes::from(body.to_string())).boxed_unsync())
}

fn error(code: StatusCode, reason: &str) -> Answer {
    let body = json!({"kind": "Status", "status": "Failure", "reason": reason, "code": code.as_u16(), "message": reason});
    let mut answer = ok(&body);
    *answer.status_mut() = code;
    answer
}

fn not_found() -> Answer {
    error(StatusCode::NOT_FOUND, "NotFound")
}

impl tower::Service<Request<Body>> for Api {
    type Response = Answer;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.clone().answer(request).map(Ok).boxed()
    }
}
