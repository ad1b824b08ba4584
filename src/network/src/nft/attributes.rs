//! Netlink messages of netfilter: a header, then attributes one after another, nested where the kernel wants a tree.
//! Read back level by level.

/// Set on the type of an attribute that contains attributes.
const NESTED: u16 = 1 << 15;
/// Length and type in front of every attribute.
const HEADER: usize = 4;

/// The headers of netlink and of netfilter in front of a message's attributes.
pub(crate) struct Header {
    /// Subsystem and message.
    pub(crate) kind: u16,
    /// Flags besides `NLM_F_REQUEST`.
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) family: u8,
    pub(crate) resource: u16,
}

impl Header {
    /// Bytes of both headers.
    pub(crate) const LENGTH: usize = 20;

    /// Appends a message with the content to `messages`.
    pub(crate) fn write(&self, content: &[u8], messages: &mut Vec<u8>) {
        const VERSION: u8 = 0;
        let length = u32::try_from(Self::LENGTH + content.len()).expect("content is bounded by attributes");
        messages.extend(length.to_ne_bytes());
        messages.extend(self.kind.to_ne_bytes());
        messages.extend((libc::NLM_F_REQUEST as u16 | self.flags).to_ne_bytes());
        messages.extend(self.sequence.to_ne_bytes());
        messages.extend(0_u32.to_ne_bytes());
        messages.extend([self.family, VERSION]);
        messages.extend(self.resource.to_be_bytes());
        messages.extend(content);
    }
}

/// A growing list of netlink attributes. Numbers are big endian, as netfilter wants them.
#[derive(Debug, Default)]
pub(crate) struct Attributes(Vec<u8>);

impl Attributes {
    /// One attribute with raw content.
    ///
    /// # Panics
    /// When the content does not fit an attribute (64 KiB); callers split what can be long.
    pub(crate) fn bytes(&mut self, kind: u16, content: &[u8]) -> &mut Self {
        let length =
            u16::try_from(HEADER + content.len()).expect("callers split what may exceed an attribute");
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// A string with its terminating zero.
    pub(crate) fn string(&mut self, kind: u16, content: &str) -> &mut Self {
        self.bytes(kind, &[content.as_bytes(), &[0]].concat())
    }

    /// An 8-bit number.
    pub(crate) fn u8(&mut self, kind: u16, content: u8) -> &mut Self {
        self.bytes(kind, &[content])
    }

    /// A 32-bit number.
    pub(crate) fn u32(&mut self, kind: u16, content: u32) -> &mut Self {
        self.bytes(kind, &content.to_be_bytes())
    }

    /// A 64-bit number.
    pub(crate) fn u64(&mut self, kind: u16, content: u64) -> &mut Self {
        self.bytes(kind, &content.to_be_bytes())
    }

    /// An attribute made of attributes.
    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Attributes)) -> &mut Self {
        let mut inner = Attributes::default();
        fill(&mut inner);
        self.bytes(kind | NESTED, &inner.0)
    }

    /// How many bytes were written.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// What was written.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// The attributes in `bytes` as (type without flags, content), up to the first that is malformed.
pub(crate) fn parse(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?);
        let content = bytes.get(HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind & 0x3fff, content))
    })
}

/// The content of the first attribute of that type.
pub(crate) fn find(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    parse(bytes).find_map(|(kind, content)| (kind == wanted).then_some(content))
}
