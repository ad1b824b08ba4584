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
        self.tag(number, 2);
        put_varint(value.len() as u64, &mut self.0);
        self.append(value);
    }

    /// Text.
    pub(super) fn string(&mut self, number: u32, value: &str) {
        self.bytes(number, value.as_bytes());
    }

    /// A message, whose fields `write` writes.
    pub(super) fn message(&mut self, number: u32, write: impl FnOnce(&mut Self)) {
        self.tag(number, 2);
        let start = self.0.len();
        write(self);
        // The length goes before what it is the length of, and takes as many bytes as it needs.
        let mut len = Vec::with_capacity(5);
        put_varint((self.0.len() - start) as u64, &mut len);
        self.0.splice(start..start, len);
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
