//! The types that have one form in JSON and another in protobuf: quantities, times, numbers or strings, any JSON.

use jiff::{SignedDuration, Timestamp};

use super::decode::{deeper, structure};
use super::encode::members;
use super::wire::{Message, Record};
use super::writer::Writer;
use super::{Error, MAGIC, Malformed, decode_at};
use crate::gvk::GroupVersionKind;
use crate::json::{self, Tree};
use crate::quantity::Quantity;
use crate::schema::{Shape, json_schema, time};

/// The second that Go's zero time is; it stands for no time.
const ZERO_SECOND: i64 = -62_135_596_800;
/// The last second that RFC 3339 can say.
const LAST_SECOND: i64 = 253_402_300_799;
const NANOS_PER_SECOND: i128 = 1_000_000_000;
const NANOS_PER_MICRO: i64 = 1_000;

/// Reads a value of one of these shapes, `depth` levels below the object.
pub(super) fn decode<'a>(message: &Message<'a>, shape: &Shape, depth: usize) -> Result<Tree<'a>, Malformed> {
    match shape {
        Shape::Quantity => quantity(message),
        Shape::IntOrString => int_or_string(message),
        Shape::Time => moment(message, WHOLE_SECONDS, time::seconds),
        Shape::MicroTime => moment(message, WHOLE_MICROSECONDS, time::microseconds),
        Shape::Any("v1.JSONSchemaPropsOrArray") => schema_or_array(message, depth),
        Shape::Any("v1.JSONSchemaPropsOrBool") => schema_or_bool(message, depth),
        Shape::Any("v1.JSONSchemaPropsOrStringArray") => schema_or_strings(message, depth),
        _ => raw(message, depth),
    }
}

/// Writes the fields of a value of one of these shapes; `None` is the zero value.
pub(super) fn encode(tree: Option<&Tree<'_>>, shape: &Shape, writer: &mut Writer) {
    match shape {
        Shape::Quantity => writer.string(1, &canonical_quantity(tree)),
        Shape::IntOrString => {
            let text = tree.and_then(Tree::as_str);
            writer.int(1, i64::from(text.is_some()));
            writer.int(2, tree.and_then(Tree::as_i64).unwrap_or_default());
            writer.string(3, text.unwrap_or_default());
        }
        Shape::Time => write_moment(tree, WHOLE_SECONDS, writer),
        Shape::MicroTime => write_moment(tree, WHOLE_MICROSECONDS, writer),
        Shape::Any("v1.JSONSchemaPropsOrArray") => match tree {
            Some(Tree::Array(items)) => items.iter().for_each(|item| write_schema(2, item, writer)),
            Some(tree) => write_schema(1, tree, writer),
            None => {}
        },
        Shape::Any("v1.JSONSchemaPropsOrBool") => match tree {
            Some(schema @ Tree::Object(_)) => {
                writer.varint(1, 1);
                write_schema(2, schema, writer);
            }
            _ => writer.varint(1, u64::from(tree.and_then(Tree::as_bool).unwrap_or_default())),
        },
        Shape::Any("v1.JSONSchemaPropsOrStringArray") => match tree {
            Some(Tree::Array(items)) => {
                items.iter().filter_map(Tree::as_str).for_each(|item| writer.string(2, item));
            }
            Some(tree) => write_schema(1, tree, writer),
            None => {}
        },
        _ => {
            if let Some(tree) = tree {
                writer.bytes(1, &tree.to_vec());
            }
        }
    }
}

fn quantity(message: &Message<'_>) -> Result<Tree<'static>, Malformed> {
    let text = message.last_string(1, "string")?.unwrap_or("0");
    let quantity = Quantity::parse(text).map_err(|error| Malformed::Value(error.to_string()))?;
    Ok(Tree::from(quantity.to_string()))
}

fn canonical_quantity(tree: Option<&Tree<'_>>) -> String {
    let text = tree.map(|tree| tree.as_str().map_or_else(|| tree.to_string(), str::to_owned));
    text.and_then(|text| Quantity::parse(text.trim()).ok()).unwrap_or_default().to_string()
}

fn int_or_string<'a>(message: &Message<'a>) -> Result<Tree<'a>, Malformed> {
    match message.last_varint(1, "type")?.unwrap_or_default() {
        0 => {
            let number = message.last_varint(2, "intVal")?.unwrap_or_default();
            Ok(Tree::Int(i64::from(number as i32)))
        }
        1 => Ok(Tree::from(message.last_string(3, "strVal")?.unwrap_or_default())),
        _ => Err(Malformed::Value("impossible IntOrString.Type".to_owned())),
    }
}

/// How much of a second a type of time keeps, in nanoseconds.
type Precision = fn(i64) -> i64;

const WHOLE_SECONDS: Precision = |_| 0;
const WHOLE_MICROSECONDS: Precision = |nanos| nanos / NANOS_PER_MICRO * NANOS_PER_MICRO;

fn moment(
    message: &Message<'_>,
    precise: Precision,
    format: fn(Timestamp) -> String,
) -> Result<Tree<'static>, Malformed> {
    let seconds = message.last_varint(1, "seconds")?.unwrap_or_default().cast_signed();
    let nanos = message.last_varint(2, "nanos")?.unwrap_or_default() as i32;
    let nanos = precise(nanos.into());
    if message.is_empty() || (seconds == ZERO_SECOND && nanos == 0) {
        return Ok(Tree::Null);
    }
    let moment = if (ZERO_SECOND..=LAST_SECOND).contains(&seconds) { at(seconds, nanos) } else { None };
    moment
        .map(|moment| Tree::from(format(moment)))
        .ok_or_else(|| Malformed::Value("Time.MarshalJSON: year outside of range [0,9999]".to_owned()))
}

fn at(seconds: i64, nanos: i64) -> Option<Timestamp> {
    Timestamp::from_second(seconds).ok()?.checked_add(SignedDuration::from_nanos(nanos)).ok()
}

/// Writes seconds and nanoseconds. The zero time has neither.
fn write_moment(tree: Option<&Tree<'_>>, precise: Precision, writer: &mut Writer) {
    let Some(moment) = tree.and_then(Tree::as_str).and_then(|text| time::parse(text, false).ok()) else {
        return;
    };
    let nanos = moment.as_nanosecond();
    let whole = |number: i128| i64::try_from(number).expect("a timestamp's seconds have less than 64 bits");
    let (seconds, nanos) =
        (whole(nanos.div_euclid(NANOS_PER_SECOND)), whole(nanos.rem_euclid(NANOS_PER_SECOND)));
    if seconds != ZERO_SECOND || nanos != 0 {
        writer.int(1, seconds);
        writer.int(2, precise(nanos));
    }
}

/// JSON as bytes, or (in a `RawExtension`) another envelope.
fn raw<'a>(message: &Message<'a>, depth: usize) -> Result<Tree<'a>, Malformed> {
    let bytes = message.last_bytes(1, "raw")?.unwrap_or_default();
    if bytes.is_empty() {
        return Ok(Tree::Null);
    }
    if bytes.starts_with(MAGIC) {
        return match decode_at(bytes, &GroupVersionKind::default(), deeper(depth)?) {
            Ok((_, tree)) => Ok(tree),
            Err(Error::Envelope(malformed) | Error::Message(_, malformed)) => Err(malformed),
            Err(unknown @ Error::UnknownKind(_)) => Err(Malformed::Value(unknown.to_string())),
        };
    }
    json::parse(bytes).map(|parsed| parsed.tree).map_err(|error| Malformed::Value(error.to_string()))
}

fn read_schema<'a>(parts: &[Record<'a>], depth: usize) -> Result<Tree<'a>, Malformed> {
    structure(parts, json_schema(), "schema", deeper(depth)?)
}

fn write_schema(number: u32, tree: &Tree<'_>, writer: &mut Writer) {
    writer.message(number, |writer| members(Some(tree), json_schema(), writer));
}

fn schema_or_array<'a>(message: &Message<'a>, depth: usize) -> Result<Tree<'a>, Malformed> {
    match (message.all(1), message.all(2)) {
        ([], []) => Ok(Tree::Null),
        (schema, []) => read_schema(schema, depth),
        (_, several) => {
            let schemas = several.iter().map(|one| read_schema(std::slice::from_ref(one), depth));
            schemas.collect::<Result<_, _>>().map(Tree::Array)
        }
    }
}

fn schema_or_bool<'a>(message: &Message<'a>, depth: usize) -> Result<Tree<'a>, Malformed> {
    match message.all(2) {
        [] => Ok(Tree::Bool(message.last_varint(1, "allows")?.unwrap_or_default() != 0)),
        schema => read_schema(schema, depth),
    }
}

fn schema_or_strings<'a>(message: &Message<'a>, depth: usize) -> Result<Tree<'a>, Malformed> {
    match (message.all(1), message.all(2)) {
        ([], []) => Ok(Tree::Null),
        (schema, []) => read_schema(schema, depth),
        (_, strings) => {
            let strings = strings.iter().map(|one| one.string("property").map(Tree::from));
            strings.collect::<Result<_, _>>().map(Tree::Array)
        }
    }
}
