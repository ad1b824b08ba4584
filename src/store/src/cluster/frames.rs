//! Frames on a stream of bytes: four bytes of length, then so many.

use bytes::{Bytes, BytesMut};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::wire::MAX_FRAME;

pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Bytes> {
    read_up_to(stream, MAX_FRAME).await
}

/// As [`read`], from somebody who may not send more than `limit` bytes.
pub(crate) async fn read_up_to(stream: &mut (impl AsyncRead + Unpin), limit: usize) -> io::Result<Bytes> {
    let length = stream.read_u32().await? as usize;
    if length > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
    }
    // Not reserved at once: whoever sends a length has not sent the bytes yet.
    let mut frame = BytesMut::new();
    while frame.len() < length {
        let left = length - frame.len();
        if (&mut *stream).take(left as u64).read_buf(&mut frame).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(frame.freeze())
}

pub(crate) async fn write(stream: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    stream.write_u32(length).await?;
    stream.write_all(frame).await?;
    stream.flush().await
}
