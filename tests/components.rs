//! Components that run alone serve health pages, metrics and their configuration, to those who may see them.

use std::net::TcpStream;
use std::path::Path;
use std::process::Output;

use crate::cluster::{Cluster, binary, eventually, text};
use crate::host::both;
use crate::mixed::Component;

/// What a client gets from a component's port: the status code, and the body before it.
struct Asked<'a> {
    cluster: &'a Cluster,
    port: u16,
}

impl Asked<'_> {
    fn ask(&self, path: &str, credentials: &[&str]) -> Output {
        let url = format!("https://127.0.0.1:{}{path}", self.port);
        let mut command = self.cluster.host.command("curl");
        command.args(["-sk", "--max-time", "20", "-w", "\n%{http_code}", &url]).args(credentials);
        command.output().unwrap()
    }

    fn check(&self, path: &str, credentials: &[&str], code: &str, expected: &str) {
        let answer = both(&self.ask(path, credentials));
        let (body, got) = answer.trim_end().rsplit_once('\n').unwrap_or_default();
        assert!(got == code && body.contains(expected), "{path} of {}: {answer}", self.port);
    }
}

fn start(cluster: &Cluster, role: &str, kubeconfig: &str) -> Component {
    let kubeconfig = cluster.data.join(kubeconfig);
    let log = cluster.data.join(role).with_extension("log");
    Component::start(&cluster.host, &binary(), &[role, "--kubeconfig", text(&kubeconfig)], log)
}

/// A certificate and key from a kubeconfig, as files that curl reads.
fn credentials(cluster: &Cluster, kubeconfig: &Path) -> [String; 4] {
    let file = |field: &str| {
        let path = format!("jsonpath={{.users[0].user.{field}-data}}");
        let shown = cluster
            .host
            .command("kubectl")
            .args(["config", "view", "--raw", "-o", &path, "--kubeconfig"])
            .arg(kubeconfig)
            .output()
            .unwrap();
        let decoded =
            base64::Engine::decode(&base64::engine::general_purpose::STANDARD, shown.stdout).unwrap();
        let file = cluster.data.join(field);
        std::fs::write(&file, decoded).unwrap();
        text(&file).to_owned()
    };
    ["--cert".to_owned(), file("client-certificate"), "--key".to_owned(), file("client-key")]
}

#[test]
fn components_show_their_health_to_everybody_and_their_metrics_to_those_who_may_see_them() {
    let cluster = Cluster::apiserver();
    let _scheduler = start(&cluster, "scheduler", "scheduler.kubeconfig");
    let _controllers = start(&cluster, "controller-manager", "controller-manager.kubeconfig");
    let (scheduler, controllers) =
        (Asked { cluster: &cluster, port: 10259 }, Asked { cluster: &cluster, port: 10257 });
    for asked in [&scheduler, &controllers] {
        eventually("the component is ready", || {
            both(&asked.ask("/readyz", &[])).ends_with("ok\n200").then_some(())
        });
        asked.check("/healthz", &[], "200", "ok");
        asked.check("/livez", &[], "200", "ok");
        asked.check("/metrics", &[], "403", r#"User \"system:anonymous\" cannot get path \"/metrics\""#);
        asked.check("/healthz/leaderElection", &[], "403", "cannot get path");
        asked.check("/healthz", &["-H", "Authorization: Bearer nonsense"], "401", "Unauthorized");
    }
    let admin = credentials(&cluster, &cluster.kubeconfig());
    let admin: Vec<&str> = admin.iter().map(String::as_str).collect();
    for (asked, lease) in [(&scheduler, "kube-scheduler"), (&controllers, "kube-controller-manager")] {
        eventually("the component leads", || {
            let leads = format!("leader_election_master_status{{name=\"{lease}\"}} 1");
            both(&asked.ask("/metrics", &admin)).contains(&leads).then_some(())
        });
        asked.check("/metrics", &admin, "200", "rest_client_requests_total{code=\"200\"");
        asked.check("/healthz/leaderElection", &admin, "200", "ok");
        asked.check("/configz", &admin, "200", "\"leaseDuration\":\"15s\"");
        asked.check("/nothing", &admin, "404", "404 page not found");
    }
    controllers.check("/metrics", &admin, "200", "workqueue_adds_total{name=\"namespace\"}");
    scheduler.check("/metrics", &admin, "200", "scheduler_pending_pods{queue=\"active\"} 0");

    // A service account that is given the right, as a monitoring system is.
    cluster.ok(&["create", "clusterrole", "metrics-reader", "--verb=get", "--non-resource-url=/metrics"]);
    cluster.ok(&[
        "create",
        "clusterrolebinding",
        "metrics-reader",
        "--clusterrole=metrics-reader",
        "--serviceaccount=default:reader",
    ]);
    cluster.ok(&["create", "serviceaccount", "reader"]);
    let bearer = format!("Authorization: Bearer {}", cluster.ok(&["create", "token", "reader"]).trim());
    scheduler.check("/metrics", &["-H", &bearer], "200", "scheduler_pending_pods");
    scheduler.check("/configz", &["-H", &bearer], "403", "system:serviceaccount:default:reader");
}

#[test]
fn clients_that_say_nothing_do_not_keep_others_out_for_long() {
    let cluster = Cluster::apiserver();
    let _scheduler = start(&cluster, "scheduler", "scheduler.kubeconfig");
    let scheduler = Asked { cluster: &cluster, port: 10259 };
    let answered = || both(&scheduler.ask("/livez", &[])).ends_with("ok\n200").then_some(());
    eventually("the scheduler is there", answered);
    // More than are served at a time.
    let connect = || (0..200).map(|_| TcpStream::connect(("127.0.0.1", 10259)).unwrap());
    let silent: Vec<TcpStream> = cluster.host.run(move || connect().collect()).join().unwrap();
    eventually("somebody else is answered", answered);
    drop(silent);
}
