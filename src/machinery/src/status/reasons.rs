//! The failures that upstream knows, each with its code, reason and sentence.

use std::borrow::Cow;
use std::fmt::Display;

use super::{Cause, Details, Status};
use crate::field::{self, ErrorList};
use crate::gvk::{GroupKind, GroupResource};
use crate::json;

/// What each failure is called and how it reads.
impl Status {
    /// 404: there is no object of this name.
    pub fn not_found(resource: &GroupResource, name: &str) -> Self {
        let message = format!("{resource} {} not found", json::quoted(name));
        Self::failure(404, "NotFound", message).with_details(Details::of(resource, name))
    }

    /// 409: an object of this name exists.
    pub fn already_exists(resource: &GroupResource, name: &str) -> Self {
        let message = format!("{resource} {} already exists", json::quoted(name));
        Self::failure(409, "AlreadyExists", message).with_details(Details::of(resource, name))
    }

    /// 409: every generated name that was tried is taken.
    pub fn generate_name_conflict(resource: &GroupResource, name: &str, retry_after_s: u32) -> Self {
        let message = format!(
            "{resource} {} already exists, the server was not able to generate a unique name for the object",
            json::quoted(name)
        );
        let details = Details { retry_after_seconds: retry_after_s, ..Details::of(resource, name) };
        Self::failure(409, "AlreadyExists", message).with_details(details)
    }

    /// 409: the object cannot be changed as asked.
    pub fn conflict(resource: &GroupResource, name: &str, error: impl Display) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} {}: {error}", json::quoted(name));
        Self::failure(409, "Conflict", message).with_details(Details::of(resource, name))
    }

    /// 422: the object breaks rules.
    pub fn invalid(kind: &GroupKind, name: &str, errors: &[field::Error]) -> Self {
        let mut message = format!("{kind} {} is invalid", json::quoted(name));
        if !errors.is_empty() {
            message.push_str(": ");
            message.push_str(&field::aggregate(errors));
        }
        let details = Details {
            name: name.to_owned(),
            group: kind.group.clone(),
            kind: kind.kind.clone(),
            causes: errors.iter().map(Cause::from).collect(),
            ..Details::default()
        };
        Self::failure(422, "Invalid", message).with_details(details)
    }

    /// 400: the request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::failure(400, "BadRequest", message)
    }

    /// 401: the server does not know who asks. An empty message gets upstream's.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        let message = message.into();
        let message = if message.is_empty() { "not authorized".to_owned() } else { message };
        Self::failure(401, "Unauthorized", message)
    }

    /// 403: the user or a policy may not do this. `resource` and `name` may be empty.
    pub fn forbidden(resource: &GroupResource, name: &str, error: impl Display) -> Self {
        let message = if resource.is_empty() {
            format!("forbidden: {error}")
        } else if name.is_empty() {
            format!("{resource} is forbidden: {error}")
        } else {
            format!("{resource} {} is forbidden: {error}", json::quoted(name))
        };
        Self::failure(403, "Forbidden", message).with_details(Details::of(resource, name))
    }

    /// 405: the resource has no such verb.
    pub fn method_not_supported(resource: &GroupResource, action: &str) -> Self {
        let message =
            format!("{action} is not supported on resources of kind {}", json::quoted(&resource.to_string()));
        Self::failure(405, "MethodNotAllowed", message).with_details(Details::of(resource, ""))
    }

    /// 406: none of the media types that the client accepts can be made.
    pub fn not_acceptable(accepted: &[&str]) -> Self {
        Self::not_acceptable_because(format!(
            "only the following media types are accepted: {}",
            accepted.join(", ")
        ))
    }

    /// 406: what the client accepts cannot be made of the answer.
    pub fn not_acceptable_because(message: impl Into<String>) -> Self {
        Self::failure(406, "NotAcceptable", message)
    }

    /// 410: what was asked for is gone for good.
    pub fn gone(message: impl Into<String>) -> Self {
        Self::failure(410, "Gone", message)
    }

    /// 410: the revision or continue token asked for is too old.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::failure(410, "Expired", message)
    }

    /// 413: the body is too large.
    pub fn request_entity_too_large(message: impl Display) -> Self {
        Self::failure(413, "RequestEntityTooLarge", format!("Request entity too large: {message}"))
    }

    /// 415: the body's media type is none of `accepted`.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::failure(415, "UnsupportedMediaType", message)
    }

    /// 500: a failure that is not the client's. The message is shown to the client.
    pub fn internal(error: impl Display) -> Self {
        let cause = Cause { message: error.to_string(), ..Cause::default() };
        let details = Details { causes: vec![cause], ..Details::default() };
        Self::failure(500, "InternalError", format!("Internal error occurred: {error}")).with_details(details)
    }

    /// 503: the server cannot serve this now.
    pub fn service_unavailable(message: impl Into<String>) -> Self {
        Self::failure(503, "ServiceUnavailable", message)
    }

    /// 504: time ran out; the operation may still complete.
    pub fn timeout(message: impl Display, retry_after_s: u32) -> Self {
        Self::failure(504, "Timeout", format!("Timeout: {message}"))
            .with_details(Details::retry(retry_after_s))
    }

    /// 504: the revision asked for has not been reached.
    pub fn too_large_resource_version(asked: u64, current: u64, retry_after_s: u32) -> Self {
        let mut status =
            Self::timeout(format!("Too large resource version: {asked}, current: {current}"), retry_after_s);
        let cause = Cause {
            reason: "ResourceVersionTooLarge".to_owned(),
            message: "Too large resource version".to_owned(),
            ..Cause::default()
        };
        status.details_mut().causes.push(cause);
        status
    }

    /// 404: no resource is served at this path.
    pub fn page_not_found() -> Self {
        Self::failure(404, "NotFound", "the server could not find the requested resource")
            .with_details(Details::default())
    }

    /// 200: done, and there is no object to show.
    pub fn success(details: Option<Details>) -> Self {
        Self {
            failed: false,
            code: 200,
            reason: "".into(),
            message: String::new(),
            details: details.map(Box::new),
            continue_token: None,
        }
    }

    /// Any other failure.
    pub fn failure(code: u16, reason: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            failed: true,
            code,
            reason: reason.into(),
            message: message.into(),
            details: None,
            continue_token: None,
        }
    }

    /// `Err` with [`Status::invalid`] unless the list is empty.
    pub fn check(kind: &GroupKind, name: &str, errors: &ErrorList) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self::invalid(kind, name, errors)) }
    }
}
