//! Writing protobuf's wire format. Knows no types.

/// Writes fields.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// What was written.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Bytes that are no field.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// A number.
    pub(super) fn varint(&mut self, number: u32, value: u64) {
        self.tag(number, 0);
        put_varint(value, &mut self.0);
    }

    /// A signed number; negative ones take ten bytes.
    pub(super) fn int(&mut self, number: u32, value: i64) {
        self.varint(number, value.cast_unsigned());
    }

    /// A floating-point number.
    pub(super) fn double(&mut self, number: u32, value: f64) {
        self.tag(number, 1);
        self.append(&value.to_le_bytes());
    }

    /// Bytes.
    pub(super) fn bytes(&mut self, number: u32, value: &[u8]) {
        self.head(number, value.len());
        self.append(value);
    }

    /// What stands before `len` bytes, which the caller adds.
    pub(super) fn head(&mut self, number: u32, len: usize) {
        self.tag(number, 2);
        put_varint(len as u64, &mut self.0);
    }

    /// Text.
    pub(super) fn string(&mut self, number: u32, value: &str) {
        self.bytes(number, value.as_bytes());
    }

    /// A message, whose fields `write` writes.
    pub(super) fn message(&mut self, number: u32, write: impl FnOnce(&mut Self)) {
        self.tag(number, 2);
        // Most lengths take one byte, which is kept free; for others what was written moves on.
        let place = self.0.len();
        self.0.push(0);
        let start = place + 1;
        write(self);
        let len = self.0.len() - start;
        let more = varint_len(len as u64) - 1;
        if more > 0 {
            self.0.resize(start + len + more, 0);
            self.0.copy_within(start..start + len, start + more);
        }
        let mut rest = len as u64;
        for byte in &mut self.0[place..=place + more] {
            *byte = (rest & 0x7f) as u8 | 0x80;
            rest >>= 7;
        }
        self.0[place + more] &= 0x7f;
    }

    fn tag(&mut self, number: u32, wire_type: u8) {
        put_varint(u64::from(number) << 3 | u64::from(wire_type), &mut self.0);
    }
}

fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// How many bytes a number takes.
fn varint_len(number: u64) -> usize {
    (number | 1).ilog2() as usize / 7 + 1
}
