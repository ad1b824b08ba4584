//! Stock's answers, recorded beside the cases as `<topic>.stock.json`, one entry a step.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::Answer;
use super::case::{Case, RECORDED, Step};
use super::compact;

/// The answer to a step, and which step that was.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    asked: Asked,
    /// What was answered.
    pub answer: Answer,
}

/// What must not have changed since: the request itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Asked {
    #[serde(rename = "do")]
    request: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<Value>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(flatten)]
    asked: Asked,
    status: u16,
    /// Those that are not as usual; null where a usual one is absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    answered: BTreeMap<String, Option<String>>,
    #[serde(rename = "with")]
    answer: Value,
}

impl Recording {
    /// The recording of an answer.
    #[must_use]
    pub fn new(step: &Step, answer: Answer) -> Recording {
        Recording { asked: Asked::of(step), answer }
    }

    /// Whether this is what was asked then.
    #[must_use]
    pub fn is_of(&self, step: &Step) -> bool {
        self.asked == Asked::of(step)
    }
}

impl Asked {
    fn of(step: &Step) -> Asked {
        Asked { request: step.request.clone(), headers: step.headers.clone(), body: step.body.clone() }
    }
}

/// Writes down what stock answered.
///
/// # Errors
/// Where the file cannot be written.
pub fn write(folder: &Path, case: &Case, answers: &[Answer]) -> anyhow::Result<()> {
    let entries: Result<Vec<Value>, _> = case
        .steps
        .iter()
        .zip(answers)
        .map(|(step, answer)| {
            let headers = answer.unusual_headers().into_iter();
            serde_json::to_value(Written {
                asked: Asked::of(step),
                status: answer.status,
                answered: headers.map(|(name, value)| (name.to_owned(), value.map(str::to_owned))).collect(),
                answer: answer.body.clone(),
            })
        })
        .collect();
    let path = path(folder, case);
    fs::write(&path, compact::text(&Value::Array(entries?))).with_context(|| format!("{}", path.display()))
}

/// Reads what was recorded.
///
/// # Errors
/// Where there is nothing, or it cannot be read.
pub fn read(folder: &Path, case: &Case) -> anyhow::Result<Vec<Recording>> {
    let path = path(folder, case);
    let text = fs::read_to_string(&path).with_context(|| {
        format!("{}: conformance/compare --record {} makes it", path.display(), case.topic)
    })?;
    let entries: Vec<Written> = serde_json::from_str(&text).with_context(|| format!("{}", path.display()))?;
    let recording = |written: Written| Recording {
        asked: written.asked,
        answer: Answer {
            status: written.status,
            headers: Answer::with_usual(written.answered),
            body: written.answer,
        },
    };
    Ok(entries.into_iter().map(recording).collect())
}

fn path(folder: &Path, case: &Case) -> PathBuf {
    folder.join(format!("{}{RECORDED}", case.topic))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_recorded_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let step = |body| serde_json::from_value(json!({"do": "POST /x", "body": body})).unwrap();
        let case = Case { topic: "topic".to_owned(), steps: vec![step(json!({"a": [1]}))] };
        let headers = [("content-type".to_owned(), "text/plain".to_owned())].into();
        let answer = Answer { status: 201, headers, body: json!("ok") };
        write(folder.path(), &case, std::slice::from_ref(&answer)).unwrap();
        let read = read(folder.path(), &case).unwrap();
        assert_eq!(read, [Recording::new(&case.steps[0], answer)]);
        assert!(!read[0].is_of(&step(json!({"a": [2]}))));
    }
}
