//! Objects in the forms that watchers want, each made once however many watchers there are.
//!
//! What is stored needs no form: only other encodings and metadata come here. All watchers ask for an event at about the
//! same time, so that remembering the last few is enough; one that comes late makes its own again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use machinery::Status;
use machinery::table::MetaVersion;

use super::{Encoding, Shape, Shaper};

/// How many bytes of forms are remembered.
const CAPACITY: usize = 4 * 1024 * 1024;
/// What a form takes beside its bytes, roughly.
const OVERHEAD: usize = 200;

/// Which form of which version of an object. A revision is one write and so one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FormKey {
    revision: u64,
    moment: Moment,
    type_name: &'static str,
    metadata: Option<MetaVersion>,
    encoding: Encoding,
}

/// The state that an event shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Moment {
    /// As it was written.
    After,
    /// As it was before, for those who do not see it afterwards.
    Before,
}

type Made = Result<Bytes, Status>;

/// The forms made last.
#[derive(Default)]
pub(crate) struct Forms(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    slots: HashMap<FormKey, Arc<OnceLock<Made>>>,
    /// The oldest first, with what they take.
    order: VecDeque<(FormKey, usize)>,
    bytes: usize,
}

impl FormKey {
    /// The form in which `shaper` gives the state that was written (or ended) at a revision.
    pub(crate) fn new(shaper: &Shaper, encoding: Encoding, revision: u64, moment: Moment) -> FormKey {
        let metadata = if let Shape::Metadata(version) = shaper.shape() { Some(version) } else { None };
        FormKey { revision, moment, type_name: shaper.type_name(), metadata, encoding }
    }
}

impl Forms {
    /// The form, made by whoever asks first; the others wait for it. `size` is about what it will take.
    pub(crate) fn get(&self, key: FormKey, size: usize, make: impl FnOnce() -> Made) -> Made {
        let slot = self.0.lock().unwrap_or_else(PoisonError::into_inner).slot(key, size + OVERHEAD);
        slot.get_or_init(make).clone()
    }
}

impl Remembered {
    fn slot(&mut self, key: FormKey, size: usize) -> Arc<OnceLock<Made>> {
        if let Some(slot) = self.slots.get(&key) {
            return slot.clone();
        }
        let slot = Arc::<OnceLock<Made>>::default();
        self.slots.insert(key, slot.clone());
        self.order.push_back((key, size));
        self.bytes += size;
        while self.bytes > CAPACITY
            && let Some((oldest, size)) = self.order.pop_front()
        {
            self.slots.remove(&oldest);
            self.bytes -= size;
        }
        slot
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn key(revision: u64) -> FormKey {
        FormKey {
            revision,
            moment: Moment::After,
            type_name: "io.k8s.api.core.v1.Pod",
            metadata: None,
            encoding: Encoding::Protobuf,
        }
    }

    #[test]
    fn a_form_is_made_once_for_all_who_want_it() {
        let (forms, made) = (Forms::default(), Cell::new(0));
        let get = |key| {
            forms.get(key, 10, || {
                made.set(made.get() + 1);
                Ok(Bytes::from(made.get().to_string()))
            })
        };
        assert_eq!((get(key(1)), get(key(1)), get(key(2))), (Ok("1".into()), Ok("1".into()), Ok("2".into())));
        let before = FormKey { moment: Moment::Before, ..key(1) };
        let metadata = FormKey { metadata: Some(MetaVersion::V1), ..key(1) };
        assert_eq!(
            (get(before), get(metadata), get(key(1))),
            (Ok("3".into()), Ok("4".into()), Ok("1".into()))
        );
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let forms = Forms::default();
        for revision in 0..100 {
            drop(forms.get(key(revision), CAPACITY / 10, || Ok(Bytes::new())));
        }
        let remembered = forms.0.lock().unwrap();
        assert!(remembered.slots.len() == remembered.order.len() && remembered.bytes <= CAPACITY);
        assert!(remembered.slots.contains_key(&key(99)) && !remembered.slots.contains_key(&key(0)));
    }
}
