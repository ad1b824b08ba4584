//! The real binary answers as stock kube-apiserver does, request by request: `conformance/cases`, against the answers that
//! `conformance/compare --record` wrote down beside them.

use std::path::Path;

use futures::StreamExt;
use testing::compare::{self, Case, Verdict, record};

use crate::cluster::Cluster;

/// Those without which no namespace is made or unmade; others would change what the cases look at, at any moment.
const CONTROLLERS: &str = "--controllers=namespace-controller,serviceaccount-controller,\
    root-ca-certificate-publisher-controller,garbage-collector-controller";

#[test]
fn answers_are_stocks() {
    let server = Cluster::control_plane(&[CONTROLLERS]);
    let kubeconfig = server.kubeconfig();
    let verdict = server.host.run(move || answers(&kubeconfig)).join().unwrap();
    for known in &verdict.known {
        println!("known: {known}");
    }
    println!("{} known differences, {} meant", verdict.known.len(), verdict.meant.len());
    assert!(verdict.faults.is_empty(), "{}", verdict.faults.join("\n"));
}

/// How many topics run at a time: many of their requests wait for something.
const ABREAST: usize = 4;

/// Sends every case.
fn answers(kubeconfig: &Path) -> Verdict {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/cases");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut total = Verdict::default();
    runtime.block_on(async {
        let server = &compare::ready(kubeconfig).await.unwrap();
        let cases = Case::load(&folder, &[]).unwrap();
        let runs = cases.iter().map(async |case| {
            let recorded = record::read(&folder, case).unwrap();
            compare::judge(case, &recorded, &compare::run(case, server).await.unwrap())
        });
        let mut runs = futures::stream::iter(runs).buffered(ABREAST);
        while let Some(verdict) = runs.next().await {
            total.faults.extend(verdict.faults);
            total.known.extend(verdict.known);
            total.meant.extend(verdict.meant);
        }
    });
    total
}
