//! Servers in processes of their own that are killed while they write: everything that they said and showed is true of what
//! is there in the end.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use store::*;
use testing::history::{Log, Recorder, Requires, Said, Stream, Transcript};

use crate::place::{at, place};
use crate::support::load::{self, Load};
use crate::support::*;

const PREFIX: &str = "COXSWAIN_STORE_KILL_PREFIX";
/// Under which address others reach a process; loopback where it is not set.
pub(crate) const ADDRESS: &str = "COXSWAIN_STORE_KILL_ADDRESS";
/// Set where a process is to tell what the store holds.
const TELL: &str = "COXSWAIN_STORE_KILL_TELL";

/// Between two writes of one writer: whoever joins reads all that was ever written, and in many rounds that gets much.
const PAUSE: Duration = Duration::from_millis(30);
/// After which another one writes when the owner was killed.
const TAKEN_OVER: Duration = Duration::from_secs(3);
/// How many times as long a promise may take on a machine that does much else.
pub(crate) const SLOWNESS: u32 = 5;
/// How long a server may say nothing before the test fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// Nothing is forgotten, however long a slow machine takes.
fn remembering() -> Options {
    Options { horizon: Duration::from_secs(24 * 60 * 60), ..Options::default() }
}

/// Run by the tests below in a process of its own; without the variable it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_writes_until_it_is_killed() {
    let Ok(prefix) = std::env::var(PREFIX) else { return };
    let address = std::env::var(ADDRESS).map_or(peer().advertise, |text| text.parse().unwrap());
    let peer = Peer { bind: (address, 0).into(), advertise: address };
    let store = Store::join(tikv::open(&at(&prefix)).unwrap(), remembering(), peer).await.unwrap();
    println!("joined");
    if std::env::var_os(TELL).is_some() {
        return tell(&store).await;
    }
    Load::told().run(store).await;
}

/// Prints everything that ever happened.
async fn tell(store: &Store) {
    let recorder = Recorder::new(1, 1);
    let tip = until_done(store, &recorder).await;
    recorder.calls().iter().for_each(|call| println!("{}", Transcript::call(call)));
    for event in load::take_until(store, 1, tip).await {
        println!("{}", Transcript::change(&load::change(&event)));
    }
    println!("told");
}

/// Lets a process tell what the store holds, which is the log from the first revision on; and what it did for that.
pub(crate) fn history(mut command: Command, prefix: &str) -> (Log, Transcript) {
    command.env(TELL, "yes");
    let mut server = start_as(command, prefix);
    while let Ok(line) = server.lines.recv() {
        server.take(&line);
    }
    server.process.wait().unwrap();
    let mut log = Log::new(1);
    server.said.changes.drain(..).for_each(|change| log.push(change));
    (log, server.said)
}

pub(crate) struct Server {
    process: Child,
    /// What it prints, as soon as it does.
    lines: Receiver<String>,
    said: Transcript,
    /// Whether it ordered what it last wrote.
    is_owner: bool,
}

fn start(prefix: &str) -> Server {
    start_as(Command::new(std::env::current_exe().unwrap()), prefix)
}

pub(crate) fn start_as(mut command: Command, prefix: &str) -> Server {
    static PROCESSES: AtomicUsize = AtomicUsize::new(0);
    let load = Load::of(PROCESSES.fetch_add(1, Ordering::Relaxed), 8);
    Load { pause: PAUSE, ..load }.tell(&mut command);
    let mut process = command
        .args(["--exact", "kill::child_that_writes_until_it_is_killed", "--nocapture"])
        .env(PREFIX, prefix)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (print, lines) = channel();
    let output = BufReader::new(process.stdout.take().unwrap());
    std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| print.send(line)));
    let has_joined = lines.iter().any(|line| line.contains("joined"));
    assert!(has_joined, "it does not open: {:#?}", inspect(&tikv::open(&at(prefix)).unwrap()));
    Server { process, lines, said: Transcript::default(), is_owner: false }
}

impl Server {
    /// Takes a line; whether it acknowledges a write.
    fn take(&mut self, line: &str) -> bool {
        self.said.take(line);
        let place = line.strip_prefix("ack ");
        self.is_owner = place.map_or(self.is_owner, |place| place == "owner");
        place.is_some()
    }

    /// Reads what there is and so many acknowledgements more; whether the last one says that this server is the owner.
    pub(crate) fn read(&mut self, count: usize) -> bool {
        while let Ok(line) = self.lines.try_recv() {
            self.take(&line);
        }
        let mut acknowledged = 0;
        while acknowledged < count {
            let line = self.lines.recv_timeout(PATIENCE).expect("it goes on");
            acknowledged += usize::from(self.take(&line));
        }
        self.is_owner
    }

    /// Kills it; gives everything it had said. The last line may be cut.
    pub(crate) fn kill(mut self) -> Transcript {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        while let Ok(line) = self.lines.recv() {
            self.take(&line);
        }
        self.said
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_owners_are_killed() {
    let rounds: usize = std::env::var("COXSWAIN_STORE_KILLS").map_or(3, |text| text.parse().unwrap());
    let place = place();
    let mut servers = vec![start(&place.prefix), start(&place.prefix)];
    let engine = tikv::open(&place).unwrap();
    // What the witnesses do; theirs is one watch, which each resumes where the last one ended.
    let (recorder, mut seen, mut transcripts) = (Recorder::new(1, 1), Stream::new(1), Vec::new());
    for round in 0..rounds {
        // Its place in the cluster is new each time, so the owner is one of the others.
        let witness = join(&engine, remembering()).await;
        let owner = owner(&mut servers);
        transcripts.push(servers.remove(owner).kill());
        let killed = Instant::now();
        let revision = until_done(&witness, &recorder).await;
        println!("round {round}: a write was done {:?} after the kill", killed.elapsed());
        assert!(killed.elapsed() < SLOWNESS * TAKEN_OVER, "{:?} went by without a write", killed.elapsed());
        let events = load::take_until(&witness, seen.position(), revision).await;
        seen.told.extend(events.iter().map(|event| load::told(event)));
        witness.close().await;
        servers.push(start(&place.prefix));
    }
    transcripts.extend(servers.into_iter().map(Server::kill));
    let acknowledged = transcripts.iter().map(Transcript::acknowledged).sum::<usize>();
    assert!(acknowledged > 60 * rounds, "only {acknowledged} acknowledged writes were seen");
    let witness = join(&engine, remembering()).await;
    until_done(&witness, &recorder).await;
    transcripts.push(Transcript { calls: recorder.calls(), streams: vec![seen], changes: Vec::new() });
    let log = load::log_of(&witness).await;
    load::judge(&log, 1, &transcripts);
    println!("{acknowledged} acknowledged writes are among {}", log.tip() - 1);
    assert_eq!(inspect(&engine).unwrap().problems, Vec::<String>::new());
}

/// Reads what the servers acknowledge until one of them says that it is the owner.
pub(crate) fn owner(servers: &mut [Server]) -> usize {
    loop {
        let owners: Vec<bool> = servers.iter_mut().map(|server| server.read(60)).collect();
        if let Some(owner) = owners.iter().position(|is_owner| *is_owner) {
            return owner;
        }
    }
}

async fn until_done(store: &Store, recorder: &Recorder) -> Revision {
    let write = async {
        loop {
            let call = recorder.ask("witness", Requires::Nothing, false);
            let order = Write::Put(load::content(call.write, 1));
            let outcome = store.commit(key("witness"), Precondition::Any, order).await;
            match recorder.answer(call, load::said(&outcome)).said {
                Said::Done(revision) => return revision,
                Said::Unknown | Said::NotDone => {}
                said => panic!("{said:?}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, write).await.unwrap()
}
