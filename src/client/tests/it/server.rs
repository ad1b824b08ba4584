//! An API server as small as the tests need: one list, scripted watches, and a note of every write.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures::{StreamExt, channel::mpsc};
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use kube::{Client, client::Body};
use serde_json::{Value, json};

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// The server's state; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    lists: VecDeque<(u64, Vec<Value>)>,
    watches: VecDeque<mpsc::UnboundedReceiver<Bytes>>,
    requests: Vec<String>,
}

/// The sending end of one watch; dropping it ends the watch.
pub(crate) struct Watch(mpsc::UnboundedSender<Bytes>);

impl Watch {
    pub(crate) fn send(&self, kind: &str, object: Value) {
        let line = format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n");
        self.0.unbounded_send(line.into()).unwrap();
    }
}

impl Server {
    /// A client over the service.
    pub(crate) fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        Client::new(service, "default")
    }

    /// The next list answers these objects at that revision.
    pub(crate) fn will_list(&self, revision: u64, objects: Vec<Value>) {
        self.0.lock().unwrap().lists.push_back((revision, objects));
    }

    /// The next watch says what is sent by the returned end.
    pub(crate) fn will_watch(&self) -> Watch {
        let (sender, receiver) = mpsc::unbounded();
        self.0.lock().unwrap().watches.push_back(receiver);
        Watch(sender)
    }

    /// Every request so far: method, path, and the body of writes.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.0.lock().unwrap().requests.clone()
    }

    async fn answer(&self, request: Request<Body>) -> Answer {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let (path, body) = (parts.uri.to_string(), String::from_utf8_lossy(&body).into_owned());
        let mut state = self.0.lock().unwrap();
        state.requests.push(format!("{} {path} {body}", parts.method));
        if parts.method != Method::GET {
            return whole(201, &serde_json::from_str(&body).unwrap());
        }
        if path.contains("watch=true") {
            return match state.watches.pop_front() {
                Some(lines) => {
                    Response::new(StreamBody::new(lines.map(|line| Ok(Frame::data(line)))).boxed_unsync())
                }
                // A watch that nothing was planned for stays silent.
                None => Response::new(StreamBody::new(futures::stream::pending()).boxed_unsync()),
            };
        }
        let (revision, items) = state.lists.pop_front().expect("no further list was planned");
        let list = json!({
            "apiVersion": "v1", "kind": "ConfigMapList",
            "metadata": {"resourceVersion": revision.to_string()}, "items": items,
        });
        whole(200, &list)
    }
}

fn whole(code: u16, value: &Value) -> Answer {
    let body = http_body_util::Full::new(Bytes::from(value.to_string())).boxed_unsync();
    Response::builder().status(code).body(body).unwrap()
}
