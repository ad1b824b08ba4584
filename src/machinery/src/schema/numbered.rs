//! A type's fields in the order in which protobuf has them.

use super::{Field, Type};

/// A place in a message.
#[derive(Debug)]
pub(crate) enum Numbered {
    /// One of the type's fields, by its place among them.
    Field(usize),
    /// An embedded struct, which is a message of this number and holds these.
    Embedded(u32, Box<[Numbered]>),
}

/// The fields of a type that are in protobuf, by number, and within embedded structs by theirs.
pub(super) fn of(fields: &[Field]) -> Box<[Numbered]> {
    level(fields, (0..fields.len()).collect(), 0)
}

/// Orders fields that have their first `depth` embedded structs in common.
fn level(fields: &[Field], mut places: Vec<usize>, depth: usize) -> Box<[Numbered]> {
    let embedded = |place: usize| fields[place].within.get(depth);
    let number = |place: usize| embedded(place).map_or(fields[place].number, |embedded| embedded.number);
    places.sort_by_key(|place| number(*place));
    // What has no number is not in protobuf.
    let numbered = places.partition_point(|place| number(*place) == 0);
    let groups = places[numbered..].chunk_by(|a, b| number(*a) == number(*b));
    let slot = |group: &[usize]| match embedded(group[0]) {
        Some(embedded) => Numbered::Embedded(embedded.number, level(fields, group.to_vec(), depth + 1)),
        None => Numbered::Field(group[0]),
    };
    groups.map(slot).collect()
}

impl Type {
    /// The fields that are in protobuf, in its order.
    pub(crate) fn by_number(&self) -> &[Numbered] {
        self.by_number.get_or_init(|| of(&self.fields))
    }
}
