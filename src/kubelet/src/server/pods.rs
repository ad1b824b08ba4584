//! `/pods`: the pods of this node as the kubelet knows them.

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::Api;

pub(super) async fn list(State(api): State<Api>) -> Json<Value> {
    let pods = api.pods.list();
    let items: Vec<_> = pods.iter().map(AsRef::as_ref).collect();
    Json(json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}))
}
