//! A log file: from which line on, chunk by chunk, and what is appended to it, also in the file that takes its place when
//! logs are rotated.

use std::{
    io::{self, SeekFrom},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use bytes::Bytes;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::{AsyncReadExt, AsyncSeekExt, unix::AsyncFd};

use super::{line::Filter, render};

const CHUNK: usize = 32 * 1024;

pub(super) struct File {
    path: PathBuf,
    file: tokio::fs::File,
    /// Another file has taken its place, and nothing is written to this one any more.
    is_final: bool,
    changes: AsyncFd<Watch>,
    /// The beginning of a line whose end has not been written yet.
    rest: Vec<u8>,
}

/// An inotify descriptor in the form that tokio waits for.
struct Watch(Inotify);

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl File {
    /// Opens a log at its beginning, or so that `tail` lines are left.
    pub(super) async fn open(path: &Path, tail: Option<usize>) -> io::Result<Self> {
        let mut file = tokio::fs::File::open(path).await?;
        // Watched before anything is read, so that nothing is missed in between.
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        inotify.add_watch(path, AddWatchFlags::IN_MODIFY)?;
        // Rotation makes a new file of that name.
        inotify.add_watch(path.parent().unwrap_or(Path::new("/")), AddWatchFlags::IN_CREATE)?;
        if let Some(lines) = tail {
            let start = tail_start(&mut file, lines).await?;
            file.seek(SeekFrom::Start(start)).await?;
        }
        // SAFETY: the descriptor belongs to the inotify instance, which `AsyncFd` owns and drops after deregistering.
        let changes = unsafe { AsyncFd::register(Watch(inotify))? };
        Ok(Self { path: path.to_owned(), file, is_final: false, changes, rest: Vec::new() })
    }

    /// The next part of what `filter` wants; empty at the end of the file.
    pub(super) async fn next_chunk(&mut self, filter: &mut Filter) -> io::Result<Bytes> {
        let mut out = Vec::new();
        while out.is_empty() && !filter.is_done() {
            let mut buffer = vec![0; CHUNK];
            let length = self.file.read(&mut buffer).await?;
            if length == 0 {
                if self.is_final {
                    self.go_on_in_the_next().await?;
                } else if self.is_replaced().await? {
                    // What was written between the two looks comes first.
                    self.is_final = true;
                } else {
                    break;
                }
                continue;
            }
            self.rest.extend_from_slice(&buffer[..length]);
            let mut start = 0;
            while let Some(end) = self.rest[start..].iter().position(|byte| *byte == b'\n') {
                render(&self.rest[start..start + end], filter, &mut out);
                start += end + 1;
            }
            self.rest.drain(..start);
        }
        Ok(Bytes::from(out))
    }

    async fn is_replaced(&self) -> io::Result<bool> {
        match tokio::fs::metadata(&self.path).await {
            Ok(now) => Ok(now.ino() != self.file.metadata().await?.ino()),
            // Renamed, and its successor is not there yet; or removed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn go_on_in_the_next(&mut self) -> io::Result<()> {
        self.file = tokio::fs::File::open(&self.path).await?;
        self.changes.get_ref().0.add_watch(&self.path, AddWatchFlags::IN_MODIFY)?;
        self.is_final = false;
        self.rest.clear();
        Ok(())
    }

    /// Waits until something was written since this was asked last.
    pub(super) async fn changed(&self) -> io::Result<()> {
        let mut guard = self.changes.readable().await?;
        match self.changes.get_ref().0.read_events() {
            Ok(_) => Ok(()),
            Err(nix::Error::EAGAIN) => {
                guard.clear_ready();
                Ok(())
            }
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Where the last `lines` lines begin: read backwards, block by block.
async fn tail_start(file: &mut tokio::fs::File, lines: usize) -> io::Result<u64> {
    let mut position = file.metadata().await?.len();
    if lines == 0 {
        return Ok(position);
    }
    let mut newlines = 0;
    let mut is_last_byte = true;
    let mut buffer = vec![0; CHUNK];
    while position > 0 {
        let length = position.min(CHUNK as u64);
        position -= length;
        let length = usize::try_from(length).unwrap_or(CHUNK);
        file.seek(SeekFrom::Start(position)).await?;
        file.read_exact(&mut buffer[..length]).await?;
        for index in (0..length).rev() {
            // The newline that ends the file begins no line.
            if buffer[index] == b'\n' && !is_last_byte {
                newlines += 1;
                if newlines == lines {
                    return Ok(position + index as u64 + 1);
                }
            }
            is_last_byte = false;
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    async fn check(tail: Option<usize>, expected: &str) {
        let path = std::env::temp_dir().join(format!("coxswain-log-{:x}", rand::random::<u64>()));
        let line = |text: &str| format!("2026-01-01T00:00:00Z stdout F {text}\n");
        std::fs::write(&path, ["a", "b", "c"].map(line).concat()).unwrap();
        let mut file = File::open(&path, tail).await.unwrap();
        let first = file.next_chunk(&mut Filter::default()).await.unwrap();
        assert_eq!(first, expected);
        assert!(file.next_chunk(&mut Filter::default()).await.unwrap().is_empty());
        let mut log = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        log.write_all(line("d").as_bytes()).unwrap();
        file.changed().await.unwrap();
        assert_eq!(file.next_chunk(&mut Filter::default()).await.unwrap(), "d\n");
        std::fs::remove_file(&path).unwrap();
    }

    #[tokio::test]
    async fn a_log_that_is_rotated_is_followed_into_the_new_file() {
        let dir = std::env::temp_dir().join(format!("coxswain-log-{:x}", rand::random::<u64>()));
        std::fs::create_dir(&dir).unwrap();
        let (path, rotated) = (dir.join("0.log"), dir.join("0.log.1"));
        let line = |text: &str| format!("2026-01-01T00:00:00Z stdout F {text}\n");
        std::fs::write(&path, line("a")).unwrap();
        let mut file = File::open(&path, None).await.unwrap();
        let mut all = Vec::new();
        for step in 0..4 {
            match step {
                0 => {}
                1 => std::fs::rename(&path, &rotated).unwrap(),
                2 => {
                    let mut old = std::fs::OpenOptions::new().append(true).open(&rotated).unwrap();
                    old.write_all(line("b").as_bytes()).unwrap();
                    std::fs::write(&path, line("c")).unwrap();
                    file.changed().await.unwrap();
                }
                _ => {
                    let mut new = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
                    new.write_all(line("d").as_bytes()).unwrap();
                }
            }
            loop {
                let chunk = file.next_chunk(&mut Filter::default()).await.unwrap();
                if chunk.is_empty() {
                    break;
                }
                all.extend_from_slice(&chunk);
            }
        }
        assert_eq!(String::from_utf8(all).unwrap(), "a\nb\nc\nd\n");
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[tokio::test]
    async fn a_log_is_read_from_its_tail_and_followed() {
        check(None, "a\nb\nc\n").await;
        check(Some(2), "b\nc\n").await;
        check(Some(9), "a\nb\nc\n").await;
        check(Some(0), "").await;
    }
}
