//! The cases: what is asked, read from `<topic>.yaml`. A file is a list of blocks; a block is a list of steps, sent once
//! or once for each row of its table `for`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The ending of a recording's file name; it lies beside the case.
pub(super) const RECORDED: &str = ".stock.json";
/// The ending of the list of differences that wait for a capability, or are meant.
const KNOWN: &str = ".known.yaml";

/// A topic: steps in a namespace of their own.
#[derive(Clone, Debug)]
pub struct Case {
    /// The file's name without its ending.
    pub topic: String,
    /// The steps, rows of tables put in.
    pub steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Block {
    #[serde(default, rename = "for")]
    rows: Vec<Map<String, Value>>,
    steps: Vec<Value>,
}

/// One request, and what is made of its answer. `${name}` stands for a column of the block's table, `${ns}` for the
/// topic's namespace, and otherwise for what an earlier step kept. An object under the key `...` is spread into what it
/// stands in.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Method and path with query. `MERGE`, `STRATEGIC`, `JSON` and `APPLY` are PATCH with that content type.
    #[serde(rename = "do")]
    pub request: String,
    /// Headers; an empty value takes one away that would be sent.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body: text as it is, anything else as JSON.
    pub body: Option<Value>,
    /// Who asks; the administrator when absent.
    #[serde(default, rename = "as")]
    pub user: As,
    /// What later steps may name: variable → JSON pointer into the body.
    #[serde(default)]
    pub keep: BTreeMap<String, String>,
    /// Ask again until the answer has this at each of these locations, such as `status` or `body/metadata/name`.
    /// `null` stands for absence.
    #[serde(default)]
    pub until: BTreeMap<String, Value>,
    /// The answer is a stream, of which this many events are read.
    pub events: Option<usize>,
    /// Compare `managedFields` here.
    #[serde(default)]
    pub managed: bool,
    /// The answer lists what is served, and less is served here than by stock: what both have is compared, by its name.
    #[serde(default)]
    pub part: bool,
    /// Not answered as stock answers until a capability is built: location → why.
    #[serde(default)]
    pub known: BTreeMap<String, String>,
    /// Not answered as stock answers, and meant so: location → why.
    #[serde(default)]
    pub meant: BTreeMap<String, String>,
}

/// An entry of the list of known differences: the step, by its place and its request, where it differs and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    step: usize,
    #[serde(rename = "do")]
    request: String,
    at: Vec<String>,
    why: String,
    /// It is to stay so.
    #[serde(default)]
    meant: bool,
}

/// Who asks.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum As {
    /// With the client certificate of the kubeconfig.
    #[default]
    Admin,
    /// With no credentials.
    Anonymous,
}

impl Case {
    /// Reads the cases of a folder, sorted by topic; all of them where no topics are named.
    ///
    /// # Errors
    /// A file that cannot be read, or a topic that is not there.
    pub fn load(folder: &Path, topics: &[String]) -> anyhow::Result<Vec<Case>> {
        let mut cases = Vec::new();
        for entry in folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))? {
            let path = entry?.path();
            let Some(topic) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".yaml")) else {
                continue;
            };
            if topic.ends_with(".known") {
                continue;
            }
            if topics.is_empty() || topics.iter().any(|wanted| wanted == topic) {
                let text = std::fs::read_to_string(&path)?;
                let mut case = Case::parse(topic, &text).with_context(|| format!("{}", path.display()))?;
                case.know(&folder.join(format!("{topic}{KNOWN}")))?;
                cases.push(case);
            }
        }
        for topic in topics {
            ensure!(cases.iter().any(|case| case.topic == *topic), "no case {topic}");
        }
        cases.sort_by(|a, b| a.topic.cmp(&b.topic));
        Ok(cases)
    }

    /// Takes in what is known to differ, from the list beside the case, if there is one.
    fn know(&mut self, path: &Path) -> anyhow::Result<()> {
        if !path.exists() {
            return Ok(());
        }
        let known: Vec<Known> = serde_saphyr::from_str(&std::fs::read_to_string(path)?)?;
        for Known { step, request, at, why, meant } in known {
            let found = self.steps.get_mut(step).filter(|found| found.request == request);
            let found = found.with_context(|| format!("{}: step {step} is not {request}", path.display()))?;
            let list = if meant { &mut found.meant } else { &mut found.known };
            list.extend(at.into_iter().map(|place| (place, why.clone())));
        }
        Ok(())
    }

    fn parse(topic: &str, text: &str) -> anyhow::Result<Case> {
        // `y` and `on` are words.
        let options = serde_saphyr::options! { strict_booleans: true };
        let blocks: Vec<Block> = serde_saphyr::from_str_with_options(text, options)?;
        let mut steps = Vec::new();
        for block in blocks {
            let rows = if block.rows.is_empty() { vec![Map::new()] } else { block.rows };
            for row in rows {
                for step in &block.steps {
                    let mut step = step.clone();
                    put_in(&mut step, &row);
                    let shown = step["do"].to_string();
                    steps.push(serde_json::from_value(step).with_context(|| format!("step {shown}"))?);
                }
            }
        }
        Ok(Case { topic: topic.to_owned(), steps })
    }
}

/// Puts variables in; a name that is none stays. A text that is nothing but one variable becomes its value, whatever
/// its type.
pub(super) fn put_in(value: &mut Value, variables: &Map<String, Value>) {
    match value {
        Value::String(text) => {
            let alone = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
            if let Some(whole) = alone.and_then(|name| variables.get(name)) {
                *value = whole.clone();
            } else if text.contains("${") {
                *text = put_into_text(text, variables);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| put_in(item, variables)),
        Value::Object(fields) => {
            fields.values_mut().for_each(|field| put_in(field, variables));
            spread(fields);
        }
        _ => {}
    }
}

/// What the field `...` has, once it is an object, stands beside the other fields or instead of them.
fn spread(fields: &mut Map<String, Value>) {
    if fields.get("...").is_some_and(Value::is_object)
        && let Some(Value::Object(more)) = fields.remove("...")
    {
        fields.extend(more);
    }
}

/// The same within a text.
pub(super) fn put_into_text(text: &str, variables: &Map<String, Value>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let (name, behind) = after.split_once('}').unwrap_or((after, ""));
        match variables.get(name) {
            Some(Value::String(value)) => out.push_str(value),
            Some(value) => out.push_str(&value.to_string()),
            None => out.push_str(&format!("${{{name}}}")),
        }
        rest = behind;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_sends_the_steps_once_for_each_row() {
        let case = Case::parse(
            "topic",
            "- for: [{name: a, body: {x: 1}}, {name: b, body: text}]\n  \
               steps: [{do: 'PUT /${name}/${kept}', body: '${body}', keep: {uid: /metadata/uid}}]\n",
        );
        let steps = case.unwrap().steps;
        let seen: Vec<_> =
            steps.iter().map(|step| (step.request.as_str(), step.body.clone().unwrap())).collect();
        assert_eq!(seen, [("PUT /a/${kept}", json!({"x": 1})), ("PUT /b/${kept}", json!("text"))]);
    }

    #[test]
    fn an_object_is_spread_over_the_fields_beside_it() {
        let case = Case::parse(
            "topic",
            "- for: [{more: {b: 2, c: 3}}]\n  steps: [{do: PUT /, body: {a: {b: 1, d: 4, ...: '${more}'}}}]\n",
        );
        assert_eq!(case.unwrap().steps[0].body, Some(json!({"a": {"b": 2, "c": 3, "d": 4}})));
    }

    #[test]
    fn an_unknown_word_in_a_step_is_an_error() {
        let error = Case::parse("topic", "- steps: [{do: GET /, headres: {}}]\n").unwrap_err();
        assert!(format!("{error:#}").contains("headres"), "{error:#}");
    }
}
