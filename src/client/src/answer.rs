//! Questions about an error that the API server answered with: reasons are upstream's, the caller decides what follows.
//!
//! Errors of transport are none of these; callers retry them.

use kube::core::Status;

/// The `Status` inside `error`, when the server answered with one.
pub fn status(error: &kube::Error) -> Option<&Status> {
    match error {
        kube::Error::Api(status) => Some(status),
        _ => None,
    }
}

/// The object (or its kind) does not exist.
pub fn is_not_found(error: &kube::Error) -> bool {
    status(error).is_some_and(Status::is_not_found)
}

/// An object of that name exists already.
pub fn is_already_exists(error: &kube::Error) -> bool {
    status(error).is_some_and(Status::is_already_exists)
}

/// The write was made against an old resourceVersion, or a precondition did not hold.
pub fn is_conflict(error: &kube::Error) -> bool {
    status(error).is_some_and(Status::is_conflict)
}

/// Validation rejected the object.
pub fn is_invalid(error: &kube::Error) -> bool {
    status(error).is_some_and(Status::is_invalid)
}

/// The creation was refused because the namespace is being deleted.
pub fn is_namespace_terminating(error: &kube::Error) -> bool {
    status(error).is_some_and(|status| {
        status.is_forbidden()
            && status.details.as_ref().is_some_and(|details| {
                details.causes.iter().any(|cause| cause.reason == "NamespaceTerminating")
            })
    })
}

/// The sentence for users and events: the server's own message where there is one.
pub fn message(error: &kube::Error) -> String {
    match status(error) {
        Some(status) if !status.message.is_empty() => status.message.clone(),
        _ => error.to_string(),
    }
}
