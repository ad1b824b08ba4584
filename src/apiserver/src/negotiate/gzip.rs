//! Compressed answers, whole or while they are made.

use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::Frame;
use http_body_util::BodyExt;

use crate::body::{Body, BoxError};

/// Upstream's level: fast.
const LEVEL: Compression = Compression::new(1);

/// Bytes, compressed.
pub(super) fn compressed(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), LEVEL);
    encoder.write_all(bytes).expect("writing to memory cannot fail");
    Bytes::from(encoder.finish().expect("writing to memory cannot fail"))
}

/// A body, compressed as it flows.
pub(super) fn compressing(inner: Body) -> Body {
    Compressing { inner, encoder: Some(GzEncoder::new(Vec::new(), LEVEL)) }.boxed_unsync()
}

struct Compressing {
    inner: Body,
    /// `None` once the end was written.
    encoder: Option<GzEncoder<Vec<u8>>>,
}

/// Compressed bytes are held back until there are so many.
const CHUNK: usize = 15_700;

impl http_body::Body for Compressing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx)).transpose()?;
            let Some(encoder) = self.encoder.as_mut() else { return Poll::Ready(None) };
            let Some(frame) = frame else {
                let encoder = self.encoder.take().expect("seen above");
                return Poll::Ready(Some(Ok(Frame::data(encoder.finish()?.into()))));
            };
            let Ok(data) = frame.into_data() else { continue };
            encoder.write_all(data.chunk())?;
            if encoder.get_ref().len() >= CHUNK {
                let bytes = std::mem::take(encoder.get_mut());
                return Poll::Ready(Some(Ok(Frame::data(bytes.into()))));
            }
        }
    }
}
