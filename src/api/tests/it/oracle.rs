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

use std::collections::BTreeSet;

use coxswain_api::{Descriptor, bodies, builtin};

use generate::Generator;
use pool::Pool;
use report::Report;
use upstream::{Ask, Question};

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

/// Every name that some kind selects by, and some that none does.
fn labels() -> BTreeSet<String> {
    let mut labels: BTreeSet<String> = builtin()
        .iter()
        .flat_map(|kind| kind.selectable_fields().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let others = [
        "",
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "metadata.labels",
        "name",
        "spec.host",
        "status.podIPs",
        "spec.replicas",
        "status.replicas",
        "source",
        "reportingComponent",
        "regarding.name",
        "deprecatedSource.component",
    ];
    labels.extend(others.map(str::to_owned));
    labels
}

#[test]
fn fields_are_selected_by_as_upstream() {
    let program = upstream::Program::build();
    let mut wrong = vec![];
    for kind in builtin().into_iter().filter(|kind| kind.verbs.iter().any(|verb| verb == "list")) {
        let labels = labels();
        let ask =
            |label: &String| Question { object: label.clone().into(), ..Question::new(Ask::Label, &kind) };
        let theirs = program.ask(&labels.iter().map(ask).collect::<Vec<_>>());
        for (label, theirs) in labels.iter().zip(theirs) {
            let theirs = theirs.warnings.first().cloned().ok_or(theirs.undecodable);
            let ours = ours::label(&kind, label);
            if ours != theirs {
                wrong.push(format!("{kind:?} {label:?}\n  ours: {ours:?}\n  upstream: {theirs:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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
        report.begin(&kind);
        for (question, theirs) in questions.iter().zip(&theirs) {
            let ours = ours::answer(&kind, question);
            report.count(question, theirs);
            report.add(&kind, question, compare::differences(&ours, theirs));
        }
    }
    println!("{report}");
    assert!(report.is_empty(), "upstream answers otherwise; see above");
}
