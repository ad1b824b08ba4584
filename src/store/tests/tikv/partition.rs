//! Servers in network namespaces of their own, cut off from TiKV and from each other while they write: another one takes
//! over, and everything that was said and shown is true of what is there in the end. It brings its own TiKV, in a namespace, too.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use testing::history::Transcript;

use crate::kill::{self, SLOWNESS, Server};
use crate::support::load;

/// After which another one writes when nothing is heard of the owner any more.
const TAKEN_OVER: Duration = Duration::from_secs(15);
/// How long nothing gets through: longer than a silent partition may stop writes.
const CUT: Duration = Duration::from_secs(20);

/// A hub with TiKV and, for each server, a namespace with a link to it. Removed when it is dropped.
struct Site {
    name: String,
    home: PathBuf,
    servers: usize,
}

impl Site {
    fn new(servers: usize) -> Self {
        let name = format!("cxp{}", std::process::id());
        let home = std::env::temp_dir().join(format!("{name}-tikv"));
        let site = Self { name, home, servers };
        let hub = &site.name;
        ip(&format!("netns add {hub}"));
        ip(&format!("-n {hub} link set lo up"));
        ip(&format!("-n {hub} link add hub type bridge"));
        ip(&format!("-n {hub} addr add 192.0.2.1/24 dev hub"));
        ip(&format!("-n {hub} link set hub up"));
        for at in 0..servers {
            let own = site.namespace(at);
            ip(&format!("netns add {own}"));
            ip(&format!("-n {own} link set lo up"));
            ip(&format!("-n {own} link add uplink type veth peer name to{at} netns {hub}"));
            ip(&format!("-n {own} addr add {}/24 dev uplink", address(at)));
            ip(&format!("-n {own} link set uplink up"));
            ip(&format!("-n {hub} link set to{at} master hub up"));
        }
        site.filter("add table inet cut");
        site.filter("add set inet cut off { type ipv4_addr; }");
        for (hook, end) in [("input", "saddr"), ("output", "daddr")] {
            site.filter(&format!("add chain inet cut {hook} {{ type filter hook {hook} priority 0; }}"));
            site.filter(&format!("add rule inet cut {hook} ip {end} @off drop"));
        }
        site.tikv("up");
        site
    }

    fn namespace(&self, at: usize) -> String {
        format!("{}-{at}", self.name)
    }

    /// `hack/tikv` in the hub.
    fn tikv(&self, what: &str) {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../hack/tikv");
        let output = Command::new("ip")
            .args(["netns", "exec", &self.name, program, what])
            .env("COXSWAIN_TIKV", &self.home)
            .env("COXSWAIN_TIKV_HOST", "192.0.2.1")
            .env("COXSWAIN_TIKV_PD", "2379")
            .stdout(Stdio::null())
            .status();
        assert!(output.unwrap().success(), "hack/tikv {what}");
    }

    /// A process in a namespace.
    fn command(&self, at: usize) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(at)]).arg(std::env::current_exe().unwrap());
        command.env("COXSWAIN_TIKV_ENDPOINTS", "192.0.2.1:2379").env(kill::ADDRESS, address(at));
        command
    }

    /// Lets nothing through, and tells nobody.
    fn cut(&self, at: usize, what: Cut) {
        match what {
            Cut::FromAll => ip(&format!("-n {} link set to{at} nomaster", self.name)),
            Cut::FromTikv => self.filter(&format!("add element inet cut off {{ {} }}", address(at))),
        }
    }

    fn mend(&self, at: usize, what: Cut) {
        match what {
            Cut::FromAll => ip(&format!("-n {} link set to{at} master hub", self.name)),
            Cut::FromTikv => self.filter(&format!("delete element inet cut off {{ {} }}", address(at))),
        }
    }

    /// `nft` in the hub. What servers say to each other crosses its bridge and meets no rule of its own addresses.
    fn filter(&self, command: &str) {
        let status = Command::new("ip").args(["netns", "exec", &self.name, "nft", command]).status();
        assert!(status.unwrap().success(), "nft {command}");
    }
}

/// What a server is cut off from.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// TiKV and the other servers.
    FromAll,
    /// TiKV alone: the servers still hear each other.
    FromTikv,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.tikv("down");
        for at in 0..self.servers {
            ip(&format!("netns delete {}", self.namespace(at)));
        }
        ip(&format!("netns delete {}", self.name));
        fs::remove_dir_all(&self.home).unwrap();
    }
}

fn address(at: usize) -> String {
    format!("192.0.2.{}", 10 + at)
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

#[test]
fn nothing_acknowledged_is_lost_when_owners_are_cut_off() {
    let rounds: usize = std::env::var("COXSWAIN_STORE_CUTS").map_or(2, |text| text.parse().unwrap());
    let site = Site::new(3);
    let mut servers: Vec<Server> = (0..2).map(|at| kill::start_as(site.command(at), "m/cut/")).collect();
    for round in 0..rounds {
        let owner = kill::owner(&mut servers);
        let other = 1 - owner;
        let what = [Cut::FromAll, Cut::FromTikv][round % 2];
        site.cut(owner, what);
        let cut = Instant::now();
        // What it says from then on is by a new owner: it cannot have followed one that no longer writes.
        while !servers[other].read(1) {}
        println!("round {round}: the other wrote {:?} after the owner was cut off: {what:?}", cut.elapsed());
        assert!(cut.elapsed() < SLOWNESS * TAKEN_OVER, "{:?} went by without a write", cut.elapsed());
        while cut.elapsed() < CUT {
            servers[other].read(50);
        }
        site.mend(owner, what);
        // The one that was cut off writes again.
        servers[owner].read(50);
    }
    let mut transcripts: Vec<Transcript> = servers.into_iter().map(Server::kill).collect();
    let acknowledged = transcripts.iter().map(Transcript::acknowledged).sum::<usize>();
    assert!(acknowledged > 100 * rounds, "only {acknowledged} acknowledged writes were seen");
    let (log, teller) = kill::history(site.command(2), "m/cut/");
    transcripts.push(teller);
    load::judge(&log, 1, &transcripts);
    println!("{acknowledged} acknowledged writes are among {}", log.tip() - 1);
}
