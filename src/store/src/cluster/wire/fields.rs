//! Fields of a frame whose length is not fixed: four bytes of it before them.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::Sealing;

pub(super) fn put(frame: &mut BytesMut, bytes: &[u8]) {
    frame.put_u32(u32::try_from(bytes.len()).expect("values are limited far below four gigabytes"));
    frame.put_slice(bytes);
}

pub(super) fn take(frame: &mut Bytes) -> Option<Bytes> {
    let length = frame.try_get_u32().ok()? as usize;
    (frame.len() >= length).then(|| frame.split_to(length))
}

pub(super) fn put_sealing(frame: &mut BytesMut, sealing: &Sealing) {
    let (code, text) = match sealing {
        Sealing::Plain => (0, ""),
        Sealing::By(name) => (1, &**name),
        Sealing::Unreadable(why) => (2, &**why),
    };
    frame.put_u8(code);
    put(frame, text.as_bytes());
}

pub(super) fn take_sealing(frame: &mut Bytes) -> Option<Sealing> {
    let code = frame.try_get_u8().ok()?;
    let text = take(frame)?;
    let text = std::str::from_utf8(&text).ok()?;
    match code {
        0 => Some(Sealing::Plain),
        1 => Some(Sealing::By(text.into())),
        2 => Some(Sealing::Unreadable(text.into())),
        _ => None,
    }
}
