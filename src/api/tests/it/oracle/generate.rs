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

    /// As many questions as wanted: half of them about creating, the others about updating. The first ones are about
    /// the valid objects as they are.
    pub(super) fn questions(mut self, count: usize) -> Vec<Question> {
        let valid = self.pool.objects(self.kind);
        let plain = valid.iter().take(count).map(|object| self.question(Ask::Create, object.clone()));
        let mut questions: Vec<Question> = plain.collect();
        while questions.len() < count {
            let question = self.next();
            questions.push(question);
        }
        questions
    }

    fn question(&self, ask: Ask, object: Value) -> Question {
        Question { object, ..Question::new(ask, self.kind) }
    }

    fn next(&mut self) -> Question {
        let mut sent = self.valid();
        let updates = self.kind.verbs.iter().any(|verb| verb == "update");
        if !updates || self.rng.random_bool(0.5) {
            self.change(&mut sent, "", false);
            return self.question(Ask::Create, sent);
        }
        if self.rng.random_bool(0.3) {
            self.change(&mut sent, "", true);
        }
        let Some(mut new) = ours::stored(self.kind, &sent) else { return self.question(Ask::Create, sent) };
        let about_status = ours::has_status(self.kind) && self.rng.random_bool(0.3);
        let (ask, within) = if about_status { (Ask::Status, "/status") } else { (Ask::Update, "") };
        let within = if self.rng.random_bool(0.8) { within } else { "" };
        self.change(&mut new, within, true);
        Question { old: sent, ..self.question(ask, new) }
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
