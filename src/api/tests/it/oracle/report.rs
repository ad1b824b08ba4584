//! What was asked and what differs, counted.

use std::collections::BTreeMap;
use std::fmt;

use coxswain_api::Descriptor;

use super::compare::Difference;
use super::explained::{self, Known};
use super::upstream::{Ask, Question};

#[derive(Default)]
struct Sort {
    count: usize,
    is_open: bool,
    example: String,
    question: String,
}

/// Counts by kind, and every sort of difference by (kind, question, sort).
#[derive(Default)]
pub(super) struct Report {
    asked: Vec<(String, usize)>,
    sorts: BTreeMap<(String, Ask, String), Sort>,
    meant: usize,
    open: usize,
    unknown: usize,
}

impl Report {
    pub(super) fn ran(&mut self, kind: &Descriptor, questions: usize) {
        self.asked.push((kind.gvk.to_string(), questions));
    }

    pub(super) fn add(&mut self, kind: &Descriptor, question: &Question, differences: Vec<Difference>) {
        for Difference { sort, example } in differences {
            let known = explained::known(&kind.gvk.kind, &sort);
            if matches!(known, Some(Known::Meant)) {
                self.meant += 1;
                continue;
            }
            let is_open = known.is_some();
            let counter = if is_open { &mut self.open } else { &mut self.unknown };
            *counter += 1;
            let entry = self.sorts.entry((kind.gvk.to_string(), question.ask, sort)).or_default();
            entry.count += 1;
            entry.is_open = is_open;
            if entry.count == 1 {
                entry.example = example;
                entry.question = serde_json::to_string(question).expect("a question is plain data");
            }
        }
    }

    /// Whether nothing differs but what is known to.
    pub(super) fn is_empty(&self) -> bool {
        self.unknown == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shows_questions = std::env::var_os("ORACLE_SHOW").is_some();
        for (kind, asked) in &self.asked {
            let mut sorts: Vec<_> = self.sorts.iter().filter(|((of, ..), _)| of == kind).collect();
            sorts.sort_by_key(|(_, sort)| std::cmp::Reverse(sort.count));
            let all: usize = sorts.iter().map(|(_, sort)| sort.count).sum();
            writeln!(f, "== {kind}: {asked} objects, {all} differences of {} sorts", sorts.len())?;
            for ((_, ask, name), sort) in sorts {
                let open = if sort.is_open { " (open)" } else { "" };
                writeln!(f, "{:6}  {ask:?}  {name}{open}\n        {}", sort.count, sort.example)?;
                if shows_questions {
                    writeln!(f, "        {}", sort.question)?;
                }
            }
        }
        let Report { meant, open, unknown, .. } = self;
        writeln!(f, "{meant} differences are meant, {open} known and open, {unknown} new")
    }
}
