//! Upstream's judge: the Go program `hack/schema/policy`, built once, asked in lines of JSON.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use coxswain_api::Descriptor;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is done with the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Ask {
    /// It is created.
    Create,
    /// It replaces `old`.
    Update,
    /// Its status replaces that of `old`.
    Status,
    /// It approves or denies `old`.
    Approval,
    /// Whether a request may select by the field that the object names.
    Label,
    /// One is made by upstream's fuzzer.
    Fuzz,
}

/// A line of input.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Question {
    pub(super) ask: Ask,
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) object: Value,
    /// What was sent to create the object that is updated.
    pub(super) old: Value,
    pub(super) seed: u64,
}

impl Question {
    pub(super) fn new(ask: Ask, kind: &Descriptor) -> Question {
        let (api_version, kind) = (kind.gvk.api_version(), kind.gvk.kind.clone());
        Question { ask, api_version, kind, object: Value::Null, old: Value::Null, seed: 0 }
    }
}

/// A line of output, and the same of ours.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Answer {
    /// Why the object could not be read.
    pub(super) undecodable: String,
    /// The object as it would be stored.
    pub(super) object: Value,
    /// The refusal; null where there is none.
    pub(super) status: Value,
    /// Whether the order of the causes or warnings is chance.
    pub(super) unordered: bool,
    pub(super) warnings: Vec<String>,
    pub(super) columns: Vec<Column>,
    pub(super) cells: Vec<Value>,
    /// What selectors may ask of the object.
    pub(super) fields: BTreeMap<String, String>,
    /// The object's message, in base64.
    pub(super) protobuf: String,
    /// Upstream's code panicked.
    pub(super) panic: String,
}

/// A column without its description, which is ours to word.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(super) struct Column {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) type_: String,
    pub(super) format: String,
    pub(super) priority: i32,
}

/// The built program.
pub(super) struct Program(PathBuf);

impl Program {
    pub(super) fn build() -> Program {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("policy");
        let target = path.to_str().expect("the target directory has a plain name");
        testing::upstream::run("go", &["build", "-p", "2", "-o", target, "./policy"]);
        Program(path)
    }

    /// Asks all of it in one run.
    pub(super) fn ask(&self, questions: &[Question]) -> Vec<Answer> {
        let child = Command::new(&self.0).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("the program was just built");
        let mut input = child.stdin.take().expect("its input is a pipe");
        let lines: String = questions
            .iter()
            .map(|one| serde_json::to_string(one).expect("a question is plain data") + "\n")
            .collect();
        let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
        let output = child.wait_with_output().expect("it ends with its input");
        writer.join().expect("writing does not panic").expect("it reads all of its input");
        assert!(output.status.success());
        let answers: Vec<Answer> = serde_json::Deserializer::from_slice(&output.stdout)
            .into_iter()
            .map(|line| line.expect("every line is an answer"))
            .collect();
        assert_eq!(answers.len(), questions.len());
        answers
    }

    /// Objects of upstream's fuzzer.
    pub(super) fn fuzz(&self, kind: &Descriptor, seed: u64, count: usize) -> Vec<Value> {
        let first = seed * 1_000_003;
        let question = |seed| Question { seed, ..Question::new(Ask::Fuzz, kind) };
        let questions: Vec<Question> = (first..first + count as u64).map(question).collect();
        self.ask(&questions).into_iter().map(|answer| answer.object).collect()
    }
}
