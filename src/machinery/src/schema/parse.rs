//! The notation of the facts (it is described in `hack/schema/main.go`). It is our own file, so what it does not say
//! right is a broken invariant.

use std::sync::OnceLock;

use super::{Embedded, Field, ListType, PatchStrategy, Shape, Type, TypeRef};

/// The line that begins a type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) name: &'static str,
    atomic: bool,
}

pub(super) fn head(line: &'static str) -> Head {
    let (name, flag) = line.split_once(' ').unwrap_or((line, ""));
    Head { name, atomic: flag == "atomic" }
}

pub(super) fn type_(head: Head, fields: &'static str) -> Type {
    Type {
        name: head.name,
        atomic: head.atomic,
        fields: fields.lines().map(field).collect(),
        by_number: OnceLock::new(),
    }
}

fn field(line: &'static str) -> Field {
    let mut words = line.split('\t').skip(1);
    let mut next = || words.next().expect("a line has a name, a number and a type");
    let (name, numbers, shape_text) = (next(), next(), next());
    let (within, number) = numbers.rsplit_once('.').unwrap_or(("", numbers));
    let unpointed = shape_text.strip_prefix('*');
    let mut field = Field {
        name,
        number: numeral(number),
        within: within.split_terminator('.').map(embedded).collect(),
        shape: shape(unpointed.unwrap_or(shape_text)),
        pointer: unpointed.is_some(),
        omit_empty: false,
        omit_zero: false,
        required: false,
        default: "",
        allowed: Box::default(),
        list_type: ListType::default(),
        list_map_keys: Box::default(),
        atomic: false,
        patch: PatchStrategy::default(),
        patch_merge_key: "",
    };
    for word in words {
        flag(&mut field, word);
    }
    field
}

fn embedded(text: &'static str) -> Embedded {
    let (name, number) = text.split_once(':').expect("an embedded struct has a name and a number");
    Embedded { name, number: numeral(number) }
}

fn numeral(text: &str) -> u32 {
    text.parse().expect("numbers are numbers")
}

fn flag(field: &mut Field, word: &'static str) {
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    match name {
        "omitempty" => field.omit_empty = true,
        "omitzero" => field.omit_zero = true,
        "required" => field.required = true,
        "atomic" => field.atomic = true,
        "list" => {
            let (kind, keys) = value.split_once(':').unwrap_or((value, ""));
            field.list_type = list_type(kind);
            field.list_map_keys = listed(keys);
        }
        "patch" => field.patch = patch_strategy(value),
        "key" => field.patch_merge_key = value,
        "enum" => field.allowed = listed(value),
        "default" => field.default = value,
        _ => panic!("the facts have an unknown flag {word}"),
    }
}

fn list_type(kind: &str) -> ListType {
    match kind {
        "atomic" => ListType::Atomic,
        "set" => ListType::Set,
        "map" => ListType::Map,
        _ => panic!("the facts have an unknown list type {kind}"),
    }
}

fn patch_strategy(value: &str) -> PatchStrategy {
    let has = |strategy| value.split(',').any(|word| word == strategy);
    PatchStrategy { merge: has("merge"), replace: has("replace"), retain_keys: has("retainKeys") }
}

fn listed(value: &'static str) -> Box<[&'static str]> {
    value.split(',').filter(|word| !word.is_empty()).collect()
}

fn shape(text: &'static str) -> Shape {
    let (inner, rest) = match text.as_bytes()[0] {
        b'[' | b'{' => {
            let end = closing_bracket(text);
            (&text[1..end], &text[end + 1..])
        }
        _ => text.split_at(text.find('=').unwrap_or(text.len())),
    };
    let go_name = rest.strip_prefix('=').unwrap_or("");
    match text.as_bytes()[0] {
        b'[' => Shape::List(Box::new(shape(inner)), go_name),
        b'{' => Shape::Map(Box::new(shape(inner)), go_name),
        _ => leaf(inner, go_name),
    }
}

/// The place of the bracket that closes the one at the beginning. Names of Go types may hold brackets too.
fn closing_bracket(text: &str) -> usize {
    let mut depth = 0;
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return place;
        }
    }
    panic!("the facts have an open bracket in {text}")
}

fn leaf(name: &'static str, go_name: &'static str) -> Shape {
    match name {
        "string" => Shape::String(go_name),
        "bool" => Shape::Bool,
        "int32" => Shape::Int32,
        "int64" => Shape::Int64,
        "float" => Shape::Float,
        "bytes" => Shape::Bytes,
        "quantity" => Shape::Quantity,
        "intorstring" => Shape::IntOrString,
        "time" => Shape::Time,
        "microtime" => Shape::MicroTime,
        "any" => Shape::Any(go_name),
        _ => Shape::Struct(TypeRef::new(name)),
    }
}
