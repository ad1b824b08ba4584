//! POST: a new object.

use http::{Response, StatusCode};
use machinery::Status;

use super::options::WriteOptions;
use super::{Target, respond};
use crate::body::{self, Body};
use crate::negotiate;
use crate::write::{Intent, Source, View, document, write};

/// Creates the object in the body.
pub(crate) async fn create(target: Target, body: Body) -> Result<Response<Body>, Status> {
    let accept = negotiate::resource(&target.call, &target.kind)?;
    let options = WriteOptions::read(&target.call.query, "CreateOptions")?;
    let body = document::to_json(&target.call, &target.kind.gvk, body::read(body).await?)?;
    let intent = Intent {
        call: &target.call,
        kind: &target.kind,
        subresource: "",
        view: View::Main,
        namespace: target.namespace().to_owned(),
        name: String::new(),
        generated: 0,
        source: Source::New(body),
        options,
    };
    let written = write(intent).await?;
    respond(&target, &accept, StatusCode::CREATED, &written)
}
