//! Reading protobuf's wire format: tags, variable-length numbers, length-prefixed bytes. Knows no types.

use super::Malformed;

/// A field as it comes over the wire.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    number: u32,
    value: Value<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    /// Kubernetes has no groups; they are skipped as unknown fields are.
    Group,
    Fixed32,
}

impl<'a> Record<'a> {
    /// The field named `field` as a number.
    pub(super) fn varint(&self, field: &'static str) -> Result<u64, Malformed> {
        if let Value::Varint(number) = self.value { Ok(number) } else { Err(self.wrong(field)) }
    }

    /// The field named `field` as a floating-point number.
    pub(super) fn double(&self, field: &'static str) -> Result<f64, Malformed> {
        if let Value::Fixed64(bits) = self.value { Ok(f64::from_bits(bits)) } else { Err(self.wrong(field)) }
    }

    /// The field named `field` as bytes: a string, a message or packed numbers.
    pub(super) fn bytes(&self, field: &'static str) -> Result<&'a [u8], Malformed> {
        if let Value::Bytes(bytes) = self.value { Ok(bytes) } else { Err(self.wrong(field)) }
    }

    /// The field named `field` as text.
    pub(super) fn string(&self, field: &'static str) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes(field)?)
            .map_err(|_| Malformed::Value(format!("proto: field {field} contains invalid UTF-8")))
    }

    /// The bytes, where the field has some.
    pub(super) fn packed(&self) -> Option<&'a [u8]> {
        if let Value::Bytes(bytes) = self.value { Some(bytes) } else { None }
    }

    fn wrong(&self, field: &'static str) -> Malformed {
        let found = match self.value {
            Value::Varint(_) => 0,
            Value::Fixed64(_) => 1,
            Value::Bytes(_) => 2,
            Value::Group => 3,
            Value::Fixed32 => 5,
        };
        Malformed::WrongWireType { found, field }
    }
}

/// The fields of a message by number; those of the same number are in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Message<'a>(Vec<Record<'a>>);

impl<'a> Message<'a> {
    /// Splits a message into its fields.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        Self::merged([Ok(bytes)])
    }

    /// A message that came in several parts, of which the later add to the earlier.
    pub(super) fn merged(
        parts: impl IntoIterator<Item = Result<&'a [u8], Malformed>>,
    ) -> Result<Self, Malformed> {
        let mut records = Vec::new();
        for part in parts {
            let mut reader = Reader(part?);
            while !reader.0.is_empty() {
                records.push(reader.record()?);
            }
        }
        // Stable, so that the last one stays the last one.
        records.sort_by_key(|record| record.number);
        Ok(Self(records))
    }

    /// Whether it has no fields.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields of a number.
    pub(super) fn all(&self, number: u32) -> &[Record<'a>] {
        let start = self.0.partition_point(|record| record.number < number);
        let len = self.0[start..].partition_point(|record| record.number == number);
        &self.0[start..start + len]
    }

    /// The last number of a field, where there is one.
    pub(super) fn last_varint(&self, number: u32, field: &'static str) -> Result<Option<u64>, Malformed> {
        self.all(number).last().map(|record| record.varint(field)).transpose()
    }

    /// The last bytes of a field, where there are some.
    pub(super) fn last_bytes(&self, number: u32, field: &'static str) -> Result<Option<&'a [u8]>, Malformed> {
        self.all(number).last().map(|record| record.bytes(field)).transpose()
    }

    /// The last text of a field, where there is one.
    pub(super) fn last_string(&self, number: u32, field: &'static str) -> Result<Option<&'a str>, Malformed> {
        self.all(number).last().map(|record| record.string(field)).transpose()
    }

    /// The message in a field; an empty one where there is none.
    pub(super) fn message(&self, number: u32, field: &'static str) -> Result<Message<'a>, Malformed> {
        Message::merged(self.all(number).iter().map(|record| record.bytes(field)))
    }
}

/// Reads off the front of its bytes.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// A number in groups of seven bits, the lowest first.
    pub(super) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (first, rest) = self.0.split_first().ok_or(Malformed::Truncated)?;
            self.0 = rest;
            number |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed::Overflow)
    }

    /// A floating-point number.
    pub(super) fn double(&mut self) -> Result<f64, Malformed> {
        self.fixed64().map(f64::from_bits)
    }

    fn record(&mut self) -> Result<Record<'a>, Malformed> {
        let (number, wire_type) = self.tag()?;
        let value = match wire_type {
            3 => {
                self.skip_group()?;
                Value::Group
            }
            4 => return Err(Malformed::EndOfGroup),
            other => self.value(other)?,
        };
        Ok(Record { number, value })
    }

    fn tag(&mut self) -> Result<(u32, u8), Malformed> {
        let tag = self.varint()?;
        let wire_type = (tag & 7) as u8;
        // Upstream takes what is above 32 bits off, too.
        let number = (tag >> 3) as i32;
        match u32::try_from(number) {
            Ok(number) if number > 0 => Ok((number, wire_type)),
            _ => Err(Malformed::Tag(number)),
        }
    }

    fn value(&mut self, wire_type: u8) -> Result<Value<'a>, Malformed> {
        match wire_type {
            0 => self.varint().map(Value::Varint),
            1 => self.fixed64().map(Value::Fixed64),
            2 => {
                let len = i64::try_from(self.varint()?).map_err(|_| Malformed::Length)?;
                let len = usize::try_from(len).map_err(|_| Malformed::Length)?;
                self.take(len).map(Value::Bytes)
            }
            5 => self.take(4).map(|_| Value::Fixed32),
            other => Err(Malformed::WireType(other)),
        }
    }

    fn fixed64(&mut self) -> Result<u64, Malformed> {
        let bytes = self.take(8)?;
        Ok(u64::from_le_bytes(bytes.try_into().expect("took eight bytes")))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Groups may be nested as deeply as they like: nothing is kept of them.
    fn skip_group(&mut self) -> Result<(), Malformed> {
        let mut open = 1usize;
        while open > 0 {
            match self.tag()?.1 {
                3 => open += 1,
                4 => open -= 1,
                other => drop(self.value(other)?),
            }
        }
        Ok(())
    }
}
