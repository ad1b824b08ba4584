//! Our answers beside those of upstream's own code (`hack/schema/oracle`).

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::mpsc;

use serde::{Deserialize, Serialize};

/// What to ask upstream.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Question {
    pub(crate) ask: &'static str,
    #[serde(rename = "apiVersion")]
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) text: String,
    pub(crate) patch: String,
}

/// What upstream says.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) error: String,
    pub(crate) strict: Vec<String>,
}

impl Answer {
    /// The text, or the error where there is one.
    pub(crate) fn result(&self) -> Result<&str, &str> {
        if self.error.is_empty() { Ok(&self.text) } else { Err(&self.error) }
    }
}

/// Asks upstream all of it at once, in one run of the program.
pub(crate) fn ask(questions: &[Question]) -> Vec<Answer> {
    let mut child = Command::new("go")
        .args(["run", "-p", "1", "./oracle"])
        .current_dir(testing::upstream::generator())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines: Vec<String> =
        questions.iter().map(|question| serde_json::to_string(question).unwrap()).collect();
    let (done, written) = mpsc::channel();
    std::thread::spawn(move || {
        done.send(input.write_all(lines.join("\n").as_bytes())).unwrap();
    });
    let output = child.wait_with_output().unwrap();
    written.recv().unwrap().unwrap();
    assert!(output.status.success());
    let answers: Vec<Answer> =
        serde_json::Deserializer::from_slice(&output.stdout).into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.len(), questions.len());
    answers
}

/// Asks about texts of one sort and compares.
fn check(ask_for: &'static str, texts: &[&str], ours: impl Fn(&str) -> Result<String, String>) {
    let question = |text: &&str| Question { ask: ask_for, text: (*text).to_owned(), ..Question::default() };
    let answers = ask(&texts.iter().map(question).collect::<Vec<_>>());
    for (text, answer) in texts.iter().zip(answers) {
        let ours = ours(text);
        assert_eq!(ours.as_deref().map_err(String::as_str), answer.result(), "{text:?}");
    }
}

#[test]
fn quantities_read_and_print_as_upstream() {
    let texts = [
        "0",
        "1",
        "-1",
        "+5",
        "100m",
        "1500m",
        "0.5",
        "1.5",
        "1.500",
        ".5",
        "5.",
        "1k",
        "1000",
        "1000k",
        "12e6",
        "12E6",
        "1e3",
        "1e-3",
        "1E",
        "12Ki",
        "1024Ki",
        "1.5Gi",
        "1000Mi",
        "0.5Ki",
        "1.1Ki",
        "100Ei",
        "1Ei",
        "7Ti",
        "0.1m",
        "1n",
        "1.5n",
        "123456789012345678",
        "1234567890123456789",
        "0001",
        "-0",
        "-1.5Gi",
        "-100m",
        "8Ki",
        "9Ki",
        "",
        "abc",
        "1.2.3",
        "1 Gi",
        "1Mm",
        "1i",
        "1e",
        "1ee",
        "--1",
        "1Gi2",
        "1u",
        "10P",
        "1023",
        "1025",
        "2Pi",
        "16Ki",
        "3.14159",
        "100000000u",
        "0.0000000001",
        "-",
    ];
    check("quantity", &texts, |text| {
        coxswain_machinery::quantity::Quantity::parse(text)
            .map(|quantity| format!("{quantity} {}", quantity.value()))
            .map_err(|error| error.to_string())
    });
}

#[test]
fn selectors_read_and_print_as_upstream() {
    let texts = [
        "",
        "a",
        "!a",
        "a=b",
        "a==b",
        "a!=b",
        "a in (x,y)",
        "a in (y,x,x)",
        "a notin (x)",
        "a in ()",
        "a in (,)",
        "a in (x,)",
        "a in (,x)",
        "a>1",
        "a<1",
        "a>x",
        "a=",
        "a=,b",
        "a,b,c=d",
        "c,b,a",
        "a = b",
        " a , !b ",
        "in",
        "in in (in)",
        "notin=in",
        "a b",
        "a,",
        ",a",
        "=a",
        "a=b c",
        "a in x",
        "a in (x",
        "a in (x y)",
        "a=-",
        "-a",
        "a/b/c",
        "x.y/a=b",
        "a==",
        "a!",
        "!",
        "!!a",
        "a=(",
        "(",
        "a in",
        "a=!b",
        "a<>b",
        "a=b,,c",
        "a=\u{e9}",
    ];
    check("labels", &texts, |text| {
        coxswain_machinery::selector::label::Selector::parse(text)
            .map(|selector| selector.to_string())
            .map_err(|error| error.to_string())
    });
    let texts = [
        "", "a=b", "a==b", "a!=b", "a=b,c!=d", "a", "a=b=c", r"a=b\,c", r"a=\x", r"a=b\", "=b", "a=",
        "a.b/c=d",
    ];
    check("fields", &texts, |text| {
        coxswain_machinery::selector::field::Selector::parse(text)
            .map(|selector| selector.to_string())
            .map_err(|error| error.to_string())
    });
}
