//! Removes images that no container uses when the disk that holds them fills up (upstream: kubelet/images, image_gc_manager).
//!
//! Above a threshold it removes those that were used least recently, until another one is reached; none that has been here for less than two
//! minutes. Removes nothing else, and no image that a container refers to, even one that has ended.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use client::EventType::Warning;
use cri::v1;
use jiff::{SignedDuration, Timestamp};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    disk::{self, Space},
    host::Host,
    node,
};

const LOOK_EVERY: Duration = Duration::from_secs(300);
const MIN_AGE: SignedDuration = SignedDuration::from_mins(2);

/// When an image was seen first, and when a container used it last.
#[derive(Clone, Copy, Debug)]
struct Seen {
    first: Timestamp,
    used: Option<Timestamp>,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("container runtime: {}", .0.message())]
    Runtime(#[from] cri::Status),
    #[error("the file system of images: {0}")]
    Disk(#[from] disk::Error),
}

/// What is remembered between two looks.
#[derive(Default)]
struct Known {
    /// By image ID.
    images: HashMap<String, Seen>,
    /// A path on the file system of the images.
    place: Option<String>,
}

/// Looks for ever.
pub(crate) async fn run(host: Arc<Host>) {
    let mut known = Known::default();
    let mut timer = interval(LOOK_EVERY);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        match look(&host, &mut known).await {
            Ok(None) => {}
            Ok(Some(shortfall)) => event(&host, "FreeDiskSpaceFailed", shortfall),
            Err(error) => event(&host, "ImageGCFailed", error.to_string()),
        }
    }
}

fn event(host: &Host, reason: &str, message: String) {
    tracing::warn!(reason, message, "images could not be collected");
    host.recorder.event(&node::reference(&host.config.node_name), Warning, reason, message);
}

/// Removes what is too much; answers what to tell when that was not enough.
async fn look(host: &Host, known: &mut Known) -> Result<Option<String>, Error> {
    let runtime = host.runtime.as_ref();
    let images = runtime.list_images(v1::ListImagesRequest::default()).await?.images;
    let containers = runtime.list_containers(v1::ListContainersRequest::default()).await?.containers;
    let now = Timestamp::now();
    remember(&mut known.images, &images, &containers, now);
    let space = space(runtime, &mut known.place).await?;
    let wanted = host.config.thresholds.image_gc.wanted(space.capacity_bytes, space.available_bytes);
    let mut freed = 0;
    for image in candidates(&images, &known.images, now) {
        if freed >= wanted {
            break;
        }
        let spec = v1::ImageSpec { image: image.id.clone(), ..v1::ImageSpec::default() };
        runtime.remove_image(v1::RemoveImageRequest { image: Some(spec) }).await?;
        tracing::info!(image = image.id, bytes = image.size, "removed an unused image");
        freed += image.size;
        host.images_changed.notify_one();
    }
    Ok((freed < wanted).then(|| {
        format!(
            "Failed to garbage collect required amount of images. Attempted to free {wanted} bytes, but only found {freed} bytes eligible to free."
        )
    }))
}

async fn space(runtime: &dyn cri::Runtime, known: &mut Option<String>) -> Result<Space, Error> {
    let place = match known.take() {
        Some(place) => place,
        None => disk::images_path(runtime).await?,
    };
    Ok(Space::of(Path::new(known.insert(place)))?)
}

/// Notes which images are here and which are used.
fn remember(
    seen: &mut HashMap<String, Seen>,
    images: &[v1::Image],
    containers: &[v1::Container],
    now: Timestamp,
) {
    seen.retain(|id, _| images.iter().any(|image| image.id == *id));
    for image in images {
        let known = seen.entry(image.id.clone()).or_insert(Seen { first: now, used: None });
        if containers.iter().any(|container| uses(container, image)) {
            known.used = Some(now);
        }
    }
}

/// A container names its image by ID, tag or digest.
fn uses(container: &v1::Container, image: &v1::Image) -> bool {
    let named = container.image.as_ref().map(|spec| spec.image.as_str()).unwrap_or_default();
    [named, &container.image_ref, &container.image_id].into_iter().filter(|name| !name.is_empty()).any(
        |name| {
            name == image.id || image.repo_tags.iter().chain(&image.repo_digests).any(|known| known == name)
        },
    )
}

/// The images that may go, those first that were used, or came, longest ago.
fn candidates<'a>(
    images: &'a [v1::Image],
    seen: &HashMap<String, Seen>,
    now: Timestamp,
) -> Vec<&'a v1::Image> {
    let mut unused: Vec<(Seen, &v1::Image)> = images
        .iter()
        .filter(|image| !image.pinned)
        .filter_map(|image| Some((*seen.get(&image.id)?, image)))
        .filter(|(seen, _)| seen.used != Some(now) && now.duration_since(seen.first) >= MIN_AGE)
        .collect();
    unused.sort_by_key(|(seen, _)| (seen.used, seen.first));
    unused.into_iter().map(|(_, image)| image).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).unwrap()
    }

    fn image(id: &str) -> v1::Image {
        v1::Image { id: id.into(), repo_tags: vec![format!("{id}:tag")], ..v1::Image::default() }
    }

    #[test]
    fn unused_images_go_in_the_order_of_their_last_use_and_young_and_pinned_ones_stay() {
        let mut images = ["old", "newer", "used", "pinned"].map(image).to_vec();
        images[3].pinned = true;
        let container = |image: &str| {
            let spec = v1::ImageSpec { image: format!("{image}:tag"), ..v1::ImageSpec::default() };
            v1::Container { image: Some(spec), ..v1::Container::default() }
        };
        let mut seen = HashMap::new();
        remember(&mut seen, &images, &[container("old")], at(0));
        remember(&mut seen, &images, &[container("newer")], at(1));
        images.push(image("young"));
        remember(&mut seen, &images, &[container("used")], at(5));
        let ids =
            |now| candidates(&images, &seen, now).iter().map(|image| image.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(at(5)), ["old", "newer"]);
    }

    #[test]
    fn an_image_that_is_gone_is_forgotten() {
        let mut seen = HashMap::new();
        remember(&mut seen, &[image("a")], &[], at(0));
        remember(&mut seen, &[], &[], at(1));
        assert!(seen.is_empty());
    }
}
