//! What a pod's specification promises its containers, seen from inside.

use std::time::Instant;

use crate::cluster::{Cluster, eventually};
use crate::host::both;
use crate::images::image;

/// A pod from the part of its manifest below `spec`, in which IMAGE stands for the test image.
fn apply(cluster: &Cluster, name: &str, spec: &str) {
    let spec = spec.replace("IMAGE", &image("web:v1"));
    cluster.apply(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {name}}}}}\nspec:\n{spec}"
    ));
}

fn wait_for(cluster: &Cluster, name: &str, phase: &str) {
    let wanted = format!("--for=jsonpath={{.status.phase}}={phase}");
    cluster.ok(&["wait", &wanted, &format!("pod/{name}"), "--timeout=60s"]);
}

fn field(cluster: &Cluster, name: &str, path: &str) -> String {
    cluster.ok(&["get", "pod", name, "-o", &format!("jsonpath={{{path}}}")])
}

/// Every line of `expected` is one that a container printed.
fn check(cluster: &Cluster, name: &str, expected: &[&str]) {
    let printed = cluster.ok(&["logs", name]);
    for line in expected {
        assert!(printed.lines().any(|one| one == *line), "{line:?} is not in the log of {name}:\n{printed}");
    }
}

#[test]
fn what_a_pod_asks_for_its_containers_get() {
    let cluster = Cluster::start();
    init_containers_run_in_order_and_containers_share_volumes(&cluster);
    the_environment_comes_from_everywhere(&cluster);
    volumes_follow_their_objects(&cluster);
    a_token_is_readable_by_the_pods_group(&cluster);
    processes_have_the_identity_that_was_asked_for(&cluster);
    a_host_port_leads_to_its_pod(&cluster);
    what_the_node_has_not_is_refused(&cluster);
}

fn init_containers_run_in_order_and_containers_share_volumes(cluster: &Cluster) {
    apply(
        cluster,
        "shared",
        r#"
  restartPolicy: Never
  volumes: [{name: work, emptyDir: {}}]
  initContainers:
  - {name: first, image: IMAGE, command: [sh, -c, "sleep 0.5; echo first >>/work/log"], volumeMounts: [{name: work, mountPath: /work}]}
  - {name: second, image: IMAGE, command: [sh, -c, "echo second >>/work/log"], volumeMounts: [{name: work, mountPath: /work}]}
  containers:
  - {name: reads, image: IMAGE, command: [sh, -c, "until [ -e /work/done ]; do sleep 0.1; done; cat /work/log"], volumeMounts: [{name: work, mountPath: /work}]}
  - {name: writes, image: IMAGE, command: [sh, -c, "echo third >>/work/log; touch /work/done"], volumeMounts: [{name: work, mountPath: /work}]}
"#,
    );
    wait_for(cluster, "shared", "Succeeded");
    assert_eq!(cluster.ok(&["logs", "shared", "-c", "reads"]), "first\nsecond\nthird\n");
    let reasons = field(cluster, "shared", ".status.initContainerStatuses[*].state.terminated.reason");
    assert_eq!(reasons, "Completed Completed");
}

fn the_environment_comes_from_everywhere(cluster: &Cluster) {
    cluster.ok(&["create", "configmap", "settings", "--from-literal=colour=blue", "--from-literal=SIZE=7"]);
    cluster.ok(&["create", "secret", "generic", "keys", "--from-literal=key=hidden"]);
    apply(
        cluster,
        "env",
        r#"
  restartPolicy: Never
  containers:
  - name: main
    image: IMAGE
    command: [sh, -c, 'env; echo "$0"', "argument $(COLOUR) $$(COLOUR)"]
    resources: {limits: {memory: 64Mi, cpu: 200m}}
    envFrom: [{prefix: ALL_, configMapRef: {name: settings}}]
    env:
    - {name: COLOUR, valueFrom: {configMapKeyRef: {name: settings, key: colour}}}
    - {name: KEY, valueFrom: {secretKeyRef: {name: keys, key: key}}}
    - {name: ABSENT, valueFrom: {secretKeyRef: {name: keys, key: none, optional: true}}}
    - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: LABEL, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
    - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    - {name: HOST_IP, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
    - {name: MEMORY, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}
    - {name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}
    - {name: BOTH, value: "$(POD)-$(COLOUR)"}
"#,
    );
    wait_for(cluster, "env", "Succeeded");
    check(
        cluster,
        "env",
        &[
            "COLOUR=blue",
            "KEY=hidden",
            "ALL_SIZE=7",
            "ALL_colour=blue",
            "POD=env",
            "LABEL=env",
            "NODE=node-1",
            "HOST_IP=192.0.2.10",
            "MEMORY=64",
            "CPU=200",
            "BOTH=env-blue",
            "argument blue $(COLOUR)",
            "KUBERNETES_SERVICE_HOST=10.96.0.1",
            "HOSTNAME=env",
            "VERSION=v1",
        ],
    );
    assert!(!cluster.ok(&["logs", "env"]).contains("ABSENT"));
    assert_eq!(field(cluster, "env", ".status.containerStatuses[0].image"), image("web:v1"));
}

fn volumes_follow_their_objects(cluster: &Cluster) {
    cluster.ok(&["create", "configmap", "live", "--from-literal=word=old"]);
    cluster.ok(&["create", "secret", "generic", "live", "--from-literal=word=old"]);
    apply(
        cluster,
        "volumes",
        r#"
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: IMAGE
    command: [sleep, "3600"]
    volumeMounts: [{name: map, mountPath: /map}, {name: secret, mountPath: /secret, readOnly: true}, {name: facts, mountPath: /facts}]
  volumes:
  - {name: map, configMap: {name: live, items: [{key: word, path: deep/word, mode: 0440}]}}
  - {name: secret, secret: {secretName: live, defaultMode: 0400}}
  - {name: facts, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}
"#,
    );
    cluster.ok(&["wait", "--for=condition=Ready", "pod/volumes", "--timeout=60s"]);
    let inside = |script: &str| cluster.ok(&["exec", "volumes", "--", "sh", "-c", script]);
    assert_eq!(inside("cat /map/deep/word /secret/word"), "oldold");
    assert_eq!(inside("stat -L -c %a /map/deep/word /secret/word"), "440\n400\n");
    assert!(inside("cat /facts/labels").contains("app=\"volumes\""));
    assert!(!cluster.kubectl(&["exec", "volumes", "--", "touch", "/secret/new"]).status.success());
    cluster.ok(&["patch", "configmap", "live", "-p", r#"{"data":{"word":"new"}}"#]);
    cluster.ok(&["patch", "secret", "live", "-p", r#"{"stringData":{"word":"new"}}"#]);
    cluster.ok(&["label", "pod", "volumes", "tier=gold"]);
    eventually("the volumes say what their objects say", || {
        let read = inside("cat /map/deep/word /secret/word /facts/labels");
        (read.starts_with("newnew") && read.contains("tier=\"gold\"")).then_some(())
    });
}

fn a_token_is_readable_by_the_pods_group(cluster: &Cluster) {
    apply(
        cluster,
        "token",
        r#"
  restartPolicy: Never
  securityContext: {runAsUser: 1000, fsGroup: 2000}
  containers:
  - name: main
    image: IMAGE
    command: [sh, -c, 'id -G; stat -L -c "%g %a" /t/token; cut -d. -f2 /t/token | tr _- /+ | base64 -d 2>/dev/null; echo; touch /work/mine && stat -c %g /work/mine']
    volumeMounts: [{name: t, mountPath: /t}, {name: work, mountPath: /work}]
  volumes:
  - name: t
    projected: {sources: [{serviceAccountToken: {path: token, audience: vault, expirationSeconds: 600}}]}
  - {name: work, emptyDir: {}}
"#,
    );
    wait_for(cluster, "token", "Succeeded");
    check(cluster, "token", &["1000 2000", "2000 640", "2000"]);
    let printed = cluster.ok(&["logs", "token"]);
    assert!(printed.contains(r#""aud":["vault"]"#), "{printed}");
}

fn processes_have_the_identity_that_was_asked_for(cluster: &Cluster) {
    apply(
        cluster,
        "identity",
        r#"
  restartPolicy: Never
  securityContext: {runAsUser: 1000, runAsGroup: 3000, supplementalGroups: [4000]}
  containers:
  - name: main
    image: IMAGE
    command: [cat, /proc/self/status]
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, readOnlyRootFilesystem: true, seccompProfile: {type: RuntimeDefault}}
"#,
    );
    wait_for(cluster, "identity", "Succeeded");
    check(
        cluster,
        "identity",
        &[
            "Uid:\t1000\t1000\t1000\t1000",
            "Gid:\t3000\t3000\t3000\t3000",
            "Groups:\t3000 4000 ",
            "CapEff:\t0000000000000000",
            "CapPrm:\t0000000000000000",
            "CapBnd:\t0000000000000000",
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
        ],
    );
}

fn a_host_port_leads_to_its_pod(cluster: &Cluster) {
    let spec = "\n  terminationGracePeriodSeconds: 0\n  nodeName: node-1\n  containers: [{name: main, image: IMAGE, ports: [{containerPort: 8080, hostPort: 8081}]}]\n";
    apply(cluster, "host-port", spec);
    cluster.ok(&["wait", "--for=condition=Ready", "pod/host-port", "--timeout=60s"]);
    for address in [crate::host::ADDRESS, "127.0.0.1"] {
        let printed = eventually("the pod answers at the node's port", || {
            let output = cluster
                .host
                .command("curl")
                .args(["-sf", "-m5", &format!("http://{address}:8081/")])
                .output();
            let output = output.unwrap();
            output.status.success().then(|| both(&output))
        });
        assert_eq!(printed, "host-port v1\n");
    }
    apply(cluster, "host-port-again", spec);
    wait_for(cluster, "host-port-again", "Failed");
    assert_eq!(field(cluster, "host-port-again", ".status.reason"), "NodePorts");
}

fn what_the_node_has_not_is_refused(cluster: &Cluster) {
    let sysctl = "\n  securityContext: {sysctls: [{name: kernel.msgmax, value: \"1\"}]}\n  containers: [{name: main, image: IMAGE}]\n";
    apply(cluster, "sysctl", sysctl);
    wait_for(cluster, "sysctl", "Failed");
    assert_eq!(field(cluster, "sysctl", ".status.reason"), "SysctlForbidden");
    apply(cluster, "users", "\n  hostUsers: false\n  containers: [{name: main, image: IMAGE}]\n");
    eventually("an event says why there is no sandbox", || {
        let selector = "--field-selector=involvedObject.name=users,reason=FailedCreatePodSandBox";
        cluster.ok(&["get", "events", selector]).contains("user namespaces").then_some(())
    });
    a_profile_is_not_ignored(cluster);
}

/// The kubelet refuses the pod where the kernel has no AppArmor; where it has, the runtime refuses the container.
fn a_profile_is_not_ignored(cluster: &Cluster) {
    let spec = "\n  securityContext: {appArmorProfile: {type: RuntimeDefault}}\n  containers: [{name: main, image: IMAGE}]\n";
    apply(cluster, "profile", spec);
    let enabled = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled").unwrap_or_default();
    if enabled.starts_with('Y') {
        eventually("the container's status says why it does not start", || {
            let message = field(cluster, "profile", ".status.containerStatuses[0].state.waiting.message");
            message.contains("AppArmor is not supported by this runtime").then_some(())
        });
        return;
    }
    wait_for(cluster, "profile", "Failed");
    assert_eq!(field(cluster, "profile", ".status.reason"), "AppArmor");
    assert!(field(cluster, "profile", ".status.message").contains("AppArmor is not enabled on the host"));
}

#[test]
fn containers_end_and_begin_again_as_the_pod_says() {
    let cluster = Cluster::start();
    a_failed_container_runs_again_only_where_it_may(&cluster);
    one_containers_end_may_begin_the_pod_anew(&cluster);
    a_container_that_is_not_live_is_restarted(&cluster);
    a_pod_has_its_time_to_end(&cluster);
    a_terminal_can_be_opened(&cluster);
    files_are_copied_and_running_output_is_shown(&cluster);
}

fn a_failed_container_runs_again_only_where_it_may(cluster: &Cluster) {
    let spec = |policy: &str| {
        format!(
            r#"
  restartPolicy: {policy}
  volumes: [{{name: kept, emptyDir: {{}}}}]
  containers:
  - {{name: main, image: IMAGE, command: [sh, -c, "[ -e /kept/x ] && exit 0; touch /kept/x; echo gone >/dev/termination-log; exit 3"], volumeMounts: [{{name: kept, mountPath: /kept}}]}}
"#
        )
    };
    apply(cluster, "on-failure", &spec("OnFailure"));
    apply(cluster, "never", &spec("Never"));
    wait_for(cluster, "on-failure", "Succeeded");
    wait_for(cluster, "never", "Failed");
    let status = ".status.containerStatuses[0]";
    assert_eq!(field(cluster, "on-failure", &format!("{status}.restartCount")), "1");
    assert_eq!(field(cluster, "never", &format!("{status}.restartCount")), "0");
    let terminated = format!("{status}.state.terminated");
    assert_eq!(field(cluster, "never", &format!("{terminated}.exitCode")), "3");
    assert_eq!(field(cluster, "never", &format!("{terminated}.reason")), "Error");
    assert_eq!(field(cluster, "never", &format!("{terminated}.message")), "gone\n");
}

/// The container `source` asks for it once; what it shares with the others outlives that.
fn one_containers_end_may_begin_the_pod_anew(cluster: &Cluster) {
    apply(
        cluster,
        "anew",
        r#"
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  volumes: [{name: work, emptyDir: {}}]
  initContainers:
  - {name: init, image: IMAGE, command: [sh, -c, "echo init >>/work/log"], volumeMounts: [{name: work, mountPath: /work}]}
  containers:
  - {name: other, image: IMAGE, command: [sh, -c, "echo other >>/work/log; exec sleep 3600"], volumeMounts: [{name: work, mountPath: /work}]}
  - name: source
    image: IMAGE
    command: [sh, -c, "until grep -q other /work/log; do sleep 0.1; done; [ -e /work/again ] || { touch /work/again; exit 88; }; exec sleep 3600"]
    volumeMounts: [{name: work, mountPath: /work}]
    restartPolicy: Never
    restartPolicyRules: [{action: RestartAllContainers, exitCodes: {operator: In, values: [88]}}]
"#,
    );
    eventually("all containers run for the second time", || {
        let counts = field(cluster, "anew", ".status..restartCount");
        let running = field(cluster, "anew", ".status.containerStatuses[*].state.running.startedAt");
        (counts == "1 1 1" && running.split(' ').count() == 2).then_some(())
    });
    let log = || cluster.ok(&["exec", "anew", "-c", "other", "--", "cat", "/work/log"]);
    eventually("initialisation and both containers ran twice", || {
        (log() == "init\nother\ninit\nother\n").then_some(())
    });
    assert_eq!(field(cluster, "anew", ".status.phase"), "Running");
    let last = ".status.containerStatuses[?(@.name=='other')].lastState.terminated.reason";
    assert_eq!(field(cluster, "anew", last), "RestartingAllContainers");
    let condition = ".status.conditions[?(@.type=='AllContainersRestarting')].status";
    assert_eq!(field(cluster, "anew", condition), "False");
}

fn a_container_that_is_not_live_is_restarted(cluster: &Cluster) {
    apply(
        cluster,
        "live",
        r#"
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: IMAGE
    command: [sh, -c, "touch /tmp/live; sleep 2; rm /tmp/live; sleep 3600"]
    livenessProbe: {exec: {command: [cat, /tmp/live]}, periodSeconds: 1, failureThreshold: 1}
"#,
    );
    eventually("it was restarted", || {
        let restarts = field(cluster, "live", ".status.containerStatuses[0].restartCount");
        restarts.parse::<u32>().is_ok_and(|restarts| restarts >= 1).then_some(())
    });
    let events = cluster.ok(&[
        "get",
        "events",
        "--field-selector=involvedObject.name=live",
        "-o",
        "jsonpath={.items[*].reason}",
    ]);
    assert!(events.contains("Unhealthy") && events.contains("Killing"), "{events}");
    cluster.ok(&["delete", "pod", "live"]);
}

fn a_pod_has_its_time_to_end(cluster: &Cluster) {
    apply(
        cluster,
        "stays",
        r#"
  terminationGracePeriodSeconds: 4
  volumes: [{name: seen, hostPath: {path: SEEN, type: DirectoryOrCreate}}]
  containers:
  - name: main
    image: IMAGE
    command: [sh, -c, "trap 'date +%s >/seen/term' TERM; while true; do sleep 0.1; done"]
    lifecycle: {preStop: {exec: {command: [sh, -c, "date +%s >/seen/hook; sleep 1"]}}}
    volumeMounts: [{name: seen, mountPath: /seen}]
"#
        .replace("SEEN", cluster.data.join("seen").to_str().unwrap())
        .as_str(),
    );
    cluster.ok(&["wait", "--for=condition=Ready", "pod/stays", "--timeout=60s"]);
    let asked = Instant::now();
    cluster.ok(&["delete", "pod", "stays", "--timeout=90s"]);
    // It never ends by itself: that it was deleted at all shows that its time was limited.
    let took = asked.elapsed().as_secs_f64();
    assert!(took >= 3.5, "it took {took} s");
    let second = |name: &str| -> u64 {
        std::fs::read_to_string(cluster.data.join("seen").join(name)).unwrap().trim().parse().unwrap()
    };
    assert!(second("term") > second("hook"), "the signal came before the end of the hook");
}

fn a_terminal_can_be_opened(cluster: &Cluster) {
    crate::deployment::start_client(cluster);
    // The size comes by a message of its own, after the command has begun.
    let inside =
        r#"tty; until [ "$(stty size 2>/dev/null)" = "33 99" ]; do sleep 0.1; done; echo sized; exit 5"#;
    // Without --foreground, timeout would put kubectl into the background of the terminal that it reads.
    let line =
        format!("stty rows 33 cols 99; timeout --foreground 20 kubectl exec -it client -- sh -c '{inside}'");
    let mut typed = cluster.host.command("script");
    let output =
        typed.args(["-qec", &line, "/dev/null"]).env("KUBECONFIG", cluster.kubeconfig()).output().unwrap();
    let printed = both(&output);
    assert!(printed.contains("/dev/pts/0"), "{printed}");
    assert!(printed.contains("sized"), "{printed}");
    assert_eq!(output.status.code(), Some(5), "{printed}");
}

/// In the pod that the terminal was opened in.
fn files_are_copied_and_running_output_is_shown(cluster: &Cluster) {
    let here = crate::cluster::scratch("copied");
    let (file, back) = (here.join("file"), here.join("back"));
    let content: Vec<u8> = (0..1_000_000_u32).map(|byte| (byte % 251) as u8).collect();
    std::fs::write(&file, &content).unwrap();
    cluster.ok(&["cp", file.to_str().unwrap(), "client:/tmp/file"]);
    cluster.ok(&["cp", "client:/tmp/file", back.to_str().unwrap()]);
    assert!(std::fs::read(&back).unwrap() == content, "it came back changed");
    std::fs::remove_dir_all(here).unwrap();

    apply(
        cluster,
        "ticks",
        r#"
  terminationGracePeriodSeconds: 0
  containers: [{name: main, image: IMAGE, command: [sh, -c, "while true; do echo tick; sleep 0.2; done"]}]
"#,
    );
    cluster.ok(&["wait", "--for=condition=Ready", "pod/ticks", "--timeout=60s"]);
    let mut attached = cluster.host.command("sh");
    let line = "timeout 60 kubectl attach ticks 2>/dev/null | head -n 2";
    let output = attached.args(["-c", line]).env("KUBECONFIG", cluster.kubeconfig()).output().unwrap();
    assert_eq!(both(&output), "tick\ntick\n");
}
