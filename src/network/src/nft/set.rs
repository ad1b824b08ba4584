//! Sets, maps and verdict maps.

use super::attributes::Attributes;

/// The type of one field of a key or value. Names and numbers are those of `nft`, which lists by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataType {
    /// `ipv4_addr`
    Ipv4Addr,
    /// `inet_proto`
    InetProto,
    /// `inet_service`
    InetService,
    /// `mark`: a 32-bit number in host order.
    Mark,
}

impl DataType {
    fn number(self) -> u32 {
        match self {
            DataType::Ipv4Addr => 7,
            DataType::InetProto => 12,
            DataType::InetService => 13,
            DataType::Mark => 19,
        }
    }

    /// Length in bytes.
    fn length(self) -> u32 {
        match self {
            DataType::Ipv4Addr | DataType::Mark => 4,
            DataType::InetService => 2,
            DataType::InetProto => 1,
        }
    }

    /// Number and length of a concatenation; its fields are padded to whole registers.
    fn of(fields: &[DataType]) -> (u32, u32) {
        match fields {
            [field] => (field.number(), field.length()),
            fields => fields.iter().fold((0, 0), |(number, length), field| {
                (number << 6 | field.number(), length + field.length().next_multiple_of(4))
            }),
        }
    }
}

/// What the elements of a set carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetValue {
    /// Nothing: a plain set.
    None,
    /// Data: a map.
    Data(&'static [DataType]),
    /// A verdict: a verdict map.
    Verdict,
}

/// A set, map or verdict map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: &'static str,
    /// The fields of its keys.
    pub key: &'static [DataType],
    /// What its elements carry.
    pub value: SetValue,
    /// Where rules add elements, which then expire: how many there may be.
    pub dynamic: Option<u32>,
}

impl Set {
    pub(crate) fn encode(&self, id: u32, attributes: &mut Attributes) {
        const MAP: u32 = 0x8;
        const TIMEOUT: u32 = 0x10;
        const EVAL: u32 = 0x20;
        const DATA_VERDICT: u32 = 0xffff_ff00;
        let dynamic = if self.dynamic.is_some() { TIMEOUT | EVAL } else { 0 };
        let map = if self.value == SetValue::None { 0 } else { MAP };
        let (key_type, key_length) = DataType::of(self.key);
        attributes.string(2, self.name).u32(3, dynamic | map).u32(4, key_type).u32(5, key_length);
        match self.value {
            SetValue::None => {}
            SetValue::Verdict => {
                attributes.u32(6, DATA_VERDICT).u32(7, 0);
            }
            SetValue::Data(fields) => {
                let (data_type, data_length) = DataType::of(fields);
                attributes.u32(6, data_type).u32(7, data_length);
            }
        }
        if let Some(size) = self.dynamic {
            attributes.nest(9, |description| {
                description.u32(1, size);
            });
        }
        attributes.u32(10, id).bytes(13, &self.byte_orders());
    }

    /// What `nft` wants to know for listing: the byte orders of key and data (1 host, 2 network), as libnftnl packs them.
    fn byte_orders(&self) -> Vec<u8> {
        let order = |fields: &[DataType]| if fields == [DataType::Mark] { 1_u32 } else { 2 };
        let packed = |kind: u8, order: u32| [[kind, 4].as_slice(), &order.to_ne_bytes()].concat();
        let data = match self.value {
            SetValue::Data(fields) => packed(1, order(fields)),
            SetValue::None | SetValue::Verdict => Vec::new(),
        };
        [packed(0, order(self.key)), data].concat()
    }
}
