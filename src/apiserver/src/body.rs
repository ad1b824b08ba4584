//! The one body type that requests and answers have inside the server, whatever carried them here.
//!
//! `serve` and `in_process` box what they receive into it; answers leave as it. Never parses what it carries.

use bytes::{Bytes, BytesMut};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use machinery::Status;

/// Whatever went wrong while a body was read or written.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body of a request or an answer.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Upstream's limit of a request body (3 MiB).
pub(crate) const LIMIT: usize = 3 * 1024 * 1024;

/// A body that is `bytes` and nothing more.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body without a byte.
pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Boxes a body that came from outside.
pub(crate) fn boxed<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

/// Reads a request's body to its end, at most [`LIMIT`] bytes of it. A body that came in one piece is not copied.
pub(crate) async fn read(mut body: Body) -> Result<Bytes, Status> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|error| Status::bad_request(format!("unable to read the request's body: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + all.len() + data.len() > LIMIT {
            return Err(Status::request_entity_too_large(format!("limit is {LIMIT}")));
        }
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        all.extend_from_slice(&std::mem::take(&mut first));
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}
