//! Getting a container's image: is it there, may it be pulled, with which credentials.
//!
//! Asks and orders the runtime; the runtime talks to registries. Policies, reasons and texts are upstream's
//! (kubelet/images).

use std::time::Instant;

use cri::v1;
use k8s_openapi::api::core::v1::Secret;

pub(crate) mod name;
pub(crate) mod pull_secrets;

/// Why there is no image, in the status' terms.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    pub reason: &'static str,
    pub message: String,
}

/// An image that has been pulled.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pulled {
    pub image_ref: String,
    /// For the event.
    pub message: String,
}

/// What the runtime says about an image, if it has it.
pub(crate) async fn find(runtime: &dyn cri::Runtime, image: &str) -> Result<Option<v1::Image>, cri::Status> {
    let request = v1::ImageStatusRequest { image: Some(spec(image)), verbose: false };
    Ok(runtime.image_status(request).await?.image.filter(|image| !image.id.is_empty()))
}

/// Pulls `image` with the first credentials that the registry accepts.
pub(crate) async fn pull(
    runtime: &dyn cri::Runtime,
    image: &str,
    secrets: &[std::sync::Arc<Secret>],
    sandbox: v1::PodSandboxConfig,
) -> Result<Pulled, Failure> {
    let started = Instant::now();
    let full_name = name::with_default_tag(image).map_err(|error| Failure {
        reason: "InvalidImageName",
        message: format!("Failed to apply default image tag {image:?}: {error}"),
    })?;
    let credentials = pull_secrets::credentials(secrets, &full_name);
    let tries: Vec<Option<v1::AuthConfig>> =
        if credentials.is_empty() { vec![None] } else { credentials.into_iter().map(Some).collect() };
    let mut last = cri::Status::unknown("no attempt was made");
    for auth in tries {
        let (spec, sandbox_config) = (Some(spec(&full_name)), Some(sandbox.clone()));
        match runtime.pull_image(v1::PullImageRequest { image: spec, auth, sandbox_config }).await {
            Ok(answer) => {
                let took = go_duration(started.elapsed().as_millis());
                let size = find(runtime, &full_name).await.ok().flatten().map_or(0, |image| image.size);
                let message = format!(
                    "Successfully pulled image {image:?} in {took} ({took} including waiting). Image size: {size} bytes."
                );
                return Ok(Pulled { image_ref: answer.image_ref, message });
            }
            Err(status) => last = status,
        }
    }
    Err(failure(image, last.message()))
}

pub(crate) fn spec(image: &str) -> v1::ImageSpec {
    v1::ImageSpec { image: image.to_owned(), ..v1::ImageSpec::default() }
}

/// A runtime says what kind of failure it was by how its message begins.
fn failure(image: &str, message: &str) -> Failure {
    if let Some(detail) = message.strip_prefix("RegistryUnavailable") {
        let message = format!("image pull failed for {image} because the registry is unavailable{detail}");
        return Failure { reason: "RegistryUnavailable", message };
    }
    if let Some(detail) = message.strip_prefix("SignatureValidationFailed") {
        let message =
            format!("image pull failed for {image} because the signature validation failed{detail}");
        return Failure { reason: "SignatureValidationFailed", message };
    }
    Failure { reason: "ErrImagePull", message: message.to_owned() }
}

/// Milliseconds as Go prints a duration: `85ms`, `1.2s`, `1m5.5s`.
fn go_duration(milliseconds: u128) -> String {
    if milliseconds < 1000 {
        return format!("{milliseconds}ms");
    }
    let (minutes, rest) = (milliseconds / 60_000, milliseconds % 60_000);
    let fraction = format!("{:03}", rest % 1000);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    let seconds = format!("{}{point}{fraction}s", rest / 1000);
    if minutes == 0 { seconds } else { format!("{minutes}m{seconds}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_look_like_gos() {
        let shown = [85, 1000, 1200, 65_500].map(go_duration);
        assert_eq!(shown, ["85ms", "1s", "1.2s", "1m5.5s"]);
    }

    #[test]
    fn a_registry_that_is_down_is_told_from_a_missing_image() {
        assert_eq!(failure("x", "not found").reason, "ErrImagePull");
        let down = failure("x", "RegistryUnavailable: connection refused");
        assert_eq!(
            down.message,
            "image pull failed for x because the registry is unavailable: connection refused"
        );
    }
}
