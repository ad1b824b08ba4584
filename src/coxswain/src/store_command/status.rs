//! What the store of a running server does, from the metrics that it serves to everybody who may read them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use http::Request;

use crate::output::say;
use crate::snapshot::size;
use crate::token;

/// Rates are taken over so long.
const BETWEEN: Duration = Duration::from_secs(1);

/// Prints it.
///
/// # Errors
/// The server cannot be reached or does not let us read.
pub(super) async fn run(data_dir: &Path) -> anyhow::Result<()> {
    let (client, _) = token::connect(data_dir).await?;
    let before = Sample::take(&client).await?;
    tokio::time::sleep(BETWEEN).await;
    let after = Sample::take(&client).await?;
    say(format_args!("{}", describe(&before, &after).trim_end()))
}

/// The metrics of one moment: the value of every line by all that stands before it.
struct Sample(BTreeMap<String, f64>);

impl Sample {
    async fn take(client: &kube::Client) -> anyhow::Result<Self> {
        let request = Request::get("/metrics").body(Vec::new())?;
        let text = client.request_text(request).await.context("cannot read the server's /metrics")?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Self(pairs.collect())
    }

    fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    fn store(&self, name: &str) -> f64 {
        self.get(&format!("coxswain_store_{name}"))
    }

    /// The value of a label and of the metric, for each.
    fn labelled<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (String, f64)> + 'a {
        self.0.iter().filter_map(move |(line, value)| {
            let labels = line.strip_prefix(name)?.strip_prefix('{')?.strip_suffix('}')?;
            let values: Vec<&str> = labels.split('"').skip(1).step_by(2).collect();
            Some((values.join("/"), *value))
        })
    }

    /// Up to which duration, in seconds, so large a part of the commits between two moments took.
    fn quantile(&self, earlier: &Self, part: f64) -> f64 {
        const BUCKETS: &str = "coxswain_store_commit_duration_seconds_bucket";
        let all =
            self.store("commit_duration_seconds_count") - earlier.store("commit_duration_seconds_count");
        let mut buckets: Vec<(f64, f64)> = self
            .labelled(BUCKETS)
            .filter_map(|(limit, count)| {
                let before = earlier.get(&format!("{BUCKETS}{{le=\"{limit}\"}}"));
                Some((limit.trim_start_matches('+').to_lowercase().parse().ok()?, count - before))
            })
            .collect();
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        buckets.iter().find(|(_, count)| *count >= part * all).map_or(f64::INFINITY, |(limit, _)| *limit)
    }
}

fn describe(before: &Sample, now: &Sample) -> String {
    let writes = (now.store("writes_total") - before.store("writes_total")) / BETWEEN.as_secs_f64();
    // An idle store has no commits in that second; then those since the server's start are told of.
    let is_idle = now.store("commit_duration_seconds_count") == before.store("commit_duration_seconds_count");
    let nothing = Sample(BTreeMap::new());
    let (since, when) = if is_idle { (&nothing, "since its start") } else { (before, "in this second") };
    let of = |name: &str| now.store(name) - since.store(name);
    let commits = of("commit_duration_seconds_count");
    let mean_ms = 1000.0 * of("commit_duration_seconds_sum") / commits.max(1.0);
    let slow_ms = 1000.0 * now.quantile(since, 0.99);
    let disk = now.labelled("apiserver_storage_size_bytes").next();
    let disk = disk.map_or_else(|| "unknown".to_owned(), |(_, bytes)| size(bytes as u64));
    let mut text = format!(
        "revision       {}, listable from {}\n\
         takes writes   {}\n\
         writes         {writes:.0}/s\n\
         commits        {mean_ms:.2} ms on average, 99 of 100 within {slow_ms:.1} ms ({commits} {when})\n\
         on the disk    {disk}\n\
         history        {}\n\
         watches        {}\n\
         comparisons    of memory with the disk: {}, differences: {}\n",
        now.store("revision"),
        now.store("horizon_revision"),
        if now.store("writable") > 0.0 { "yes" } else { "NO: its log says why; a restart is needed" },
        history(now),
        now.store("watches"),
        now.store("comparisons_total"),
        now.store("differences_total"),
    );
    text.push_str(&encryption(now));
    text.push_str(&format!("\n{:<56} {:>9} {:>10}\n", "RESOURCE", "OBJECTS", "SIZE"));
    let sizes: BTreeMap<String, f64> = now.labelled("apiserver_resource_size_estimate_bytes").collect();
    for (resource, objects) in now.labelled("apiserver_resource_objects") {
        let bytes = sizes.get(&resource).copied().unwrap_or_default();
        let name = resource.trim_start_matches('/');
        text.push_str(&format!("{name:<56} {objects:>9} {:>10}\n", size(bytes as u64)));
    }
    text
}

/// Of several servers over one store only the one that orders the writes knows.
fn history(now: &Sample) -> String {
    let bytes = now.0.get("coxswain_store_history_bytes");
    bytes.map_or_else(
        || "told by the server that orders the writes".to_owned(),
        |bytes| format!("{} were written in the last five minutes, before compression", size(*bytes as u64)),
    )
}

/// What is to be done about encryption, if anything.
fn encryption(now: &Sample) -> String {
    let unreadable = now.store("unreadable_objects");
    let stale = now.store("stale_objects");
    let mut text = String::new();
    if unreadable > 0.0 {
        text.push_str(&format!(
            "encryption     objects that CANNOT BE READ: {unreadable}; --encryption-provider-config lacks their keys\n"
        ));
    }
    if stale > 0.0 {
        text.push_str(&format!(
            "encryption     objects stored with an older key, or unencrypted: {stale}; write them again\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = r#"# HELP coxswain_store_revision The newest revision.
coxswain_store_revision 7
coxswain_store_writes_total 5
coxswain_store_commit_duration_seconds_count 5
coxswain_store_commit_duration_seconds_sum 0.5
coxswain_store_commit_duration_seconds_bucket{le="0.0001"} 0
coxswain_store_commit_duration_seconds_bucket{le="0.1"} 5
coxswain_store_commit_duration_seconds_bucket{le="+Inf"} 5
"#;
    const NOW: &str = r#"coxswain_store_revision 107
coxswain_store_writes_total 105
coxswain_store_writable 1
coxswain_store_commit_duration_seconds_count 15
coxswain_store_commit_duration_seconds_sum 0.505
coxswain_store_commit_duration_seconds_bucket{le="0.0001"} 9
coxswain_store_commit_duration_seconds_bucket{le="0.1"} 15
coxswain_store_commit_duration_seconds_bucket{le="+Inf"} 15
apiserver_storage_size_bytes{storage_cluster_id="store-0"} 2048
apiserver_resource_objects{group="apps",resource="deployments"} 3
apiserver_resource_objects{group="",resource="pods"} 12
apiserver_resource_size_estimate_bytes{group="",resource="pods"} 1024
"#;

    #[test]
    fn two_samples_make_rates_and_a_table() {
        let text = describe(&Sample::parse(BEFORE), &Sample::parse(NOW));
        for expected in [
            "revision       107",
            "writes         100/s",
            "0.50 ms on average, 99 of 100 within 100.0 ms (10 in this second)",
            "on the disk    2.0KiB",
            "takes writes   yes",
            "pods                                                            12     1.0KiB",
            "apps/deployments                                                 3         0B",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
        assert!(!text.contains("encryption"), "{text}");
        let idle = describe(&Sample::parse(NOW), &Sample::parse(NOW));
        assert!(idle.contains("(15 since its start)"), "{idle}");
    }

    #[test]
    fn what_encryption_lacks_is_said() {
        let sample = "coxswain_store_unreadable_objects 2\ncoxswain_store_stale_objects 3\n";
        let text = encryption(&Sample::parse(sample));
        assert!(text.contains("CANNOT BE READ: 2;") && text.contains("or unencrypted: 3;"), "{text}");
    }
}
