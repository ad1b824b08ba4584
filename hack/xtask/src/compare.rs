//! `xtask compare`: the cases of `conformance/cases` against the servers that `conformance/compare` has started, or against
//! what was recorded. It prints what differs; it starts nothing.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use futures::StreamExt;
use testing::compare::{self, Answer, Case, Server, Verdict, record};

/// Topics that run at a time.
const ABREAST: usize = 4;

/// What to compare with what.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The folder with the cases.
    #[arg(long)]
    cases: PathBuf,
    /// A kubeconfig for stock kube-apiserver; without it, the recorded answers stand in.
    #[arg(long)]
    stock: Option<PathBuf>,
    /// A kubeconfig for ours.
    #[arg(long)]
    ours: Option<PathBuf>,
    /// Write stock's answers beside the cases.
    #[arg(long)]
    record: bool,
    /// Compare with the recorded answers.
    #[arg(long, conflicts_with_all = ["stock", "record"])]
    recorded: bool,
    /// Print our answers, too.
    #[arg(long)]
    show: bool,
    /// The topics; all when none is named.
    topics: Vec<String>,
}

/// Compares or records. The answer is whether no difference is unexplained.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    tokio::runtime::Runtime::new()?.block_on(all(arguments))
}

async fn all(arguments: &Arguments) -> anyhow::Result<bool> {
    let cases = Case::load(&arguments.cases, &arguments.topics)?;
    let stock = open(arguments.stock.as_deref()).await?;
    let ours = open(arguments.ours.as_deref()).await?;
    ensure!(!arguments.record || stock.is_some(), "--record needs --stock");
    let (stock, ours) = (&stock, &ours);
    let runs = cases.iter().map(|case| async move {
        let verdict = one(arguments, case, stock.as_ref(), ours.as_ref()).await;
        (case, verdict)
    });
    let mut clean = true;
    let mut total = (0, Verdict::default());
    let mut runs = futures::stream::iter(runs).buffered(ABREAST);
    while let Some((case, verdict)) = runs.next().await {
        let verdict = verdict.unwrap_or_else(|error| Verdict {
            faults: vec![format!("{}: {error:#}", case.topic)],
            ..Verdict::default()
        });
        verdict.faults.iter().for_each(|fault| println!("{fault}"));
        clean &= verdict.faults.is_empty();
        total.0 += case.steps.len();
        total.1.faults.extend(verdict.faults);
        total.1.known.extend(verdict.known);
        total.1.meant.extend(verdict.meant);
    }
    total.1.known.iter().for_each(|known| println!("known: {known}"));
    let Verdict { faults, known, meant } = &total.1;
    println!(
        "{} requests in {} topics: {} differ, {} known differences, {} meant",
        total.0,
        cases.len(),
        faults.len(),
        known.len(),
        meant.len()
    );
    Ok(clean)
}

async fn open(kubeconfig: Option<&Path>) -> anyhow::Result<Option<Server>> {
    let Some(path) = kubeconfig else { return Ok(None) };
    Ok(Some(compare::ready(path).await.with_context(|| format!("{}", path.display()))?))
}

async fn one(
    arguments: &Arguments,
    case: &Case,
    stock: Option<&Server>,
    ours: Option<&Server>,
) -> anyhow::Result<Verdict> {
    let run = async |server: Option<&Server>, name: &str| match server {
        Some(server) => compare::run(case, server).await.map(Some).with_context(|| name.to_owned()),
        None => Ok(None),
    };
    let (expected, answers) = tokio::join!(run(stock, "stock"), run(ours, "ours"));
    let (expected, answers): (Option<Vec<Answer>>, _) = (expected?, answers?);
    if arguments.record {
        record::write(&arguments.cases, case, expected.as_deref().unwrap_or_default())?;
    }
    let Some(answers) = answers else { return Ok(Verdict::default()) };
    if arguments.show {
        for (step, answer) in case.steps.iter().zip(&answers) {
            println!("{}\n  {} {}", step.request, answer.status, answer.body);
        }
    }
    let expected = match expected {
        Some(expected) => case
            .steps
            .iter()
            .zip(expected)
            .map(|(step, answer)| record::Recording::new(step, answer))
            .collect(),
        None => record::read(&arguments.cases, case)?,
    };
    Ok(compare::judge(case, &expected, &answers))
}
