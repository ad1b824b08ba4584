//! Keeps the logs of running containers from growing for ever: one that is too large gets a new file, the older ones are
//! compressed, the oldest removed (upstream: pkg/kubelet/logs).
//!
//! Looks at the size of each running container's log every few seconds. Touches only logs below the kubelet's own directory,
//! and never one whose container has ended: that goes with its container.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use cri::v1;
use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval};

use crate::host::Host;

const LOOK_EVERY: Duration = Duration::from_secs(10);
/// `containerLogMaxSize` and `containerLogMaxFiles`, upstream's defaults.
const LIMITS: Limits = Limits { size_bytes: 10 * 1024 * 1024, files: 5 };
const COMPRESSED: &str = ".gz";
/// Of a file that is being compressed.
const UNFINISHED: &str = ".tmp";

/// How large a log may be, and in how many files the log of a container is kept, the current one included.
#[derive(Clone, Copy)]
struct Limits {
    size_bytes: u64,
    files: usize,
}

/// Looks for ever.
pub(crate) async fn run(host: Arc<Host>) {
    let mut timer = interval(LOOK_EVERY);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        match running(host.runtime.as_ref()).await {
            Ok(containers) => look(&host, containers).await,
            Err(status) => tracing::warn!(error = status.message(), "logs could not be looked at"),
        }
    }
}

async fn running(runtime: &dyn cri::Runtime) -> Result<Vec<v1::Container>, cri::Status> {
    let state = v1::ContainerStateValue { state: v1::ContainerState::ContainerRunning.into() };
    let filter = v1::ContainerFilter { state: Some(state), ..v1::ContainerFilter::default() };
    Ok(runtime.list_containers(v1::ListContainersRequest { filter: Some(filter) }).await?.containers)
}

async fn look(host: &Arc<Host>, containers: Vec<v1::Container>) {
    for container in containers {
        if let Err(error) = look_at(host, &container.id, LIMITS).await {
            tracing::warn!(container = container.id, error, "a log could not be rotated");
        }
    }
}

async fn look_at(host: &Arc<Host>, id: &str, limits: Limits) -> Result<(), String> {
    let request = v1::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
    // It may have been removed since it was listed.
    let Ok(answer) = host.runtime.container_status(request).await else { return Ok(()) };
    let path = answer.status.map(|status| PathBuf::from(status.log_path)).unwrap_or_default();
    if !path.starts_with(&host.config.log_dir) {
        return Ok(());
    }
    let reopen = || async {
        let request = v1::ReopenContainerLogRequest { container_id: id.to_owned() };
        host.runtime.reopen_container_log(request).await.map_err(|status| status.message().to_owned())
    };
    match tokio::fs::metadata(&path).await {
        Ok(metadata) if metadata.len() < limits.size_bytes => return Ok(()),
        Ok(_) => {}
        // Somebody took it away: what is written now would be lost.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return reopen().await.map(|_| ()),
        Err(error) => return Err(error.to_string()),
    }
    let current = path.clone();
    let prepared = tokio::task::spawn_blocking(move || make_room(&current, limits.files)).await;
    prepared.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let rotated = with_suffix(&path, &Timestamp::now().strftime(".%Y%m%d-%H%M%S").to_string());
    tokio::fs::rename(&path, &rotated).await.map_err(|error| error.to_string())?;
    if let Err(error) = reopen().await {
        // Else the next look would find no log, and this one would grow under its new name.
        tokio::fs::rename(&rotated, &path).await.map_err(|rename| format!("{error}; and back: {rename}"))?;
        return Err(error);
    }
    Ok(())
}

/// Removes and compresses older files, so that with the current one renamed and its successor there are no more than
/// `files`.
fn make_room(current: &Path, files: usize) -> io::Result<()> {
    let plan = plan(older(current)?, files);
    plan.remove.iter().try_for_each(fs::remove_file)?;
    plan.compress.iter().try_for_each(|path| compress(path))
}

#[derive(Debug, Default, PartialEq)]
struct Plan {
    remove: Vec<PathBuf>,
    compress: Vec<PathBuf>,
}

/// What becomes of the older files of a log, given in any order. Their names sort by age.
fn plan(mut older: Vec<PathBuf>, files: usize) -> Plan {
    let name = |path: &Path| path.to_string_lossy().into_owned();
    older.sort();
    // What is left of an earlier attempt that was cut short: half a file, or a file that has been compressed.
    let is_left_over =
        |path: &Path| name(path).ends_with(UNFINISHED) || older.contains(&with_suffix(path, COMPRESSED));
    let (mut remove, mut kept): (Vec<PathBuf>, Vec<PathBuf>) =
        older.iter().cloned().partition(|path| is_left_over(path));
    // Room for the one that is about to be rotated, and for the one that follows it.
    let excess = kept.len().saturating_sub(files.saturating_sub(2));
    remove.extend(kept.drain(..excess));
    kept.retain(|path| !name(path).ends_with(COMPRESSED));
    Plan { remove, compress: kept }
}

/// The files beside `current` whose name goes on where its ends.
fn older(current: &Path) -> io::Result<Vec<PathBuf>> {
    let mut prefix = current.file_name().unwrap_or_default().to_owned();
    prefix.push(".");
    let mut found = Vec::new();
    for entry in fs::read_dir(current.parent().unwrap_or(Path::new("/")))? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Replaces a file by its compressed form, which appears whole or not at all.
fn compress(path: &Path) -> io::Result<()> {
    let unfinished = with_suffix(path, UNFINISHED);
    let mut encoder = GzEncoder::new(File::create(&unfinished)?, Compression::default());
    io::copy(&mut File::open(path)?, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    fs::rename(&unfinished, with_suffix(path, COMPRESSED))?;
    fs::remove_file(path)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn check(older: &[&str], remove: &[&str], compress: &[&str]) {
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(plan(paths(older), 5), Plan { remove: paths(remove), compress: paths(compress) });
    }

    #[test]
    fn the_oldest_go_and_the_others_are_compressed() {
        check(&[], &[], &[]);
        check(&["0.log.2"], &[], &["0.log.2"]);
        check(&["0.log.3", "0.log.1.gz", "0.log.2.gz"], &[], &["0.log.3"]);
        check(&["0.log.4", "0.log.1.gz", "0.log.3.gz", "0.log.2.gz"], &["0.log.1.gz"], &["0.log.4"]);
        check(
            &["0.log.1", "0.log.1.gz", "0.log.2", "0.log.2.tmp"],
            &["0.log.1", "0.log.2.tmp"],
            &["0.log.2"],
        );
    }

    #[test]
    fn a_compressed_log_holds_what_it_held() {
        let dir = std::env::temp_dir().join(format!("coxswain-logs-{:x}", rand::random::<u64>()));
        fs::create_dir(&dir).unwrap();
        let current = dir.join("0.log");
        for (name, text) in [("0.log", "now"), ("0.log.1", "before"), ("10.log.1", "another's")] {
            fs::write(dir.join(name), text).unwrap();
        }
        make_room(&current, 5).unwrap();
        let mut text = String::new();
        let compressed = File::open(dir.join("0.log.1.gz")).unwrap();
        flate2::read::GzDecoder::new(compressed).read_to_string(&mut text).unwrap();
        assert_eq!(text, "before");
        assert_eq!(older(&current).unwrap(), [dir.join("0.log.1.gz")]);
        assert!(dir.join("10.log.1").exists());
        fs::remove_dir_all(&dir).unwrap();
    }
}
