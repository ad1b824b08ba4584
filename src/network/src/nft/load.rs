//! What rules can know of a packet and its connection, and the registers that hold it.

use super::attributes::Attributes;

/// One of the sixteen 32-bit registers. Wider values take the following registers too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register(pub u8);

impl Register {
    /// The number that the kernel knows it by.
    pub(super) fn number(self) -> u32 {
        const FIRST_32_BIT: u32 = 8;
        FIRST_32_BIT + u32::from(self.0)
    }
}

/// Attribute of the value in a piece of data.
pub(super) const DATA_VALUE: u16 = 1;

/// Something about the packet or its connection that can be loaded into registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// IPv4 source address.
    SourceAddress,
    /// IPv4 destination address.
    DestinationAddress,
    /// Number of the transport protocol.
    Protocol,
    /// Destination port of the transport protocol.
    DestinationPort,
    /// The packet's mark.
    Mark,
    /// Name of the interface that it came by, 16 bytes.
    InputInterface,
    /// Name of the interface that it leaves by, 16 bytes.
    OutputInterface,
    /// State of the connection, a bit mask: see [`super::Rule::new_connection`].
    ConnectionState,
    /// Status of the connection, a bit mask: see [`super::Rule::destination_translated`].
    ConnectionStatus,
    /// IPv4 address that the connection was opened from.
    OriginalSourceAddress,
    /// IPv4 address that the connection was opened to.
    OriginalDestinationAddress,
    /// Port that the connection was opened to.
    OriginalDestinationPort,
    /// IPv4 address that answers of the connection come from.
    ReplySourceAddress,
    /// Port that answers of the connection come from.
    ReplySourcePort,
    /// Type of the destination address (`RTN_*` numbers: local is 2).
    DestinationAddressType,
    /// A random number below the modulus.
    Random {
        /// The modulus.
        modulus: u32,
    },
    /// A hash, below the modulus, of `length` bytes from register `from` on.
    Hash {
        /// First register of what is hashed.
        from: Register,
        /// Bytes that are hashed.
        length: u32,
        /// The modulus.
        modulus: u32,
    },
    /// A constant 32-bit number in host order.
    Number(u32),
}

impl Load {
    /// The kernel's name of the expression that loads it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Load::SourceAddress | Load::DestinationAddress | Load::DestinationPort => "payload",
            Load::Protocol | Load::Mark | Load::InputInterface | Load::OutputInterface => "meta",
            Load::ConnectionState
            | Load::ConnectionStatus
            | Load::OriginalSourceAddress
            | Load::OriginalDestinationAddress
            | Load::OriginalDestinationPort
            | Load::ReplySourceAddress
            | Load::ReplySourcePort => "ct",
            Load::DestinationAddressType => "fib",
            Load::Random { .. } => "numgen",
            Load::Hash { .. } => "hash",
            Load::Number(_) => "immediate",
        }
    }

    pub(super) fn encode(self, into: Register, data: &mut Attributes) {
        const NETWORK_HEADER: u32 = 1;
        const TRANSPORT_HEADER: u32 = 2;
        const ORIGINAL: Option<u8> = Some(0);
        const REPLY: Option<u8> = Some(1);
        // `NFT_CT_SRC_IP` and `NFT_CT_DST_IP`, not in the libc crate.
        const SOURCE_IP: u32 = 19;
        const DESTINATION_IP: u32 = 20;
        match self {
            Load::SourceAddress => payload(NETWORK_HEADER, 12, 4, into, data),
            Load::DestinationAddress => payload(NETWORK_HEADER, 16, 4, into, data),
            Load::DestinationPort => payload(TRANSPORT_HEADER, 2, 2, into, data),
            Load::Protocol => meta(libc::NFT_META_L4PROTO, into, data),
            Load::Mark => meta(libc::NFT_META_MARK, into, data),
            Load::InputInterface => meta(libc::NFT_META_IIFNAME, into, data),
            Load::OutputInterface => meta(libc::NFT_META_OIFNAME, into, data),
            Load::ConnectionState => connection(libc::NFT_CT_STATE as u32, None, into, data),
            Load::ConnectionStatus => connection(libc::NFT_CT_STATUS as u32, None, into, data),
            Load::OriginalSourceAddress => connection(SOURCE_IP, ORIGINAL, into, data),
            Load::OriginalDestinationAddress => connection(DESTINATION_IP, ORIGINAL, into, data),
            Load::OriginalDestinationPort => {
                connection(libc::NFT_CT_PROTO_DST as u32, ORIGINAL, into, data);
            }
            Load::ReplySourceAddress => connection(SOURCE_IP, REPLY, into, data),
            Load::ReplySourcePort => connection(libc::NFT_CT_PROTO_SRC as u32, REPLY, into, data),
            Load::DestinationAddressType => {
                const ADDRESS_TYPE: u32 = 3;
                const OF_DESTINATION: u32 = 1 << 1;
                data.u32(1, into.number()).u32(2, ADDRESS_TYPE).u32(3, OF_DESTINATION);
            }
            Load::Random { modulus } => {
                data.u32(1, into.number()).u32(2, modulus).u32(3, libc::NFT_NG_RANDOM as u32).u32(4, 0);
            }
            Load::Hash { from, length, modulus } => {
                data.u32(1, from.number()).u32(2, into.number()).u32(3, length).u32(4, modulus);
            }
            Load::Number(number) => {
                data.u32(1, into.number()).nest(2, |nested| {
                    nested.bytes(DATA_VALUE, &number.to_ne_bytes());
                });
            }
        }
    }
}

fn payload(header: u32, offset: u32, length: u32, into: Register, data: &mut Attributes) {
    data.u32(1, into.number()).u32(2, header).u32(3, offset).u32(4, length);
}

fn meta(key: libc::c_int, into: Register, data: &mut Attributes) {
    data.u32(1, into.number()).u32(2, key as u32);
}

fn connection(key: u32, direction: Option<u8>, into: Register, data: &mut Attributes) {
    data.u32(1, into.number()).u32(2, key);
    if let Some(direction) = direction {
        data.u8(3, direction);
    }
}
