//! Elements of sets and maps: keys, data, verdicts.

use std::{borrow::Cow, net::Ipv4Addr};

use super::attributes::Attributes;

/// Fields of a key or of data, each padded to a register.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Concat(Vec<u8>);

impl Concat {
    /// No field yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an `ipv4_addr`.
    pub fn ipv4(self, address: Ipv4Addr) -> Self {
        self.field(&address.octets())
    }

    /// Adds an `inet_proto`.
    pub fn protocol(self, number: u8) -> Self {
        self.field(&[number])
    }

    /// Adds an `inet_service`.
    pub fn port(self, port: u16) -> Self {
        self.field(&port.to_be_bytes())
    }

    /// Adds a `mark`.
    pub fn mark(self, number: u32) -> Self {
        self.field(&number.to_ne_bytes())
    }

    fn field(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Where a packet goes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Out of this base chain, accepted by it.
    Accept,
    /// Away.
    Drop,
    /// Back to the calling chain.
    Return,
    /// To a chain, and back.
    Jump(Cow<'static, str>),
    /// To a chain, not back.
    Goto(Cow<'static, str>),
}

impl Verdict {
    /// A jump.
    pub fn jump(chain: impl Into<Cow<'static, str>>) -> Self {
        Self::Jump(chain.into())
    }

    /// A goto.
    pub fn goto(chain: impl Into<Cow<'static, str>>) -> Self {
        Self::Goto(chain.into())
    }

    /// Writes the verdict as the content of a data attribute.
    pub(crate) fn encode(&self, attributes: &mut Attributes) {
        const VERDICT: u16 = 2;
        let (code, chain) = match self {
            Verdict::Drop => (0_i32, None),
            Verdict::Accept => (1, None),
            Verdict::Jump(chain) => (-3, Some(chain)),
            Verdict::Goto(chain) => (-4, Some(chain)),
            Verdict::Return => (-5, None),
        };
        attributes.nest(VERDICT, |nested| {
            nested.bytes(1, &code.to_be_bytes());
            if let Some(chain) = chain {
                nested.string(2, chain);
            }
        });
    }
}

/// What one element carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    None,
    /// Data.
    Data(Concat),
    /// A verdict.
    Verdict(Verdict),
}

/// An element of a set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// Its key.
    pub key: Concat,
    /// What it carries.
    pub value: Value,
}

impl Element {
    /// An element of a plain set, or the key of an element to delete.
    pub fn key(key: Concat) -> Self {
        Self { key, value: Value::None }
    }

    /// An element of a map.
    pub fn data(key: Concat, data: Concat) -> Self {
        Self { key, value: Value::Data(data) }
    }

    /// An element of a verdict map.
    pub fn verdict(key: Concat, verdict: Verdict) -> Self {
        Self { key, value: Value::Verdict(verdict) }
    }

    pub(crate) fn encode(&self, attributes: &mut Attributes) {
        const LIST_ELEMENT: u16 = 1;
        const KEY: u16 = 1;
        const DATA: u16 = 2;
        const VALUE: u16 = 1;
        attributes.nest(LIST_ELEMENT, |element| {
            element.nest(KEY, |key| {
                key.bytes(VALUE, self.key.as_bytes());
            });
            match &self.value {
                Value::None => {}
                Value::Data(data) => {
                    element.nest(DATA, |nested| {
                        nested.bytes(VALUE, data.as_bytes());
                    });
                }
                Value::Verdict(verdict) => {
                    element.nest(DATA, |nested| verdict.encode(nested));
                }
            }
        });
    }
}
