//! What our kinds make of generated objects beside what upstream's own code makes of them (`hack/schema/policy`):
//! defaults, preparation, every validation error as a client sees it, warnings, the row of the table.
//!
//! The run is as large as the environment says: `ORACLE_KIND` (a kind, or a prefix of kinds' names), `ORACLE_OBJECTS` (per kind),
//! `ORACLE_SEED`; `conformance/oracle` sets them. What differs is printed by kind, question, field and message, most
//! frequent first; what is meant to differ stands in [`explained`].

mod compare;
mod explained;
mod generate;
mod mutate;
mod ours;
mod pool;
mod report;
mod upstream;
mod values;

use coxswain_api::{Descriptor, bodies, builtin};

use generate::Generator;
use pool::Pool;
use report::Report;

/// Objects per kind where nobody says how many.
const FEW: usize = 60;

fn variable<T: std::str::FromStr>(name: &str, otherwise: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn kinds() -> Vec<Descriptor> {
    let wanted: String = variable("ORACLE_KIND", String::new());
    let mut kinds = [builtin(), bodies()].concat();
    kinds.retain(|kind| kind.gvk.kind.starts_with(&wanted));
    kinds
}

#[test]
fn generated_objects_fare_as_upstream() {
    let (objects, seed) = (variable("ORACLE_OBJECTS", FEW), variable("ORACLE_SEED", 1));
    let pool = Pool::new();
    let program = upstream::Program::build();
    let mut report = Report::default();
    for kind in kinds() {
        let fuzzed = program.fuzz(&kind, seed, (objects / 10).max(1));
        let questions = Generator::new(&kind, &pool, &fuzzed, seed).questions(objects);
        let theirs = program.ask(&questions);
        for (question, theirs) in questions.iter().zip(&theirs) {
            let ours = ours::answer(&kind, question);
            report.add(&kind, question, compare::differences(&ours, theirs));
        }
        report.ran(&kind, questions.len());
    }
    println!("{report}");
    assert!(report.is_empty(), "upstream answers otherwise; see above");
}
