//! A small nf_tables netlink encoder: tables, chains, sets, maps and rules in atomic transactions.
//!
//! A caller fills a [`Batch`] and commits it over a [`Socket`]; the kernel takes all of it or nothing. Input is typed
//! ([`Set`], [`Rule`], [`Element`]), output is bytes as in `linux/netfilter/nf_tables.h`. Knows no services and no pods,
//! reads nothing back, and never runs `nft`: tests do, to compare.

mod batch;
mod chain;
mod element;
mod expression;
mod load;
mod rule;
mod set;

mod attributes;
mod dump;
mod socket;

pub use batch::Batch;
pub use chain::{Chain, Hook, HookType};
pub use element::{Concat, Element, Value, Verdict};
pub use expression::{Comparison, Expression, Reject};
pub use load::{Load, Register};
pub use rule::Rule;
pub use set::{DataType, Set, SetValue};
pub use socket::Socket;

pub(crate) use attributes::{Attributes, Header, find};
pub(crate) use dump::elements;
pub(crate) use socket::exchange;

#[cfg(test)]
mod tests;
