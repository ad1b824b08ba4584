//! Writes a set of files so that a reader sees either all of the old or all of the new ones.
//!
//! The layout is upstream's (volume/util/atomic_writer.go), which programs rely on: files live in a directory named by time,
//! `..data` links to it, each visible name links through `..data`; an update renames a new `..data` into place.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown, symlink},
    path::{Component, Path, PathBuf},
};

use super::{Error, ownership};

const DATA: &str = "..data";
const NEW_DATA: &str = "..data_tmp";

/// One file: content, permission bits, owner if not root.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct File {
    pub data: Vec<u8>,
    pub mode: u32,
    pub owner: Option<u32>,
}

/// Files by their path relative to the volume.
pub(crate) type Files = BTreeMap<String, File>;

/// Makes `dir` show exactly `files`; does nothing where it does so already.
pub(crate) fn write(dir: &Path, files: &Files, fs_group: Option<u32>) -> Result<(), Error> {
    for path in files.keys() {
        validate(path)?;
    }
    let what = || format!("writing volume {}", dir.display());
    if shows(dir, files).map_err(Error::io(what()))? {
        return Ok(());
    }
    replace(dir, files, fs_group).map_err(Error::io(what()))
}

fn validate(path: &str) -> Result<(), Error> {
    let plain = Path::new(path).components().all(|component| matches!(component, Component::Normal(_)));
    if path.is_empty() || !plain || path.starts_with("..") {
        return Err(Error::Source(format!("invalid path in volume: {path:?}")));
    }
    Ok(())
}

fn current(dir: &Path) -> io::Result<Option<PathBuf>> {
    match fs::read_link(dir.join(DATA)) {
        Ok(target) => Ok(Some(dir.join(target))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn shows(dir: &Path, files: &Files) -> io::Result<bool> {
    let Some(current) = current(dir)? else { return Ok(false) };
    let mut present = BTreeSet::new();
    list(&current, &current, &mut present)?;
    if !present.iter().map(String::as_str).eq(files.keys().map(String::as_str)) {
        return Ok(false);
    }
    for (path, file) in files {
        if fs::read(current.join(path))? != file.data {
            return Ok(false);
        }
    }
    // The links may be missing if the last update was cut short.
    Ok(visible(files).iter().all(|name| dir.join(name).symlink_metadata().is_ok()))
}

fn list(root: &Path, dir: &Path, out: &mut BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            list(root, &path, out)?;
        } else if let Ok(relative) = path.strip_prefix(root) {
            out.insert(relative.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

/// The names that are seen in the volume: the first component of each path.
fn visible(files: &Files) -> BTreeSet<&str> {
    files.keys().map(|path| path.split('/').next().unwrap_or(path)).collect()
}

fn replace(dir: &Path, files: &Files, fs_group: Option<u32>) -> io::Result<()> {
    let old = current(dir)?;
    let fresh = fresh_directory(dir)?;
    for (path, file) in files {
        write_file(&fresh.join(path), file)?;
    }
    if let Some(group) = fs_group {
        ownership::apply(&fresh, group, true)?;
    }
    let pending = dir.join(NEW_DATA);
    remove_if_present(&pending)?;
    symlink(fresh.file_name().expect("it was made with a name"), &pending)?;
    fs::rename(&pending, dir.join(DATA))?;
    link_visible(dir, files)?;
    match old {
        Some(old) => fs::remove_dir_all(old),
        None => Ok(()),
    }
}

fn fresh_directory(dir: &Path) -> io::Result<PathBuf> {
    let now = jiff::Timestamp::now().strftime("%Y_%m_%d_%H_%M_%S").to_string();
    loop {
        let path = dir.join(format!("..{now}.{}", rand::random::<u32>()));
        match fs::DirBuilder::new().mode(0o755).create(&path) {
            Ok(()) => {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
                return Ok(path);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

fn write_file(path: &Path, file: &File) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
    }
    let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    out.write_all(&file.data)?;
    if let Some(owner) = file.owner {
        chown(path, Some(owner), None)?;
    }
    // The mode given at creation is cut by the umask.
    out.set_permissions(fs::Permissions::from_mode(file.mode))
}

fn link_visible(dir: &Path, files: &Files) -> io::Result<()> {
    let wanted = visible(files);
    for name in &wanted {
        match symlink(Path::new(DATA).join(name), dir.join(name)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with("..") && !wanted.contains(name.as_ref()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn remove_if_present(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dir(PathBuf);

    impl Dir {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("coxswain-atomic-{:x}", rand::random::<u64>()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn files(of: &[(&str, &str)]) -> Files {
        let file = |data: &str| File { data: data.into(), mode: 0o640, owner: None };
        of.iter().map(|(path, data)| ((*path).to_owned(), file(data))).collect()
    }

    fn check(dir: &Dir, expected: &[(&str, &str)]) {
        write(&dir.0, &files(expected), None).unwrap();
        for (path, data) in expected {
            assert_eq!(fs::read_to_string(dir.0.join(path)).unwrap(), *data);
            assert_eq!(fs::metadata(dir.0.join(path)).unwrap().permissions().mode() & 0o777, 0o640);
        }
        let seen: BTreeSet<String> = fs::read_dir(&dir.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with(".."))
            .collect();
        let wanted: BTreeSet<String> = visible(&files(expected)).into_iter().map(str::to_owned).collect();
        assert_eq!(seen, wanted);
        assert_eq!(
            fs::read_dir(&dir.0).unwrap().count(),
            wanted.len() + 2,
            "one data directory and its link"
        );
    }

    #[test]
    fn files_are_shown_changed_and_removed() {
        let dir = Dir::new();
        check(&dir, &[("a", "1"), ("sub/b", "2")]);
        check(&dir, &[("a", "3"), ("c", "4")]);
        check(&dir, &[]);
    }

    #[test]
    fn unchanged_content_keeps_its_directory() {
        let dir = Dir::new();
        check(&dir, &[("a", "1")]);
        let before = fs::read_link(dir.0.join(DATA)).unwrap();
        check(&dir, &[("a", "1")]);
        assert_eq!(fs::read_link(dir.0.join(DATA)).unwrap(), before);
    }

    #[test]
    fn a_path_out_of_the_volume_is_refused() {
        let dir = Dir::new();
        for path in ["../x", "/x", "a/../../x", "", "..data"] {
            write(&dir.0, &files(&[(path, "x")]), None).unwrap_err();
        }
    }
}
