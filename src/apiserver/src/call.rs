//! A request that may be served: authenticated, authorized, its parts within reach of the handlers.
//!
//! Made by `chain`, handed on by `dispatch`. The body travels beside it, since only one handler consumes it.

use std::sync::{Arc, Mutex, PoisonError};

use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::request::Parts;
use http::{HeaderName, Method};
use k8s_openapi::jiff::Timestamp;
use machinery::Status;

use crate::chain::authorize::{self, Attributes, Resource};
use crate::chain::request_info::RequestInfo;
use crate::negotiate;
use crate::query::Query;
use crate::server::Server;
use crate::user::User;

/// One request.
pub(crate) struct Call {
    pub(crate) server: Arc<Server>,
    pub(crate) parts: Parts,
    pub(crate) query: Query,
    pub(crate) info: RequestInfo,
    pub(crate) user: Arc<User>,
    pub(crate) now: Timestamp,
    /// What the client is to be warned of.
    pub(crate) warnings: Warnings,
}

/// Sentences for the client's `Warning` headers. Clones share them: a refusal takes them along when the call is gone.
#[derive(Clone, Default)]
pub(crate) struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    /// Those that have not been sent.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Call {
    pub(crate) fn new(
        server: Arc<Server>,
        parts: Parts,
        query: Query,
        info: RequestInfo,
        user: Arc<User>,
        warnings: Warnings,
    ) -> Call {
        Call { server, parts, query, info, user, now: Timestamp::now(), warnings }
    }

    pub(crate) fn method(&self) -> &Method {
        &self.parts.method
    }

    pub(crate) fn accept(&self) -> &str {
        self.header(ACCEPT)
    }

    pub(crate) fn accepts_gzip(&self) -> bool {
        self.header(ACCEPT_ENCODING).split(',').any(|coding| coding.trim().split(';').next() == Some("gzip"))
    }

    pub(crate) fn content_type(&self) -> &str {
        self.header(CONTENT_TYPE)
    }

    pub(crate) fn is_pretty(&self) -> bool {
        negotiate::is_pretty(&self.query, self.header(USER_AGENT))
    }

    fn header(&self, name: HeaderName) -> &str {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// A sentence for the client's `Warning` header; each is sent once.
    pub(crate) fn warn(&self, text: impl Into<String>) {
        let text = text.into();
        let mut warnings = self.warnings.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !warnings.contains(&text) {
            warnings.push(text);
        }
    }

    /// Whether the user may do something else than the request itself asks, as upstream's 403 where not.
    pub(crate) fn authorize(&self, verb: &str, on: Resource<'_>) -> Result<(), Status> {
        authorize::check(&self.server, &Attributes { user: &self.user, verb, target: on.into() })
    }

    /// The resource that the request is about, as authorization sees it.
    pub(crate) fn resource(&self) -> Resource<'_> {
        Resource {
            group: &self.info.group,
            resource: &self.info.resource,
            subresource: &self.info.subresource,
            namespace: &self.info.namespace,
            name: &self.info.name,
            field_selector: "",
        }
    }
}
