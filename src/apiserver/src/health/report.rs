//! The answer of a health page: its checks, one per line, in upstream's words. Runs nothing itself.

use http::StatusCode;

/// A check's name and how it went, with the reason where it failed.
pub type Outcome = (&'static str, Result<(), String>);

/// What a page with several checks answers: `ok`, or every check where one failed or the caller wants to see them
/// (`verbose`). Those named in `excluded` count as passed. `endpoint` is the page's name, such as `readyz`. Reasons go to
/// the log, since anybody may ask.
pub fn report(
    endpoint: &str,
    checks: impl IntoIterator<Item = Outcome>,
    mut excluded: Vec<&str>,
    verbose: bool,
) -> (StatusCode, String) {
    let mut report = String::new();
    let mut failed = false;
    for (name, outcome) in checks {
        if let Some(at) = excluded.iter().position(|own| *own == name) {
            excluded.remove(at);
            report.push_str(&format!("[+]{name} excluded: ok\n"));
            continue;
        }
        match outcome {
            Ok(()) => report.push_str(&format!("[+]{name} ok\n")),
            Err(why) => {
                tracing::info!(check = name, why, "{endpoint} check failed");
                report.push_str(&format!("[-]{name} failed: reason withheld\n"));
                failed = true;
            }
        }
    }
    if !excluded.is_empty() {
        let names: Vec<String> = excluded.iter().map(|name| format!("{name:?}")).collect();
        report.push_str(&format!(
            "warn: some health checks cannot be excluded: no matches for {}\n",
            names.join(", ")
        ));
    }
    if failed {
        report.push_str(&format!("{endpoint} check failed\n"));
        return (StatusCode::INTERNAL_SERVER_ERROR, report);
    }
    if !verbose {
        return (StatusCode::OK, "ok".to_owned());
    }
    report.push_str(&format!("{endpoint} check passed\n"));
    (StatusCode::OK, report)
}

/// What the page of one check answers.
pub fn report_one(outcome: Result<(), String>) -> (StatusCode, String) {
    match outcome {
        Ok(()) => (StatusCode::OK, "ok".to_owned()),
        Err(why) => (StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {why}\n")),
    }
}
