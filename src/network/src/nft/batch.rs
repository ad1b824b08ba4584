//! One transaction: operations on one table that the kernel takes all or none of.

use super::{
    attributes::{Attributes, Header},
    chain::Chain,
    element::Element,
    rule::Rule,
    set::Set,
    socket::Socket,
};
use crate::Error;

/// Bytes of elements in one message; the length of the list's attribute has 16 bits.
const ELEMENTS_PER_MESSAGE: usize = 60_000;

/// A transaction on one table of the `ip` family.
#[derive(Debug)]
pub struct Batch {
    table: String,
    messages: Vec<u8>,
    /// What each message does, for errors; the index is the message's sequence number.
    operations: Vec<String>,
    next_set: u32,
    /// Where the last message begins, so that it can ask for an acknowledgement.
    last: usize,
}

impl Batch {
    /// An empty transaction on `table`.
    pub fn new(table: impl Into<String>) -> Self {
        let mut batch =
            Self { table: table.into(), messages: Vec::new(), operations: Vec::new(), next_set: 1, last: 0 };
        batch.control(libc::NFNL_MSG_BATCH_BEGIN, "commit");
        batch
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.operations.len() == 1
    }

    /// Makes the table if it is not there.
    pub fn add_table(&mut self) -> &mut Self {
        let attributes = self.attributes();
        self.push(libc::NFT_MSG_NEWTABLE, libc::NLM_F_CREATE, "add table", attributes)
    }

    /// Deletes the table with all that is in it.
    pub fn delete_table(&mut self) -> &mut Self {
        let attributes = self.attributes();
        self.push(libc::NFT_MSG_DELTABLE, 0, "delete table", attributes)
    }

    /// Begins the table anew, whether it was there or not.
    pub fn replace_table(&mut self) -> &mut Self {
        // Deleting what is not there is an error; adding what is there is none.
        self.add_table().delete_table().add_table()
    }

    /// Adds a chain.
    pub fn add_chain(&mut self, chain: &Chain) -> &mut Self {
        let mut attributes = self.attributes();
        chain.encode(&mut attributes);
        self.push(
            libc::NFT_MSG_NEWCHAIN,
            libc::NLM_F_CREATE,
            &format!("add chain {}", chain.name),
            attributes,
        )
    }

    /// Deletes a chain with its rules; nothing may lead to it any more.
    pub fn delete_chain(&mut self, name: &str) -> &mut Self {
        let mut attributes = self.attributes();
        attributes.string(3, name);
        self.push(libc::NFT_MSG_DELCHAIN, 0, &format!("delete chain {name}"), attributes)
    }

    /// Adds a rule at the end of a chain.
    pub fn add_rule(&mut self, chain: &str, rule: &Rule) -> &mut Self {
        let mut attributes = self.attributes();
        attributes.string(2, chain);
        rule.encode(&mut attributes);
        let flags = libc::NLM_F_CREATE | libc::NLM_F_APPEND;
        self.push(libc::NFT_MSG_NEWRULE, flags, &format!("add rule to {chain}"), attributes)
    }

    /// Adds a set or map.
    pub fn add_set(&mut self, set: &Set) -> &mut Self {
        let mut attributes = self.attributes();
        set.encode(self.next_set, &mut attributes);
        self.next_set += 1;
        self.push(libc::NFT_MSG_NEWSET, libc::NLM_F_CREATE, &format!("add set {}", set.name), attributes)
    }

    /// Adds elements to a set or map. A key that is there already with other data is an error.
    pub fn add_elements(&mut self, set: &str, elements: impl IntoIterator<Item = Element>) -> &mut Self {
        self.elements(libc::NFT_MSG_NEWSETELEM, libc::NLM_F_CREATE, "add to", set, elements)
    }

    /// Deletes elements by their keys. A key that is not there is an error.
    pub fn delete_elements(&mut self, set: &str, elements: impl IntoIterator<Item = Element>) -> &mut Self {
        self.elements(libc::NFT_MSG_DELSETELEM, 0, "delete from", set, elements)
    }

    /// Sends the transaction.
    ///
    /// # Errors
    /// [`Error::Nft`] names the operation that the kernel refused; then nothing has changed.
    pub fn commit(mut self, socket: &mut Socket) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        self.ask_for_acknowledgement();
        let acknowledged = self.operations.len() - 1;
        self.control(libc::NFNL_MSG_BATCH_END, "end");
        socket.transact(&self.messages, acknowledged).map_err(|refusal| Error::Nft {
            what: match (self.operations.get(refusal.sequence), refusal.explanation) {
                (Some(operation), Some(why)) => format!("{operation} ({why}) in table {}", self.table),
                (Some(operation), None) => format!("{operation} in table {}", self.table),
                (None, _) => format!("table {}", self.table),
            },
            source: refusal.error,
        })
    }

    fn elements(
        &mut self,
        message: libc::c_int,
        flags: libc::c_int,
        verb: &str,
        set: &str,
        elements: impl IntoIterator<Item = Element>,
    ) -> &mut Self {
        let mut list = Attributes::default();
        let mut elements = elements.into_iter().peekable();
        while let Some(element) = elements.next() {
            element.encode(&mut list);
            if list.len() < ELEMENTS_PER_MESSAGE && elements.peek().is_some() {
                continue;
            }
            let mut attributes = self.attributes();
            let full = std::mem::take(&mut list).into_bytes();
            attributes.string(2, set).bytes(3 | 1 << 15, &full);
            self.push(message, flags, &format!("{verb} {set}"), attributes);
        }
        self
    }

    /// The attributes of a message, beginning with the table's name: number 1 in every kind of message.
    fn attributes(&self) -> Attributes {
        let mut attributes = Attributes::default();
        attributes.string(1, &self.table);
        attributes
    }

    fn push(
        &mut self,
        message: libc::c_int,
        flags: libc::c_int,
        operation: &str,
        content: Attributes,
    ) -> &mut Self {
        let kind = (libc::NFNL_SUBSYS_NFTABLES << 8 | message) as u16;
        self.message(kind, flags, libc::NFPROTO_IPV4 as u8, 0, &content.into_bytes());
        self.operations.push(operation.to_owned());
        self
    }

    fn control(&mut self, kind: libc::c_int, operation: &str) {
        self.message(kind as u16, 0, libc::AF_UNSPEC as u8, libc::NFNL_SUBSYS_NFTABLES as u16, &[]);
        self.operations.push(operation.to_owned());
    }

    /// Appends a message; its sequence number is the index in `operations`.
    fn message(&mut self, kind: u16, flags: libc::c_int, family: u8, resource: u16, content: &[u8]) {
        self.last = self.messages.len();
        let sequence = u32::try_from(self.operations.len()).expect("memory ends before the numbers do");
        let header = Header { kind, flags: flags as u16, sequence, family, resource };
        header.write(content, &mut self.messages);
    }

    fn ask_for_acknowledgement(&mut self) {
        const FLAGS: usize = 6;
        let at = self.last + FLAGS;
        let flags = u16::from_ne_bytes([self.messages[at], self.messages[at + 1]]) | libc::NLM_F_ACK as u16;
        self.messages[at..at + 2].copy_from_slice(&flags.to_ne_bytes());
    }
}
