//! The items of a list that were made to learn how large it is.

use machinery::Status;

use crate::verbs::list::items::Items;

/// How many bytes of items are held; most lists are smaller.
const MOST: usize = 1024 * 1024;
/// Other requests get a turn after so many bytes.
const TURN: usize = 256 * 1024;

/// The first items of a list, and the size of all.
#[derive(Default)]
pub(super) struct Held {
    pub(super) items: Vec<u8>,
    /// Whether these are all.
    pub(super) are_all: bool,
    pub(super) size: usize,
}

impl Held {
    /// Makes every item once, and goes back to the first one that is not held.
    pub(super) async fn measure(items: &mut Items) -> Result<Held, Status> {
        let mut held = Held::default();
        loop {
            let enough = MOST.min(held.items.len() + TURN);
            held.are_all = items.fill(&mut held.items, enough)?;
            if held.are_all || held.items.len() >= MOST {
                break;
            }
            tokio::task::yield_now().await;
        }
        held.size = held.items.len();
        let place = items.place();
        let (mut is_last, mut others) = (held.are_all, Vec::new());
        while !is_last {
            tokio::task::yield_now().await;
            others.clear();
            is_last = items.fill(&mut others, TURN)?;
            held.size += others.len();
        }
        items.go_back(place);
        Ok(held)
    }
}
