//! Images from tar files: what `docker save`, `skopeo copy … docker-archive:` and `oci-archive:` write.
//!
//! A tar file is read at random positions after one pass over its headers; a compressed one is first written out plain.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Take};
use std::path::{Component, Path, PathBuf};

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::document::{ArchivedImage, Descriptor, ImageConfig, ManifestOrIndex, Platform, architecture};
use super::records::NewImage;
use super::{Images, Reference, blob, hex_of};
use crate::error::{At, Error, Result};
use crate::files;

/// Documents of an image are small; a bigger one is not read into memory.
const DOCUMENT_LIMIT_BYTES: u64 = 8 * 1024 * 1024;

/// Annotations that name an image in an index: containerd's holds the full name, OCI's the name or only the tag.
const NAME_ANNOTATIONS: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

pub(super) fn import(images: &Images, path: &Path) -> Result<Vec<String>> {
    let archive = Archive::open(path, &images.temporary_dir())?;
    let mut names = Vec::new();
    if archive.has("manifest.json") {
        for image in archive.document::<Vec<ArchivedImage>>("manifest.json")? {
            names.extend(import_docker(images, &archive, &image)?);
        }
    } else if archive.has("index.json") {
        let index: ManifestOrIndex = archive.document("index.json")?;
        for descriptor in index.manifests.iter().filter(|d| d.platform.as_ref().is_none_or(Platform::is_ours))
        {
            names.extend(import_oci(images, &archive, descriptor)?);
        }
    } else {
        return Err(Error::Image("neither a docker-archive nor an OCI layout".to_owned()));
    }
    Ok(names)
}

fn import_docker(images: &Images, archive: &Archive, image: &ArchivedImage) -> Result<Vec<String>> {
    let tags = image
        .repo_tags
        .iter()
        .map(|tag| Ok(Reference::parse(tag)?.to_string()))
        .collect::<Result<Vec<_>>>()?;
    record(images, archive, &image.config, &image.layers, tags, Vec::new())
}

/// Takes an image of an OCI layout; of an index, the one for this machine.
fn import_oci(images: &Images, archive: &Archive, named: &Descriptor) -> Result<Vec<String>> {
    let name = NAME_ANNOTATIONS.iter().find_map(|key| named.annotations.get(*key));
    // OCI allows a bare tag here, which names nothing without a repository.
    let name = name.and_then(|name| Reference::parse(name).ok().filter(|_| name.contains(['/', ':'])));
    let mut manifest: ManifestOrIndex = archive.blob(&named.digest)?;
    if !manifest.manifests.is_empty() {
        let ours = manifest.manifests.iter().find(|d| d.platform.as_ref().is_none_or(Platform::is_ours));
        let ours = ours.ok_or_else(|| {
            Error::Image(format!("no image for linux/{} in {}", architecture(), named.digest))
        })?;
        manifest = archive.blob(&ours.digest)?;
    }
    let config =
        manifest.config.ok_or_else(|| Error::Image(format!("{} is no image manifest", named.digest)))?;
    let layers: Vec<String> = manifest.layers.iter().map(|layer| blob_path(&layer.digest)).collect();
    let tags = name.iter().filter_map(Reference::tagged).collect();
    let digests = name.iter().map(|name| name.with_digest(&named.digest)).collect();
    record(images, archive, &blob_path(&config.digest), &layers, tags, digests)
}

fn record(
    images: &Images,
    archive: &Archive,
    config_path: &str,
    layer_paths: &[String],
    tags: Vec<String>,
    digests: Vec<String>,
) -> Result<Vec<String>> {
    let config = archive.bytes(config_path)?;
    let id = format!("sha256:{}", hex::encode(Sha256::digest(&config)));
    let parsed: ImageConfig = serde_json::from_slice(&config)
        .map_err(|source| Error::Malformed { path: PathBuf::from(config_path), source })?;
    if parsed.rootfs.diff_ids.len() != layer_paths.len() {
        return Err(Error::Image(format!("{config_path} names another number of layers than the manifest")));
    }
    let mut size = config.len() as u64;
    let mut layers: Vec<String> = Vec::new();
    for (path, diff_id) in layer_paths.iter().zip(&parsed.rootfs.diff_ids) {
        size += archive.find(path)?.size;
        let chain = images
            .ensure_layer(&layers, diff_id, || blob::decompress(archive.stream(path)?).at("read", path))?;
        layers.push(chain);
    }
    // An image that the archive does not name is reached by its ID.
    let names = if tags.is_empty() { vec![id.clone()] } else { tags.clone() };
    images.record(NewImage { id, config, size, layers, tags, digests })?;
    Ok(names)
}

fn blob_path(digest: &str) -> String {
    format!("blobs/sha256/{}", hex_of(digest))
}

/// An uncompressed tar file and where in it things are.
struct Archive {
    file: File,
    members: HashMap<PathBuf, Member>,
}

#[derive(Clone, Debug)]
struct Member {
    offset: u64,
    size: u64,
    /// Where a link of the archive leads; older archives store equal layers once.
    link: Option<PathBuf>,
}

impl Archive {
    fn open(path: &Path, temporary_dir: &Path) -> Result<Self> {
        let mut file = File::open(path).at("open", path)?;
        let mut start = [0; 4];
        let count = file.read(&mut start).at("read", path)?;
        file.rewind().at("read", path)?;
        if blob::is_compressed(&start[..count]) {
            file = write_out(file, temporary_dir)?;
        }
        let mut archive = tar::Archive::new(&file);
        let mut members = HashMap::new();
        for entry in archive.entries_with_seek().at("read", path)? {
            let entry = entry.at("read", path)?;
            let name = entry.path().at("read", path)?;
            let link = entry.link_name().at("read", path)?.map(|target| match entry.header().entry_type() {
                tar::EntryType::Symlink => name.parent().unwrap_or(Path::new("")).join(target),
                _ => target.into_owned(),
            });
            let member = Member {
                offset: entry.raw_file_position(),
                size: entry.size(),
                link: link.as_deref().map(plain),
            };
            members.insert(plain(&name), member);
        }
        Ok(Self { file, members })
    }

    fn has(&self, name: &str) -> bool {
        self.members.contains_key(Path::new(name))
    }

    fn find(&self, name: &str) -> Result<&Member> {
        let missing = || Error::Image(format!("{name} is not in the archive"));
        let member = self.members.get(&plain(Path::new(name))).ok_or_else(missing)?;
        match &member.link {
            Some(target) => self.members.get(target).filter(|m| m.link.is_none()).ok_or_else(missing),
            None => Ok(member),
        }
    }

    fn stream(&self, name: &str) -> Result<Take<File>> {
        let member = self.find(name)?;
        // An own position in the file: `try_clone` would share it.
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&self.file));
        let mut file = File::open(&path).at("open", &path)?;
        file.seek(SeekFrom::Start(member.offset)).at("read", name)?;
        Ok(file.take(member.size))
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        if self.find(name)?.size > DOCUMENT_LIMIT_BYTES {
            return Err(Error::Image(format!("{name} is too big")));
        }
        let mut bytes = Vec::new();
        self.stream(name)?.read_to_end(&mut bytes).at("read", name)?;
        Ok(bytes)
    }

    fn document<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        serde_json::from_slice(&self.bytes(name)?)
            .map_err(|source| Error::Malformed { path: PathBuf::from(name), source })
    }

    /// A document by its digest, which is checked.
    fn blob<T: DeserializeOwned>(&self, digest: &str) -> Result<T> {
        let path = blob_path(digest);
        let got = format!("sha256:{}", hex::encode(Sha256::digest(self.bytes(&path)?)));
        if got != digest {
            return Err(Error::Image(format!("{path} has the digest {got}")));
        }
        self.document(&path)
    }
}

/// Uncompresses into a file that has no name and goes when it is closed.
fn write_out(compressed: File, directory: &Path) -> Result<File> {
    let path = directory.join(files::random_id());
    let mut plain =
        File::options().read(true).write(true).create_new(true).open(&path).at("create", &path)?;
    std::fs::remove_file(&path).at("remove", &path)?;
    std::io::copy(&mut blob::decompress(compressed).at("read", &path)?, &mut plain).at("write", &path)?;
    plain.rewind().at("read", &path)?;
    Ok(plain)
}

/// A member's name without `./` and with `..` resolved.
fn plain(name: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in name.components() {
        match component {
            Component::Normal(part) => plain.push(part),
            Component::ParentDir => {
                plain.pop();
            }
            _ => {}
        }
    }
    plain
}
