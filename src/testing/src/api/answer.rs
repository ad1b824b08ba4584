//! From a request to its answer, as `kube::Client` sends and reads them.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{FutureExt, StreamExt, future::BoxFuture};
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use kube::client::Body;
use serde_json::{Value, json};

use super::{
    Api,
    merge::merge,
    path::{self, Path},
};

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

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

impl Api {
    async fn answer(self, request: Request<Body>) -> Answer {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let query = query(parts.uri.query().unwrap_or_default());
        let Path { collection, name, subresource } = path::parse(parts.uri.path());
        let object = || serde_json::from_slice::<Value>(&body).unwrap();
        match (parts.method, name) {
            (Method::POST, Some(_)) if subresource == "token" => token(),
            (Method::POST, None) if collection.ends_with("reviews") => review(&collection, object()),
            (Method::POST, None) => self.create(&collection, object()),
            (Method::GET, None) if query.contains_key("watch") => self.watch(collection, &query),
            (Method::GET, None) => self.listed(&collection, query.get("fieldSelector")),
            (Method::GET, Some(name)) => found(self.get(&collection, &name)),
            (Method::PUT, Some(_)) => ok(&self.put(&collection, object())),
            (Method::PATCH, Some(name)) if self.get(&collection, &name).is_none() => found(None),
            (Method::PATCH, Some(name)) => {
                ok(&self.update(&collection, &name, |known| merge(known, &object())))
            }
            (Method::DELETE, Some(name)) => found(self.remove(&collection, &name)),
            (method, _) => panic!("{method} {} is not expected", parts.uri),
        }
    }

    fn create(&self, collection: &str, object: Value) -> Answer {
        let name = object["metadata"]["name"].as_str().expect("components name what they create");
        match self.get(collection, name) {
            Some(_) => error(StatusCode::CONFLICT, "AlreadyExists"),
            None => ok(&self.put(collection, object)),
        }
    }

    fn listed(&self, collection: &str, selector: Option<&String>) -> Answer {
        let state = self.0.state.lock().unwrap();
        let selected = state
            .objects
            .iter()
            .filter(|((path, _), object)| path::is_in(path, collection) && selects(selector, object));
        let items: Vec<&Value> = selected.map(|(_, object)| object).collect();
        let revision = self.0.revision.borrow().to_string();
        ok(&json!({"metadata": {"resourceVersion": revision}, "items": items}))
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
                    let lines = api.news(&collection, selector.as_ref(), from, now);
                    if !lines.is_empty() {
                        return Some((Ok(Frame::data(Bytes::from(lines))), (api, revisions, now)));
                    }
                    revisions.changed().await.ok()?;
                }
            }
        });
        Response::new(StreamBody::new(stream.boxed()).boxed_unsync())
    }

    /// A watch's lines about what was written after `from`, up to `to`.
    fn news(&self, collection: &str, selector: Option<&String>, from: u64, to: u64) -> String {
        let state = self.0.state.lock().unwrap();
        let news = state.log.iter().filter(|written| {
            (from + 1..=to).contains(&written.revision)
                && path::is_in(&written.collection, collection)
                && selects(selector, &written.object)
        });
        news.map(|written| format!("{{\"type\":\"{}\",\"object\":{}}}\n", written.change, written.object))
            .collect()
    }
}

fn query(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    let decoded = |value| percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned();
    pairs.map(|(key, value)| (key.to_owned(), decoded(value))).collect()
}

fn selects(selector: Option<&String>, object: &Value) -> bool {
    selector.into_iter().flat_map(|selector| selector.split(',')).all(|part| {
        let (field, value) = part.split_once('=').unwrap();
        object.pointer(&format!("/{}", field.replace('.', "/"))).and_then(Value::as_str) == Some(value)
    })
}

fn token() -> Answer {
    let status = json!({"token": "the-token", "expirationTimestamp": "2100-01-01T00:00:00Z"});
    ok(&json!({"metadata": {}, "spec": {"audiences": [], "expirationSeconds": 3600}, "status": status}))
}

/// Everybody is who their token says, and only `admin` may do anything.
fn review(collection: &str, mut review: Value) -> Answer {
    review["status"] = match collection.ends_with("tokenreviews") {
        true => json!({"authenticated": true, "user": {"username": review["spec"]["token"]}}),
        false => json!({"allowed": review["spec"]["user"] == "admin"}),
    };
    ok(&review)
}

fn found(object: Option<Value>) -> Answer {
    object.map_or_else(|| error(StatusCode::NOT_FOUND, "NotFound"), |object| ok(&object))
}

fn ok(body: &Value) -> Answer {
    Response::new(Full::new(Bytes::from(body.to_string())).boxed_unsync())
}

fn error(code: StatusCode, reason: &str) -> Answer {
    let body = json!({
        "kind": "Status", "status": "Failure", "reason": reason, "code": code.as_u16(), "message": reason,
    });
    let mut answer = ok(&body);
    *answer.status_mut() = code;
    answer
}
