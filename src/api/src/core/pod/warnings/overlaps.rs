//! Files of one volume that are in each other's way (upstream: `warningsForOverlappingVirtualPaths`).

use std::fmt;

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, KeyToPath, Volume, VolumeProjection};
use machinery::json;

use crate::checks::text;

/// A file, and what puts it there where several things do.
#[derive(Clone, PartialEq)]
struct File {
    path: String,
    source: String,
}

impl File {
    fn new(path: &str, source: &str) -> File {
        File { path: path.trim_end_matches('/').to_owned(), source: source.to_owned() }
    }

    fn overlaps(&self, other: &File) -> bool {
        let is_within =
            |one: &File, other: &File| format!("{}/", one.path).starts_with(&format!("{}/", other.path));
        !self.path.is_empty() && !other.path.is_empty() && (is_within(self, other) || is_within(other, self))
    }
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", json::quoted(&self.path))?;
        if self.source.is_empty() { Ok(()) } else { write!(f, " ({})", self.source) }
    }
}

/// Warnings about the volumes of a pod.
pub(super) fn of(volumes: &[Volume]) -> Vec<String> {
    volumes.iter().flat_map(of_volume).collect()
}

fn of_volume(volume: &Volume) -> Vec<String> {
    let warn = |what: &str, overlap: String| {
        format!("volume {} ({what}): overlapping paths: {overlap}", json::quoted(&volume.name))
    };
    let mut warnings = vec![];
    let mut look = |what: String, files: Vec<File>| {
        warnings.extend(overlaps(&mut vec![], files).into_iter().map(|overlap| warn(&what, overlap)));
    };
    if let Some(map) = &volume.config_map {
        look(named("ConfigMap", &map.name), keys(map.items.as_deref(), ""));
    }
    if let Some(secret) = &volume.secret {
        look(named("Secret", text(&secret.secret_name)), keys(secret.items.as_deref(), ""));
    }
    if let Some(downward) = &volume.downward_api {
        look("DownwardAPI".to_owned(), fields(downward.items.as_deref(), ""));
    }
    let mut known = vec![];
    for source in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
        if *source == VolumeProjection::default() {
            let name = json::quoted(&volume.name);
            warnings.push(format!("volume {name} (Projected) has no sources provided"));
        }
        let found = overlaps(&mut known, projected(source));
        warnings.extend(found.into_iter().map(|overlap| warn("Projected", overlap)));
    }
    warnings
}

fn named(kind: &str, name: &str) -> String {
    format!("{kind} {}", json::quoted(name))
}

fn keys(items: Option<&[KeyToPath]>, source: &str) -> Vec<File> {
    items.unwrap_or_default().iter().map(|item| File::new(&item.path, source)).collect()
}

fn fields(items: Option<&[DownwardAPIVolumeFile]>, source: &str) -> Vec<File> {
    items.unwrap_or_default().iter().map(|item| File::new(&item.path, source)).collect()
}

/// The files of a source; of several that are set, against the rules, the first counts.
fn projected(source: &VolumeProjection) -> Vec<File> {
    if let Some((map, items)) = source.config_map.as_ref().and_then(|map| Some((map, map.items.as_deref()?)))
    {
        return keys(Some(items), &named("ConfigMap", &map.name));
    }
    let secret = source.secret.as_ref();
    if let Some((secret, items)) = secret.and_then(|secret| Some((secret, secret.items.as_deref()?))) {
        return keys(Some(items), &named("Secret", &secret.name));
    }
    if let Some(items) = source.downward_api.as_ref().and_then(|downward| downward.items.as_deref()) {
        return fields(Some(items), "DownwardAPI");
    }
    source.service_account_token.iter().map(|token| File::new(&token.path, "ServiceAccountToken")).collect()
}

/// Each of `files` that overlaps one before it, or one that is known; afterwards all of them are known.
fn overlaps(known: &mut Vec<File>, files: Vec<File>) -> Vec<String> {
    let mut found = vec![];
    for file in files {
        let others = known.iter().filter(|other| file.overlaps(other));
        found.extend(others.map(|other| format!("{file} with {other}")));
        known.push(file);
    }
    found
}
