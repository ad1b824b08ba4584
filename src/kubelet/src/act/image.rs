//! The image of a container about to be started: is it there, is it pulled, why not.

use client::EventType::{Normal, Warning};
use cri::v1;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container;

use super::{Actor, Done, container::Failure};
use crate::{
    images,
    pod::{self, Role},
    spec::security::ImageUser,
};

/// An image that is there.
pub(super) struct Image {
    pub image_ref: String,
    pub user: ImageUser,
}

/// The user an image runs as; one that says nothing runs as root.
fn image_user(image: &v1::Image) -> ImageUser {
    let uid = image.uid.map(|uid| uid.value);
    ImageUser { uid: uid.or(image.username.is_empty().then_some(0)), name: image.username.clone() }
}

impl Actor<'_> {
    /// The image, if it is there; otherwise starts to pull it, or says why not.
    pub(super) async fn image(&mut self, spec: &Container, role: Role) -> Result<Option<Image>, Failure> {
        let image = spec.image.as_deref().unwrap_or_default();
        let about = (role, spec.name.as_str());
        let full_name = images::name::with_default_tag(image).map_err(|error| {
            let message = format!("Failed to apply default image tag {image:?}: {error}");
            self.host.container_event(self.pod, about, Warning, "InspectFailed", message.clone());
            ("InvalidImageName", message)
        })?;
        let pulled = self.memory.container(&spec.name).image_ref.clone();
        let policy = spec.image_pull_policy.as_deref().unwrap_or("IfNotPresent");
        if pulled.is_none() && policy == "Always" {
            self.pull(spec, role)?;
            return Ok(None);
        }
        let name = pulled.as_deref().unwrap_or(&full_name);
        let found = images::find(self.host.runtime.as_ref(), name).await.map_err(|status| {
            let message = format!("Failed to inspect image {image:?}: {}", status.message());
            self.host.container_event(self.pod, about, Warning, "InspectFailed", message.clone());
            ("ImageInspectError", message)
        })?;
        match found {
            Some(found) => {
                if pulled.is_none() {
                    let message = format!(
                        "Container image {image:?} already present on machine and can be accessed by the pod"
                    );
                    self.host.container_event(self.pod, about, Normal, "Pulled", message);
                }
                let user = image_user(&found);
                Ok(Some(Image { image_ref: pulled.unwrap_or(found.id), user }))
            }
            None if policy == "Never" => {
                let message = format!("Container image {image:?} is not present with pull policy of Never");
                self.host.container_event(self.pod, about, Warning, "ErrImageNeverPull", message.clone());
                Err(("ErrImageNeverPull", message))
            }
            None => {
                self.pull(spec, role)?;
                Ok(None)
            }
        }
    }

    fn pull(&mut self, spec: &Container, role: Role) -> Result<(), Failure> {
        let sandbox = self.sandbox_config(0).map_err(|message| ("CreateContainerConfigError", message))?;
        let known = self.memory.container(&spec.name);
        known.is_pulling = true;
        known.image_ref = None;
        let image = spec.image.clone().unwrap_or_default();
        let message = format!("Pulling image {image:?}");
        self.host.container_event(self.pod, (role, &spec.name), Normal, "Pulling", message);
        let secrets = self.held.pull_secrets(self.pod);
        let (runtime, name) = (self.host.runtime.clone(), spec.name.clone());
        self.jobs.spawn(async move {
            let secrets = secrets.await;
            let result = images::pull(runtime.as_ref(), &image, &secrets, sandbox).await;
            Done::Pulled { name, role, result }
        });
        Ok(())
    }

    pub(super) fn pulled(&mut self, name: &str, role: Role, result: Result<images::Pulled, images::Failure>) {
        let now = Timestamp::now();
        let (host, pod) = (self.host.clone(), self.pod.clone());
        let image =
            pod::container(pod::spec(&pod), name).and_then(|(_, spec)| spec.image).unwrap_or_default();
        let known = self.memory.container(name);
        known.is_pulling = false;
        match result {
            Ok(pulled) => {
                host.container_event(&pod, (role, name), Normal, "Pulled", pulled.message);
                known.image_ref = Some(pulled.image_ref);
                known.failure = None;
                host.images_changed.notify_one();
            }
            Err(failure) => {
                // The attempt that a killed container was to be followed by.
                known.restart_asked = false;
                let message = format!("Failed to pull image {image:?}: {}", failure.message);
                host.container_event(&pod, (role, name), Warning, "Failed", message);
                host.container_event(
                    &pod,
                    (role, name),
                    Warning,
                    "Failed",
                    format!("Error: {}", failure.reason),
                );
                known.pull_failed(&image, failure.reason, failure.message, now);
            }
        }
    }
}
