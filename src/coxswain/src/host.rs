//! Questions to the machine: its name, its address, what it lacks.

pub(crate) mod memory;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use tokio::signal::unix::{SignalKind, signal};
use tracing::warn;

/// The host name.
pub(crate) fn name() -> anyhow::Result<String> {
    let name = nix::unistd::gethostname().context("cannot read the host name; give --node-name")?;
    name.into_string().ok().context("the host name is not text; give --node-name")
}

/// Becomes the same program with the same arguments, in the same process, as if it had been started again. Returns only why
/// it cannot.
pub(crate) fn begin_anew() -> std::io::Error {
    let mut arguments = std::env::args_os();
    // Not by its path: the file may have been replaced meanwhile.
    let mut program = Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        program.arg0(name);
    }
    program.args(arguments).exec()
}

/// The address under which others reach this machine: the one it was told to bind, else the one its default route
/// starts from, else the first of a link that is up.
///
/// # Errors
/// The machine has only loopback addresses.
pub(crate) fn address(bind: IpAddr) -> anyhow::Result<Ipv4Addr> {
    match bind {
        IpAddr::V4(ip) if !ip.is_unspecified() && !ip.is_loopback() => Ok(ip),
        _ => source_of_default_route().or_else(first_of_a_link).context(
            "this machine has no IPv4 address but loopback: give one to a link, since pods reach the API by it",
        ),
    }
}

/// Connecting a datagram socket sends nothing; it only asks the routing table.
fn source_of_default_route() -> Option<Ipv4Addr> {
    let documentation = SocketAddr::from(([192, 0, 2, 1], 9));
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(documentation).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(ip) if !ip.is_loopback() => Some(ip),
        _ => None,
    }
}

fn first_of_a_link() -> Option<Ipv4Addr> {
    addresses().into_iter().next()
}

/// Every IPv4 address of a link that is up, loopback apart.
pub(crate) fn addresses() -> Vec<Ipv4Addr> {
    let links = getifaddrs().inspect_err(|error| warn!(%error, "this machine's addresses cannot be listed"));
    links
        .into_iter()
        .flatten()
        .filter(|link| link.flags.contains(InterfaceFlags::IFF_UP))
        .filter_map(|link| Some(link.address?.as_sockaddr_in()?.ip()))
        .filter(|ip| !ip.is_loopback())
        .collect()
}

/// Listens from now on for SIGTERM and SIGINT; the future ends with the first that came since.
///
/// # Errors
/// The kernel refuses the handlers.
pub(crate) fn told_to_end() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Fails with the first thing a node needs that is missing here.
pub(crate) fn check_for_node() -> anyhow::Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "a node must run as root, since it makes namespaces, mounts and cgroups: use sudo, or --without-node"
    );
    let filesystems =
        std::fs::read_to_string("/proc/filesystems").context("cannot read /proc/filesystems")?;
    if !filesystems.lines().any(|line| line.trim_start_matches("nodev").trim() == "overlay") {
        bail!("the kernel has no overlayfs, which images need: load it with `modprobe overlay`");
    }
    ensure!(
        std::path::Path::new("/sys/fs/cgroup").read_dir().is_ok_and(|mut entries| entries.next().is_some()),
        "no cgroups are mounted at /sys/fs/cgroup: mount cgroup2 there"
    );
    network::check().context("pod networking cannot work here")
}

/// Runs what goes on until it is told to end. What then still blocks a thread, such as a connection to a store that does not
/// answer, is not waited for.
///
/// # Errors
/// Its own.
pub(crate) fn run(role: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    memory::keep_low();
    let runtime = runtime()?;
    let outcome = runtime.block_on(role);
    runtime.shutdown_background();
    outcome
}

/// At most four worker threads: what the server does is short, and idle threads cost memory.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(4);
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?)
}
