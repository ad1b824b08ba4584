//! The document that a JSON patch changes, with an account of what that costs.

use serde_json::Value;

use super::{Error, measured, missing, steps};
use crate::json::MAX_DEPTH;

/// What `copy` operations may copy together, in bytes of JSON; upstream's limit. Without one, copying a document into
/// itself doubles it with every operation.
const MAX_COPIED: usize = 3 * 1024 * 1024;
/// How many values operations may shift or look through beside those that they hold or copy. A long array costs as much as it
/// has elements with every insertion at its front.
const MAX_MOVED: usize = 50_000_000;

/// A document under change.
pub(super) struct Document {
    root: Value,
    /// At least as many levels as the document has.
    depth: usize,
    copied: usize,
    moved: usize,
}

/// The value that a pointer's last step is in, and that step.
struct Place<'d> {
    parent: &'d mut Value,
    step: String,
}

impl Document {
    pub(super) fn new(root: Value) -> Document {
        let (depth, _) = measured(&root);
        Document { root, depth, copied: 0, moved: 0 }
    }

    pub(super) fn into_value(self) -> Value {
        self.root
    }

    pub(super) fn add(&mut self, path: &str, value: Value) -> Result<(), Error> {
        self.grow(path, measured(&value).0)?;
        self.insert(path, value)
    }

    pub(super) fn remove(&mut self, path: &str) -> Result<(), Error> {
        self.take(path).map(drop)
    }

    pub(super) fn replace(&mut self, path: &str, value: Value) -> Result<(), Error> {
        self.grow(path, measured(&value).0)?;
        if path.is_empty() {
            if !value.is_object() && !value.is_array() {
                return refused("replace operation value must be object or array");
            }
            self.root = value;
            return Ok(());
        }
        let Place { parent, step } = place(&mut self.root, path)?;
        match parent {
            Value::Object(members) => drop(members.insert(step, value)),
            Value::Array(items) => {
                let index = index(&step, items.len())?;
                items[index] = value;
            }
            _ => return Err(missing(path)),
        }
        Ok(())
    }

    pub(super) fn move_to(&mut self, from: &str, path: &str) -> Result<(), Error> {
        let value = self.take(from)?;
        let height = self.height_of_moved(from, path, &value)?;
        self.grow(path, height)?;
        self.insert(path, value)
    }

    pub(super) fn copy_to(&mut self, from: &str, path: &str) -> Result<(), Error> {
        let place = place(&mut self.root, from)?;
        let value = found(&place)?.cloned().unwrap_or_default();
        self.copied += value.to_string().len();
        if self.copied > MAX_COPIED {
            return refused(&format!("the copies of the patch are larger than {MAX_COPIED} bytes"));
        }
        self.grow(path, measured(&value).0)?;
        self.insert(path, value)
    }

    pub(super) fn test(&mut self, path: &str, expected: &Value) -> Result<(), Error> {
        let equal = if path.is_empty() {
            self.root == *expected
        } else {
            *found(&place(&mut self.root, path)?)?.unwrap_or(&Value::Null) == *expected
        };
        if equal { Ok(()) } else { refused(&format!("testing value {path} failed: test failed")) }
    }

    fn insert(&mut self, path: &str, value: Value) -> Result<(), Error> {
        let Place { parent, step } = place(&mut self.root, path)?;
        match parent {
            Value::Object(members) => {
                members.insert(step, value);
                Ok(())
            }
            Value::Array(items) => {
                let len = items.len();
                let index = if step == "-" { len } else { index(&step, len + 1)? };
                items.insert(index, value);
                self.charge(len - index)
            }
            _ => Err(missing(path)),
        }
    }

    fn take(&mut self, path: &str) -> Result<Value, Error> {
        let Place { parent, step } = place(&mut self.root, path)?;
        match parent {
            Value::Object(members) => {
                let unable = || Error::Inapplicable(format!("Unable to remove nonexistent key: {step}"));
                members.remove(&step).ok_or_else(unable)
            }
            Value::Array(items) => {
                let len = items.len();
                let index = index(&step, len)?;
                let value = items.remove(index);
                self.charge(len - index)?;
                Ok(value)
            }
            _ => Err(missing(path)),
        }
    }

    /// Notes that there are `height` levels at a path from now on, if there may be.
    fn grow(&mut self, path: &str, height: usize) -> Result<(), Error> {
        let depth = levels_above(path) + height;
        if depth > MAX_DEPTH {
            return refused("exceeded max depth");
        }
        self.depth = self.depth.max(depth);
        Ok(())
    }

    /// No fewer levels than the value has that was taken from a path. Counting them with every move would be quadratic, so
    /// that what is known of the document has to do as long as it can.
    fn height_of_moved(&mut self, from: &str, path: &str, value: &Value) -> Result<usize, Error> {
        let fits = |height: usize| levels_above(path) + height <= MAX_DEPTH;
        let at_most = self.depth.saturating_sub(levels_above(from));
        if fits(at_most) {
            return Ok(at_most);
        }
        let ((depth, rest), (height, values)) = (measured(&self.root), measured(value));
        self.depth = depth.max(levels_above(from) + height);
        self.charge(rest + values)?;
        Ok(height)
    }

    fn charge(&mut self, moved: usize) -> Result<(), Error> {
        self.moved += moved;
        if self.moved > MAX_MOVED {
            return Err(Error::TooLarge(format!(
                "the operations of the JSON patch move more than {MAX_MOVED} values of the object"
            )));
        }
        Ok(())
    }
}

fn refused<T>(why: &str) -> Result<T, Error> {
    Err(Error::Inapplicable(why.to_owned()))
}

fn levels_above(path: &str) -> usize {
    path.bytes().filter(|byte| *byte == b'/').count()
}

fn place<'d>(root: &'d mut Value, path: &str) -> Result<Place<'d>, Error> {
    let mut steps = steps(path).peekable();
    let (mut parent, mut step) = (root, steps.next().ok_or_else(|| missing(path))?);
    for next in steps {
        parent = match parent {
            Value::Object(members) => members.get_mut(&step),
            Value::Array(items) => {
                let index = index(&step, items.len()).map_err(|_| missing(path))?;
                items.get_mut(index)
            }
            _ => None,
        }
        .ok_or_else(|| missing(path))?;
        step = next;
    }
    Ok(Place { parent, step })
}

/// The value at a place; an object need not have one.
fn found<'p>(place: &'p Place<'_>) -> Result<Option<&'p Value>, Error> {
    match &*place.parent {
        Value::Object(members) => Ok(members.get(&place.step)),
        Value::Array(items) => Ok(items.get(index(&place.step, items.len())?)),
        _ => Err(missing(&place.step)),
    }
}

/// A place in an array of which there are `len`; negative ones count from the end.
fn index(step: &str, len: usize) -> Result<usize, Error> {
    let unfit = |why: &str| Error::Inapplicable(format!("{why}: {step}"));
    let number: i64 = step.parse().map_err(|_| unfit("value was not a proper array index"))?;
    let invalid = || unfit("Unable to access invalid index");
    let wrapped = if number < 0 {
        len.checked_sub(usize::try_from(number.unsigned_abs()).map_err(|_| invalid())?)
    } else {
        usize::try_from(number).ok()
    };
    wrapped.filter(|index| *index < len).ok_or_else(invalid)
}
