//! What a difference means: agreed on in the case, or a fault; and whether what was agreed on still holds.

use super::answer::Answer;
use super::case::{Case, Step};
use super::difference::{self, Difference};
use super::record::Recording;
use super::revisions::Revisions;

/// What came of a case.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Differences that nobody has agreed on, and agreements that no longer hold; each ready to be printed.
    pub faults: Vec<String>,
    /// Differences that wait for a capability, each as the case explains it.
    pub known: Vec<String>,
    /// Differences that are meant, each as the case explains it.
    pub meant: Vec<String>,
}

/// Compares what a server answered with what stock answered.
#[must_use]
pub fn judge(case: &Case, stock: &[Recording], ours: &[Answer]) -> Verdict {
    let mut verdict = Verdict::default();
    if stock.len() != case.steps.len() {
        verdict.faults.push(format!(
            "{}: {} steps, {} recorded answers: record anew with conformance/compare --record {}",
            case.topic,
            case.steps.len(),
            stock.len(),
            case.topic
        ));
        return verdict;
    }
    let (mut stock_revisions, mut own_revisions) = (Revisions::default(), Revisions::default());
    for (at, (step, answer)) in case.steps.iter().zip(ours).enumerate() {
        let expected = stock_revisions.placed(at, &stock[at].answer);
        let answer = own_revisions.placed(at, answer);
        let shown = format!("{} {at}: {}", case.topic, step.request);
        if !stock[at].is_of(step) {
            verdict.faults.push(format!("{shown}\n  changed since it was recorded"));
            continue;
        }
        let mut differences = difference::between(&expected, &answer);
        if step.part {
            differences.retain(|difference| difference.ours.is_some());
        }
        verdict.step(step, &shown, &differences);
    }
    verdict
}

impl Verdict {
    fn step(&mut self, step: &Step, shown: &str, differences: &[Difference]) {
        let agreed = || step.known.keys().chain(step.meant.keys());
        let lies_in = |difference: &Difference, place: &str| {
            difference.at.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let unexpected: Vec<String> = differences
            .iter()
            .filter(|difference| !agreed().any(|place| lies_in(difference, place)))
            .map(|difference| format!("  {difference}"))
            .collect();
        if !unexpected.is_empty() {
            self.faults.push(format!("{shown}\n{}", unexpected.join("\n")));
        }
        for (list, places) in [(&mut self.known, &step.known), (&mut self.meant, &step.meant)] {
            for (place, why) in places {
                if differences.iter().any(|difference| lies_in(difference, place)) {
                    list.push(format!("{shown}: {place}: {why}"));
                } else {
                    self.faults.push(format!(
                        "{shown}\n  {place} no longer differs: take it out of the case ({why})"
                    ));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;

    fn verdict(agreed: Value, ours: Value) -> Verdict {
        let step: Step = serde_json::from_value(json!({"do": "GET /x", "known": agreed})).unwrap();
        let answer = |body| Answer { status: 200, headers: BTreeMap::new(), body };
        let recording = Recording::new(&step, answer(json!({"a": 1, "b": {"c": 2}})));
        let case = Case { topic: "topic".to_owned(), steps: vec![step] };
        judge(&case, &[recording], &[answer(ours)])
    }

    #[test]
    fn only_what_is_agreed_on_may_differ_and_must() {
        let same = verdict(json!({}), json!({"a": 1, "b": {"c": 2}}));
        assert!(same.faults.is_empty() && same.known.is_empty());
        let fault = verdict(json!({}), json!({"a": 2, "b": {"c": 2}}));
        assert!(fault.faults[0].contains("body/a"), "{fault:?}");
        let known = verdict(json!({"body/b": "later"}), json!({"a": 1, "b": {"c": 3}}));
        assert!(known.faults.is_empty() && known.known == ["topic 0: GET /x: body/b: later"], "{known:?}");
        let mended = verdict(json!({"body/b": "later"}), json!({"a": 1, "b": {"c": 2}}));
        assert!(mended.faults[0].contains("no longer differs"), "{mended:?}");
    }
}
