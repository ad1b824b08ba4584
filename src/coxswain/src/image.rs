//! `coxswain image`: the node's image store, worked on directly; a running server shares it by file locks.

use std::path::Path;

use anyhow::{Context, ensure};
use runtime::images::Images;

use crate::datadir::DataDir;
use crate::output::say;

/// Imports an archive and prints the names that it brought.
pub(crate) fn import(data_dir: &Path, archive: &Path) -> anyhow::Result<()> {
    let names =
        open(data_dir)?.import(archive).with_context(|| format!("cannot import {}", archive.display()))?;
    for name in names {
        say(format_args!("{name}"))?;
    }
    Ok(())
}

/// Prints a table of the images.
pub(crate) fn list(data_dir: &Path) -> anyhow::Result<()> {
    let images = open(data_dir)?.list()?;
    say(format_args!("{:<56} {:<16} {:>10}", "IMAGE", "ID", "SIZE"))?;
    for image in images {
        let id: String = image.id.trim_start_matches("sha256:").chars().take(12).collect();
        for name in image.tags.iter().chain(&image.digests) {
            say(format_args!("{name:<56} {id:<16} {:>10}", size(image.size)))?;
        }
    }
    Ok(())
}

/// Removes an image by name, digest or ID.
pub(crate) fn remove(data_dir: &Path, image: &str) -> anyhow::Result<()> {
    let removed = open(data_dir)?.remove(image).with_context(|| format!("cannot remove {image}"))?;
    ensure!(removed, "there is no image {image}: `coxswain image ls` lists those that are there");
    Ok(())
}

fn open(data_dir: &Path) -> anyhow::Result<Images> {
    DataDir::check(data_dir).context("start `coxswain server` first, or give its --data-dir")?;
    let root = data_dir.join("runtime");
    Images::open(&root).with_context(|| format!("cannot open the image store in {}", root.display()))
}

fn size(bytes: u64) -> String {
    const MIB: u64 = 1024 * 1024;
    if bytes >= MIB {
        format!("{}.{}MiB", bytes / MIB, bytes % MIB * 10 / MIB)
    } else {
        format!("{}KiB", bytes.div_ceil(1024))
    }
}
