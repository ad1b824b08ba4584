//! Questions about a kind: valid objects with a few changes each, some of them with parts of fuzzed objects.

use coxswain_api::Descriptor;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::Value;

use super::mutate::{Limits, mutate};
use super::ours;
use super::pool::{Parts, Pool};
use super::upstream::{Ask, Question};

/// Makes the questions about one kind.
pub(super) struct Generator<'a> {
    kind: &'a Descriptor,
    pool: &'a Pool,
    fuzzed: Parts,
    rng: StdRng,
}

impl<'a> Generator<'a> {
    pub(super) fn new(kind: &'a Descriptor, pool: &'a Pool, fuzzed: &[Value], seed: u64) -> Generator<'a> {
        let mut parts = Parts::default();
        fuzzed.iter().for_each(|object| parts.add(object, kind.schema));
        let name: u64 = kind.gvk.to_string().bytes().map(u64::from).sum();
        Generator { kind, pool, fuzzed: parts, rng: StdRng::seed_from_u64(seed * 7919 + name) }
    }

    /// As many questions as wanted about creating, and half as many about updating where the kind can be updated. The
    /// first ones are about the valid objects as they are.
    pub(super) fn questions(mut self, count: usize) -> Vec<Question> {
        let valid = self.pool.objects(self.kind);
        let plain = valid.iter().take(count).map(|object| self.question(Ask::Create, object.clone()));
        let mut questions: Vec<Question> = plain.collect();
        while questions.len() < count {
            let sent = self.sent(false);
            questions.push(self.question(Ask::Create, sent));
        }
        let updates = self.kind.verbs.iter().any(|verb| verb == "update");
        while updates && questions.len() < count + count / 2 {
            questions.extend(self.update());
        }
        questions
    }

    fn question(&self, ask: Ask, mut object: Value) -> Question {
        if self.kind.verbs == ["create"]
            && let Some(review) = object.as_object_mut()
        {
            // The server's to fill in, whatever was sent.
            review.remove("status");
        }
        Question { object, ..Question::new(ask, self.kind) }
    }

    /// A new object: half of them valid however much they were changed, the others changed without regard to that.
    fn sent(&mut self, keep_name: bool) -> Value {
        let mut sent = self.valid();
        if self.rng.random_bool(0.5) {
            self.change(&mut sent, "", keep_name);
            return sent;
        }
        for _ in 0..self.rng.random_range(1..6) {
            let mut changed = sent.clone();
            self.change(&mut changed, "", keep_name);
            if ours::accepts(self.kind, &self.question(Ask::Create, changed.clone())) {
                sent = changed;
            }
        }
        sent
    }

    /// An update of an object or of a subresource. What is updated was valid mostly, or what older servers may have taken.
    fn update(&mut self) -> Option<Question> {
        let old = if self.rng.random_bool(0.5) { self.valid() } else { self.sent(true) };
        if self.kind.gvk.group == "apps" && old.pointer("/spec/selector").is_none_or(Value::is_null) {
            // No server ever took one.
            return None;
        }
        let mut new = ours::stored(self.kind, &old)?;
        let (ask, within) = match self.rng.random_range(0..10) {
            0..3 if ours::has_status(self.kind) => (Ask::Status, "/status"),
            3..6 if ours::has_approval(self.kind) => (Ask::Approval, "/status"),
            _ => (Ask::Update, ""),
        };
        let within = if self.rng.random_bool(0.8) { within } else { "" };
        let keeps_valid = self.rng.random_bool(0.5);
        for _ in 0..if keeps_valid { self.rng.random_range(1..6) } else { 1 } {
            let mut changed = new.clone();
            self.change(&mut changed, within, true);
            let question = Question { old: old.clone(), ..self.question(ask, changed) };
            if !keeps_valid || ours::accepts(self.kind, &question) {
                new = question.object;
            }
        }
        Some(Question { old, ..self.question(ask, new) })
    }

    fn valid(&mut self) -> Value {
        self.pool.objects(self.kind).choose(&mut self.rng).expect("every kind has a valid object").clone()
    }

    fn change(&mut self, object: &mut Value, within: &'static str, keep_name: bool) {
        let keep_namespace = keep_name || !self.kind.namespaced;
        let limits = Limits { within, keep_name, keep_namespace };
        let times = *[1, 1, 1, 2, 2, 3].choose(&mut self.rng).expect("not empty");
        for _ in 0..times {
            let parts = if self.rng.random_bool(0.15) { &self.fuzzed } else { &self.pool.parts };
            mutate(object, self.kind.schema, parts, limits, &mut self.rng);
        }
        if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut)
            && !self.kind.namespaced
        {
            // The request's path has none, whatever the body says.
            meta.remove("namespace");
        }
    }
}
