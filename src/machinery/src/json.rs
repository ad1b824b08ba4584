//! JSON as a tree of vectors that borrows from its input.
//!
//! A request's body is parsed into a [`Tree`] once; the schema is walked on it, patches are applied to it, typed objects
//! are made from it and its bytes are written from it. Object members keep their order. Knows no Kubernetes types.

mod de;
mod escape;
mod number;
mod object;
mod parse;
mod ser;
mod tree;
mod write;

pub use de::{Error, from_tree};
pub use escape::quoted;
pub(crate) use escape::write_string;
pub(crate) use number::write_float;
pub use object::Object;
pub(crate) use parse::LARGE;
pub use parse::{MAX_DEPTH, ParseError, Parsed, parse, parse_struct};
pub use ser::{SerializeError, to_tree};
pub use tree::Tree;

#[cfg(test)]
mod tests;
