//! A case from its first step to its last, on one server.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::case::{As, Case, Step, put_in, put_into_text};
use super::client::{Sent, Server};
use super::normal::Normal;

/// How long a step may wait for what it is told to wait for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends the steps of a case, in a fresh namespace, and returns the answers, normalised.
///
/// # Errors
/// Where the server cannot be reached, an answer is not what its type says, or a step waits in vain.
pub async fn run(case: &Case, server: &Server) -> anyhow::Result<Vec<Answer>> {
    let namespace = format!("c-{}", case.topic);
    let mut variables = Map::from_iter([("ns".to_owned(), json!(namespace))]);
    for step in namespace_steps(&namespace) {
        patiently(server, &step, &mut variables.clone()).await.context("making the namespace")?;
    }
    let mut normal = Normal::new(&server.port);
    let mut answers = Vec::new();
    for (at, step) in case.steps.iter().enumerate() {
        let answer = patiently(server, step, &mut variables)
            .await
            .with_context(|| format!("{} {at}: {}", case.topic, step.request))?;
        answers.push(normal.answer(answer, step));
    }
    Ok(answers)
}

/// Opens the server that a kubeconfig names, once there is one and it is ready.
///
/// # Errors
/// Where it does not become ready.
pub async fn ready(kubeconfig: &Path) -> anyhow::Result<Server> {
    let started = Instant::now();
    let step: Step = serde_json::from_value(json!({"do": "GET /readyz"})).expect("this is a step");
    loop {
        let answer = match Server::open(kubeconfig).await {
            Ok(server) => send(&server, &step, &Map::new()).await.map(|answer| (server, answer)),
            Err(error) => Err(error),
        };
        match answer {
            Ok((server, answer)) if answer.status == 200 => return Ok(server),
            Ok((_, answer)) if started.elapsed() > PATIENCE => bail!("not ready: {}", answer.body),
            Err(error) if started.elapsed() > PATIENCE => return Err(error.context("not ready")),
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// The namespace, and what controllers put into every one.
fn namespace_steps(name: &str) -> Vec<Step> {
    let within = format!("/api/v1/namespaces/{name}");
    let steps = json!([
        {"do": "POST /api/v1/namespaces", "body": {"metadata": {"name": name}}},
        {"do": format!("GET {within}/serviceaccounts/default"), "until": {"status": 200}},
        {"do": format!("GET {within}/configmaps/kube-root-ca.crt"), "until": {"status": 200}},
    ]);
    serde_json::from_value(steps).expect("these are steps")
}

/// Sends a step until the answer is what it waits for, and keeps what it is to keep.
async fn patiently(
    server: &Server,
    step: &Step,
    variables: &mut Map<String, Value>,
) -> anyhow::Result<Answer> {
    let started = Instant::now();
    loop {
        let answer = send(server, step, variables).await?;
        if step.until.iter().all(|(at, wanted)| has(&answer, at, wanted)) {
            for (name, pointer) in &step.keep {
                let found = answer.body.pointer(pointer);
                let value =
                    found.with_context(|| format!("nothing at {pointer} to keep in {}", answer.body))?;
                variables.insert(name.clone(), value.clone());
            }
            return Ok(answer);
        }
        if started.elapsed() > PATIENCE {
            bail!(
                "waited in vain for {:?}; the last answer was {} {}",
                step.until,
                answer.status,
                answer.body
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn has(answer: &Answer, at: &str, wanted: &Value) -> bool {
    match at.strip_prefix("body") {
        Some(pointer) => answer.body.pointer(pointer).unwrap_or(&Value::Null) == wanted,
        None => at == "status" && *wanted == answer.status,
    }
}

async fn send(server: &Server, step: &Step, variables: &Map<String, Value>) -> anyhow::Result<Answer> {
    let request = put_into_text(&step.request, variables);
    let (word, path) = request.split_once(' ').context("a step is `METHOD PATH`")?;
    let (method, content_type) = match word {
        "MERGE" => ("PATCH", "application/merge-patch+json"),
        "STRATEGIC" => ("PATCH", "application/strategic-merge-patch+json"),
        "JSON" => ("PATCH", "application/json-patch+json"),
        "APPLY" => ("PATCH", "application/apply-patch+yaml"),
        method => (method, "application/json"),
    };
    let mut headers = vec![("accept".to_owned(), "application/json".to_owned())];
    if step.body.is_some() {
        headers.push(("content-type".to_owned(), content_type.to_owned()));
    }
    for (name, value) in &step.headers {
        headers.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
        if !value.is_empty() {
            headers.push((name.clone(), put_into_text(value, variables)));
        }
    }
    let body = match &step.body {
        None => Vec::new(),
        Some(Value::String(text)) if !text.starts_with("${") => put_into_text(text, variables).into_bytes(),
        Some(body) => {
            let mut body = body.clone();
            put_in(&mut body, variables);
            serde_json::to_vec(&body)?
        }
    };
    let user: &As = &step.user;
    server.send(Sent { method, path, headers, body, user, events: step.events }).await
}
