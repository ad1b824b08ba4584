//! Requests to pods and services through the API server, for whom the pod network is out of reach.

use crate::cluster::{Cluster, eventually};
use crate::deployment::web;

#[test]
fn pods_and_services_answer_through_the_api() {
    let cluster = Cluster::start();
    cluster.apply(&web(2, "v1"));
    cluster.ok(&["wait", "--for=condition=Available", "deployment/web", "--timeout=60s"]);
    let names = cluster.ok(&["get", "pods", "--output", "jsonpath={.items[*].metadata.name}"]);
    let raw = |path: &str| cluster.ok(&["get", "--raw", &format!("/api/v1/namespaces/default/{path}")]);

    for name in names.split(' ') {
        let expected = format!("{name} v1\n");
        for path in [format!("pods/{name}/proxy/"), format!("pods/http:{name}:8080/proxy/index.html")] {
            assert_eq!(raw(&path), expected, "{path}");
        }
        // Without the last slash, relative links would lead elsewhere: kubectl follows the redirection.
        assert_eq!(raw(&format!("pods/{name}/proxy")), expected);
    }
    for path in ["services/web/proxy/", "services/web:80/proxy/index.html"] {
        // The slices follow the deployment.
        let answer = eventually("the service answers", || {
            let path = format!("/api/v1/namespaces/default/{path}");
            let output = cluster.kubectl(&["get", "--raw", &path]);
            output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
        });
        let name = answer.strip_suffix(" v1\n").unwrap();
        assert!(names.split(' ').any(|known| known == name), "{path}: {answer}");
    }

    let missing = cluster.fails(&["get", "--raw", "/api/v1/namespaces/default/services/web/proxy/none"]);
    assert!(missing.contains("NotFound"), "{missing}");
    let nobody = cluster.fails(&[
        "get",
        "--raw",
        &format!("/api/v1/namespaces/default/pods/{}:81/proxy/", names.split(' ').next().unwrap()),
    ]);
    assert!(nobody.contains("error trying to reach service") && nobody.contains("refused"), "{nobody}");
}
