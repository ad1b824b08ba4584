//! What was asked and what differs, counted.

use std::collections::BTreeMap;
use std::fmt;

use coxswain_api::Descriptor;

use super::compare::Difference;
use super::explained::{self, Known};
use super::upstream::{Answer, Ask, Question};

#[derive(Default)]
struct Sort {
    count: usize,
    is_open: bool,
    example: String,
    question: String,
}

/// How many questions of each sort were asked about a kind, and how many of the objects upstream took.
#[derive(Default)]
struct Asked {
    kind: String,
    creates: [usize; 2],
    updates: [usize; 2],
    subresources: [usize; 2],
    meant: usize,
    open: usize,
    unknown: usize,
}

/// Counts by kind, and every sort of difference by (kind, question, sort).
#[derive(Default)]
pub(super) struct Report {
    asked: Vec<Asked>,
    sorts: BTreeMap<(String, Ask, String), Sort>,
}

impl Report {
    pub(super) fn begin(&mut self, kind: &Descriptor) {
        self.asked.push(Asked { kind: kind.gvk.to_string(), ..Asked::default() });
    }

    /// Counts a question about the kind that was begun last.
    pub(super) fn count(&mut self, question: &Question, theirs: &Answer) {
        let asked = self.asked.last_mut().expect("a kind was begun");
        let [all, taken] = match question.ask {
            Ask::Create => &mut asked.creates,
            Ask::Update => &mut asked.updates,
            _ => &mut asked.subresources,
        };
        *all += 1;
        *taken += usize::from(theirs.undecodable.is_empty() && theirs.status.is_null());
    }

    pub(super) fn add(&mut self, kind: &Descriptor, question: &Question, differences: Vec<Difference>) {
        let asked = self.asked.last_mut().expect("a kind was begun");
        for Difference { sort, example } in differences {
            let known = explained::known(&kind.gvk.kind, &sort);
            if matches!(known, Some(Known::Meant)) {
                asked.meant += 1;
                continue;
            }
            let is_open = known.is_some();
            let counter = if is_open { &mut asked.open } else { &mut asked.unknown };
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
        self.asked.iter().all(|asked| asked.unknown == 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shows_questions = std::env::var_os("ORACLE_SHOW").is_some();
        for asked in &self.asked {
            let mut sorts: Vec<_> = self.sorts.iter().filter(|((of, ..), _)| *of == asked.kind).collect();
            sorts.sort_by_key(|(_, sort)| std::cmp::Reverse(sort.count));
            if !sorts.is_empty() {
                writeln!(f, "== {}", asked.kind)?;
            }
            for ((_, ask, name), sort) in sorts {
                let open = if sort.is_open { " (open)" } else { "" };
                writeln!(f, "{:6}  {ask:?}  {name}{open}\n        {}", sort.count, sort.example)?;
                if shows_questions {
                    writeln!(f, "        {}", sort.question)?;
                }
            }
        }
        writeln!(
            f,
            "| kind | created | taken | updated | taken | parts updated | taken | meant | open | new |"
        )?;
        writeln!(f, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
        for Asked { kind, creates, updates, subresources, meant, open, unknown } in &self.asked {
            let counts = [creates, updates, subresources].map(|[all, taken]| format!("{all} | {taken}"));
            writeln!(f, "| {kind} | {} | {meant} | {open} | {unknown} |", counts.join(" | "))?;
        }
        Ok(())
    }
}
