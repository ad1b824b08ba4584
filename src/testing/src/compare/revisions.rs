//! Revisions by what became of them: `revision-a-7` is the seventh of an object `a` that a server has shown, and one write
//! more or less on one server would move all that come after it. So each is said to be new in the step, the current one,
//! or one of an earlier step, and a write that should not have been differs where it happens, and nowhere else.

use std::collections::HashMap;

use serde_json::Value;

use super::answer::Answer;

const PREFIX: &str = "revision-";

/// What a transcript has shown so far.
#[derive(Default)]
pub(super) struct Revisions {
    objects: HashMap<String, Shown>,
}

/// The revisions of the objects of one name.
#[derive(Default)]
struct Shown {
    /// In which step each was seen first.
    since: Vec<usize>,
    /// How many had been seen when the present step began.
    before: usize,
}

impl Revisions {
    /// The answer of the next step, its revisions put so.
    pub(super) fn placed(&mut self, step: usize, answer: &Answer) -> Answer {
        for shown in self.objects.values_mut() {
            shown.before = shown.since.len();
        }
        let mut answer = answer.clone();
        self.value(step, &mut answer.body);
        answer
    }

    fn value(&mut self, step: usize, value: &mut Value) {
        match value {
            Value::String(text) if text.contains(PREFIX) => *text = self.text(step, text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(step, item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.value(step, field)),
            _ => {}
        }
    }

    fn text(&mut self, step: usize, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(PREFIX) {
            let (before, here) = rest.split_at(at);
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
            let word = &here[..here.find(|c| !is_part(c)).unwrap_or(here.len())];
            let word = word.trim_end_matches('.');
            out.push_str(before);
            out.push_str(&self.word(step, word));
            rest = &here[word.len()..];
        }
        out + rest
    }

    fn word(&mut self, step: usize, word: &str) -> String {
        let parts = word.strip_prefix(PREFIX).and_then(|rest| rest.rsplit_once('-'));
        let Some((object, Ok(ordinal))) = parts.map(|(object, number)| (object, number.parse::<usize>()))
        else {
            return word.to_owned();
        };
        let shown = self.objects.entry(object.to_owned()).or_default();
        if shown.since.len() < ordinal {
            shown.since.resize(ordinal, step);
        }
        match ordinal {
            0 => word.to_owned(),
            new if new > shown.before => format!("{PREFIX}{object} (new {})", new - shown.before),
            current if current == shown.before => format!("{PREFIX}{object} (current)"),
            old => format!("{PREFIX}{object} (of step {})", shown.since[old - 1]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    /// Places the bodies of a transcript.
    fn placed(bodies: &[Value]) -> Vec<Value> {
        let mut revisions = Revisions::default();
        let answer = |body: &Value| Answer { status: 200, headers: BTreeMap::new(), body: body.clone() };
        bodies.iter().enumerate().map(|(step, body)| revisions.placed(step, &answer(body)).body).collect()
    }

    #[test]
    fn a_revision_is_new_current_or_old() {
        let seen = placed(&[
            json!({"rv": "revision-a-1"}),
            json!({"rv": "revision-a-1"}),
            json!([{"rv": "revision-a-2"}, {"rv": "revision-a-3"}]),
            json!({"message": "it was revision-a-2, is revision-a-3."}),
        ]);
        let expected = [
            json!({"rv": "revision-a (new 1)"}),
            json!({"rv": "revision-a (current)"}),
            json!([{"rv": "revision-a (new 1)"}, {"rv": "revision-a (new 2)"}]),
            json!({"message": "it was revision-a (of step 2), is revision-a (current)."}),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn one_write_more_differs_once() {
        let more = placed(&[
            json!("revision-a-1"),
            json!("revision-a-2"),
            json!("revision-a-2"),
            json!("revision-a-3"),
        ]);
        let less = placed(&[
            json!("revision-a-1"),
            json!("revision-a-1"),
            json!("revision-a-1"),
            json!("revision-a-2"),
        ]);
        assert_eq!(more.iter().zip(&less).filter(|(more, less)| more != less).count(), 1);
    }

    #[test]
    fn a_name_with_dots_is_one_name() {
        assert_eq!(
            placed(&[json!("revision-kube-root-ca.crt-1")]),
            [json!("revision-kube-root-ca.crt (new 1)")]
        );
    }
}
