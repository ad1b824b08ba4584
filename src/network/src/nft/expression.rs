//! The expressions that rules are made of: small steps over registers, as the kernel runs them.

use std::time::Duration;

use super::{
    attributes::Attributes,
    element::Verdict,
    load::{DATA_VALUE, Load, Register},
};

/// The register of verdicts.
const VERDICT_REGISTER: u32 = 0;

/// How a comparison goes on with the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// When equal.
    Equal,
    /// When not equal.
    NotEqual,
}

/// How to refuse a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// ICMP port unreachable.
    PortUnreachable,
    /// A TCP reset.
    TcpReset,
}

/// One step of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// Loads into a register.
    Load {
        /// What.
        what: Load,
        /// First register of the value.
        into: Register,
    },
    /// Goes on only if the comparison with a constant holds.
    Compare {
        /// First register of the value.
        register: Register,
        /// Equal or not.
        is: Comparison,
        /// The constant, in the byte order of the value.
        constant: Vec<u8>,
    },
    /// Keeps the bits of a mask.
    Mask {
        /// First register of the value; also of the result.
        register: Register,
        /// The bits.
        mask: Vec<u8>,
    },
    /// Goes on only if the key is in the set; loads the element's data where a register is named.
    Lookup {
        /// The set or map.
        set: &'static str,
        /// First register of the key.
        key: Register,
        /// First register for the data.
        into: Option<Register>,
    },
    /// Follows the verdict that the map has for the key, if any.
    VerdictLookup {
        /// The verdict map.
        map: &'static str,
        /// First register of the key.
        key: Register,
    },
    /// Adds an element to a dynamic map; where the key is there already, only its time begins anew.
    Remember {
        /// The map.
        map: &'static str,
        /// First register of the key.
        key: Register,
        /// First register of the data.
        data: Register,
        /// How long the element stays.
        timeout: Duration,
    },
    /// Translates the destination.
    DestinationNat {
        /// Register of the new address.
        address: Register,
        /// Register of the new port.
        port: Register,
    },
    /// Translates the source to an address of the interface that the packet leaves by, with a random port.
    Masquerade,
    /// Sets the packet's mark.
    SetMark {
        /// Register of the mark.
        from: Register,
    },
    /// Goes on only while the rate is not exceeded.
    Limit {
        /// Packets per second.
        per_second: u64,
        /// Packets beyond the rate that are let through at once.
        burst: u32,
    },
    /// Counts packets and bytes.
    Counter,
    /// Leaves the packet to nobody's connection; only in chains before connection tracking.
    Untracked,
    /// Refuses the packet.
    Reject(Reject),
    /// Ends the rule with a verdict.
    Verdict(Verdict),
}

impl Expression {
    /// Writes the expression as one element of a rule's list.
    pub(crate) fn encode(&self, attributes: &mut Attributes) {
        const LIST_ELEMENT: u16 = 1;
        attributes.nest(LIST_ELEMENT, |element| {
            element.string(1, self.name()).nest(2, |data| self.encode_data(data));
        });
    }

    /// The kernel's name of the expression type.
    fn name(&self) -> &'static str {
        match self {
            Expression::Load { what, .. } => what.name(),
            Expression::Compare { .. } => "cmp",
            Expression::Mask { .. } => "bitwise",
            Expression::Lookup { .. } | Expression::VerdictLookup { .. } => "lookup",
            Expression::Remember { .. } => "dynset",
            Expression::DestinationNat { .. } => "nat",
            Expression::Masquerade => "masq",
            Expression::SetMark { .. } => "meta",
            Expression::Limit { .. } => "limit",
            Expression::Counter => "counter",
            Expression::Untracked => "notrack",
            Expression::Reject(_) => "reject",
            Expression::Verdict(_) => "immediate",
        }
    }

    fn encode_data(&self, data: &mut Attributes) {
        match self {
            Expression::Load { what, into } => what.encode(*into, data),
            Expression::Compare { register, is, constant } => compare(*register, *is, constant, data),
            Expression::Mask { register, mask } => keep_bits(*register, mask, data),
            Expression::Lookup { set, key, into } => {
                lookup(set, *key, into.map(Register::number), data);
            }
            Expression::VerdictLookup { map, key } => lookup(map, *key, Some(VERDICT_REGISTER), data),
            Expression::Remember { map, key, data: value, timeout } => {
                remember(map, *key, *value, *timeout, data);
            }
            Expression::DestinationNat { address, port } => destination_nat(*address, *port, data),
            Expression::Masquerade => {
                const FULLY_RANDOM: u32 = 1 << 4;
                data.u32(1, FULLY_RANDOM);
            }
            Expression::SetMark { from } => {
                data.u32(2, libc::NFT_META_MARK as u32).u32(3, from.number());
            }
            Expression::Limit { per_second, burst } => {
                data.u64(1, *per_second).u64(2, 1).u32(3, *burst);
            }
            Expression::Counter | Expression::Untracked => {}
            Expression::Reject(how) => reject(*how, data),
            Expression::Verdict(verdict) => {
                data.u32(1, VERDICT_REGISTER).nest(2, |nested| verdict.encode(nested));
            }
        }
    }
}

fn compare(register: Register, is: Comparison, constant: &[u8], data: &mut Attributes) {
    let operator = match is {
        Comparison::Equal => 0,
        Comparison::NotEqual => 1,
    };
    data.u32(1, register.number()).u32(2, operator).nest(3, |nested| {
        nested.bytes(DATA_VALUE, constant);
    });
}

fn keep_bits(register: Register, mask: &[u8], data: &mut Attributes) {
    let length = u32::try_from(mask.len()).expect("registers hold 64 bytes");
    data.u32(1, register.number()).u32(2, register.number()).u32(3, length);
    data.nest(4, |nested| {
        nested.bytes(DATA_VALUE, mask);
    });
    data.nest(5, |nested| {
        nested.bytes(DATA_VALUE, &vec![0; mask.len()]);
    });
}

fn lookup(set: &str, key: Register, into: Option<u32>, data: &mut Attributes) {
    data.string(1, set).u32(2, key.number());
    if let Some(into) = into {
        data.u32(3, into);
    }
}

fn remember(map: &str, key: Register, value: Register, timeout: Duration, data: &mut Attributes) {
    const UPDATE: u32 = 1;
    let milliseconds = u64::try_from(timeout.as_millis()).expect("callers give hours, not eternities");
    data.string(1, map).u32(3, UPDATE).u32(4, key.number()).u32(5, value.number()).u64(6, milliseconds);
}

fn destination_nat(address: Register, port: Register, data: &mut Attributes) {
    const DESTINATION: u32 = 1;
    data.u32(1, DESTINATION).u32(2, libc::NFPROTO_IPV4 as u32);
    data.u32(3, address.number()).u32(5, port.number());
}

fn reject(how: Reject, data: &mut Attributes) {
    const PORT_UNREACHABLE: u8 = 3;
    match how {
        Reject::PortUnreachable => data.u32(1, libc::NFT_REJECT_ICMP_UNREACH as u32).u8(2, PORT_UNREACHABLE),
        Reject::TcpReset => data.u32(1, libc::NFT_REJECT_TCP_RST as u32),
    };
}
