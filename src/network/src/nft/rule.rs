//! A rule, built expression by expression in the order the kernel runs them.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::{
    attributes::Attributes,
    element::Verdict,
    expression::{Comparison, Expression},
    load::{Load, Register},
};

/// The expressions of one rule. A packet goes on to the next expression as long as nothing says no.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule(Vec<Expression>);

impl Rule {
    /// A rule that does nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an expression.
    pub fn then(mut self, expression: Expression) -> Self {
        self.0.push(expression);
        self
    }

    /// Loads into a register.
    pub fn load(self, what: Load, into: Register) -> Self {
        self.then(Expression::Load { what, into })
    }

    /// Loads one-register fields side by side, as the key of a look-up.
    pub fn load_key(self, fields: &[Load], first: Register) -> Self {
        (first.0..).zip(fields).fold(self, |rule, (register, field)| rule.load(*field, Register(register)))
    }

    /// Only if the register equals the constant.
    pub fn equal(self, register: Register, constant: &[u8]) -> Self {
        self.then(Expression::Compare { register, is: Comparison::Equal, constant: constant.to_vec() })
    }

    /// Only if the register differs from the constant.
    pub fn not_equal(self, register: Register, constant: &[u8]) -> Self {
        self.then(Expression::Compare { register, is: Comparison::NotEqual, constant: constant.to_vec() })
    }

    /// Only if an address is in the network. Uses the first register.
    pub fn within(self, address: Load, network: Ipv4Net) -> Self {
        self.network(address, network, Comparison::Equal)
    }

    /// Only if an address is outside the network. Uses the first register.
    pub fn outside(self, address: Load, network: Ipv4Net) -> Self {
        self.network(address, network, Comparison::NotEqual)
    }

    fn network(self, address: Load, network: Ipv4Net, is: Comparison) -> Self {
        let register = Register(0);
        let constant = network.network().octets().to_vec();
        let rule = self.load(address, register);
        let rule = match network.netmask() {
            Ipv4Addr::BROADCAST => rule,
            mask => rule.then(Expression::Mask { register, mask: mask.octets().to_vec() }),
        };
        rule.then(Expression::Compare { register, is, constant })
    }

    /// Only the packets that open a connection. Uses the first register.
    pub fn new_connection(self) -> Self {
        const NEW: u32 = 1 << 3;
        self.bits(Load::ConnectionState, NEW)
    }

    /// Only packets of connections whose destination was translated. Uses the first register.
    pub fn destination_translated(self) -> Self {
        const DESTINATION_NAT: u32 = 1 << 5;
        self.bits(Load::ConnectionStatus, DESTINATION_NAT)
    }

    fn bits(self, what: Load, bits: u32) -> Self {
        let register = Register(0);
        self.load(what, register)
            .then(Expression::Mask { register, mask: bits.to_ne_bytes().to_vec() })
            .not_equal(register, &[0; 4])
    }

    /// Only packets that do not leave by this interface. Uses the first four registers.
    pub fn not_leaving_by(self, interface: &str) -> Self {
        self.not_by(Load::OutputInterface, interface)
    }

    /// Only packets that did not come by this interface. Uses the first four registers.
    pub fn not_arriving_by(self, interface: &str) -> Self {
        self.not_by(Load::InputInterface, interface)
    }

    fn not_by(self, direction: Load, interface: &str) -> Self {
        let mut name = [0; 16];
        name[..interface.len()].copy_from_slice(interface.as_bytes());
        self.load(direction, Register(0)).not_equal(Register(0), &name)
    }

    /// Only if the key is in the set.
    pub fn in_set(self, set: &'static str, key: Register) -> Self {
        self.then(Expression::Lookup { set, key, into: None })
    }

    /// Only if the map has the key; loads its data.
    pub fn map(self, set: &'static str, key: Register, into: Register) -> Self {
        self.then(Expression::Lookup { set, key, into: Some(into) })
    }

    /// Follows the verdict that the map has for the key.
    pub fn verdict_map(self, map: &'static str, key: Register) -> Self {
        self.then(Expression::VerdictLookup { map, key })
    }

    /// Ends with a verdict.
    pub fn verdict(self, verdict: Verdict) -> Self {
        self.then(Expression::Verdict(verdict))
    }

    pub(crate) fn encode(&self, attributes: &mut Attributes) {
        const EXPRESSIONS: u16 = 4;
        attributes.nest(EXPRESSIONS, |list| {
            for expression in &self.0 {
                expression.encode(list);
            }
        });
    }
}
