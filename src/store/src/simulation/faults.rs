//! The named points at which the simulated system fails, and how.

use rand::Rng;
use rand::rngs::StdRng;

/// What the engine asks the system for, by what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Point {
    /// The journal's directory is made, and made durable.
    MakeDirectory,
    KeepDirectory,
    /// A file of the journal is begun, and its name made durable.
    Begin,
    KeepBegun,
    /// Zeros are written ahead of what is to be written.
    Fill,
    /// A batch is written, and made durable.
    Append,
    Sync,
    /// A finished file is cut off behind its last batch, and made durable.
    Shorten,
    Finish,
    /// A layer becomes a table.
    Ingest,
    /// A file of the journal that tables repeat is removed, durably.
    Remove,
    KeepRemoved,
    /// What was found is written into a new file.
    BeginAdopted,
    WriteAdopted,
    SyncAdopted,
    /// That file takes the old one's place, durably.
    Adopt,
    KeepAdopted,
    /// What is torn is kept in a file of its own.
    BeginTorn,
    WriteTorn,
    SyncTorn,
    KeepTorn,
    /// The acknowledgement mark is written, and made durable.
    Mark,
    SyncMark,
}

/// What happens while the store serves. What makes torn tails is there more often.
const SERVING: [Point; 16] = [
    Point::Begin,
    Point::KeepBegun,
    Point::Fill,
    Point::Append,
    Point::Append,
    Point::Append,
    Point::Append,
    Point::Sync,
    Point::Sync,
    Point::Sync,
    Point::Shorten,
    Point::Finish,
    Point::Ingest,
    Point::Remove,
    Point::KeepRemoved,
    Point::Mark,
];

/// What happens while it is opened. Torn tails are not met each time.
const OPENING: [Point; 23] = [
    Point::MakeDirectory,
    Point::KeepDirectory,
    Point::Begin,
    Point::KeepBegun,
    Point::BeginAdopted,
    Point::WriteAdopted,
    Point::SyncAdopted,
    Point::Adopt,
    Point::KeepAdopted,
    Point::BeginTorn,
    Point::BeginTorn,
    Point::BeginTorn,
    Point::WriteTorn,
    Point::WriteTorn,
    Point::WriteTorn,
    Point::SyncTorn,
    Point::SyncTorn,
    Point::SyncTorn,
    Point::KeepTorn,
    Point::KeepTorn,
    Point::KeepTorn,
    Point::Mark,
    Point::SyncMark,
];

/// All of them.
pub(super) fn points() -> impl Iterator<Item = Point> {
    SERVING.into_iter().chain(OPENING)
}

/// Those that make something durable without which the store is not what it was. Of the rest, a torn tail and the mark are
/// evidence of losses, and a file that is not cut off ends with zeros.
pub(super) const NEEDED: [Point; 8] = [
    Point::KeepDirectory,
    Point::KeepBegun,
    Point::Sync,
    Point::Finish,
    Point::Ingest,
    Point::KeepRemoved,
    Point::SyncAdopted,
    Point::KeepAdopted,
];

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strike {
    /// The process dies before it is done.
    DiesBefore,
    /// The process dies when a part of it is done.
    DiesWithin,
    /// The process dies when it is done and before anything else.
    DiesAfter,
    /// An error; all of it, a part or nothing is done.
    Fails,
    /// From now on there is no room for anything more.
    IsFull,
    /// It takes its time.
    IsSlow,
}

const STRIKES: [Strike; 6] = [
    Strike::DiesBefore,
    Strike::DiesWithin,
    Strike::DiesAfter,
    Strike::Fails,
    Strike::IsFull,
    Strike::IsSlow,
];

/// A fault that is to come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) point: Point,
    pub(super) strike: Strike,
    /// How many such calls come before it.
    pub(super) calls_before: u32,
}

impl Fault {
    pub(super) fn serving(random: &mut StdRng) -> Self {
        Self::among(&SERVING, random)
    }

    pub(super) fn opening(random: &mut StdRng) -> Self {
        Self { calls_before: 0, ..Self::among(&OPENING, random) }
    }

    fn among(points: &[Point], random: &mut StdRng) -> Self {
        let point = points[random.random_range(0..points.len())];
        let strike = STRIKES[random.random_range(0..STRIKES.len())];
        Self { point, strike, calls_before: random.random_range(0..3) }
    }
}
