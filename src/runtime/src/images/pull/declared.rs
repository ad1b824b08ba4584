//! Holds what a registry sends to the size that was declared for it: the registry does not choose how much is kept.
//!
//! A blob is written through [`Declared`], which refuses the first byte too many. Checks no digest.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

/// A writer that takes as many bytes as were declared, no more.
pub(super) struct Declared<W> {
    inner: W,
    size: u64,
    left: u64,
}

impl<W: AsyncWrite + Unpin> Declared<W> {
    pub(super) fn new(inner: W, size: u64) -> Self {
        Self { inner, size, left: size }
    }

    /// An error unless all that was declared has come.
    pub(super) fn check_complete(&self) -> io::Result<()> {
        if self.left == 0 {
            return Ok(());
        }
        let (came, size) = (self.size - self.left, self.size);
        Err(io::Error::other(format!("{came} bytes came where {size} were declared")))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Declared<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.len() as u64 > self.left {
            let text = format!("more came than the {} bytes that were declared", self.size);
            return Poll::Ready(Err(io::Error::other(text)));
        }
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = written {
            self.left -= count as u64;
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn check(pieces: &[&str], declared: u64, expected: Result<(), &str>) {
        let mut kept = Vec::new();
        let mut writer = Declared::new(&mut kept, declared);
        let mut result = Ok(());
        for piece in pieces {
            if result.is_ok() {
                result = writer.write_all(piece.as_bytes()).await;
            }
        }
        let result = result.and_then(|()| writer.check_complete()).map_err(|e| e.to_string());
        assert_eq!(result, expected.map_err(str::to_owned));
        assert!(kept.len() as u64 <= declared);
    }

    #[tokio::test]
    async fn as_much_as_was_declared_is_taken_and_nothing_else() {
        check(&["ab", "cd"], 4, Ok(())).await;
        check(&[], 0, Ok(())).await;
        check(&["ab", "cde"], 4, Err("more came than the 4 bytes that were declared")).await;
        check(&["ab"], 4, Err("2 bytes came where 4 were declared")).await;
    }
}
