//! Paths that whoever runs this API server adds to it: authenticated, authorized (as non-resource URLs) and limited as every
//! other. Looked for before the server's own; nothing here knows what they do.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{Request, Response};

use crate::body::Body;

/// What is done at a path.
pub trait Operation: Send + Sync + 'static {
    /// Answers a request that was authorized. What takes longer is done while the answer's body is sent.
    fn answer(&self, request: Request<Body>) -> Response<Body>;
}

/// Operations by path, which begins with `/`.
pub type Operations = BTreeMap<&'static str, Arc<dyn Operation>>;
