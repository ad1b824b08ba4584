//! The system calls that the monitor needs and `std` does not have, declared by hand: this program has no dependencies.
//! Linux with the generic system call numbering of constants (x86-64 and arm64 share all of these).

use std::ffi::{CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

pub(crate) const POLLIN: i16 = 1;
pub(crate) const POLLOUT: i16 = 4;
const SIGKILL: c_int = 9;
pub(crate) const SIGTERM: c_int = 15;
pub(crate) const SIGINT: c_int = 2;
const SIGPIPE: c_int = 13;
const SIGCHLD: c_int = 17;
const SIG_SETMASK: c_int = 2;
const SIG_DFL: usize = 0;
const WNOHANG: c_int = 1;
const O_NONBLOCK: c_int = 0o4000;
const O_CLOEXEC: c_int = 0o2_000_000;
const F_SETFL: c_int = 4;
const F_DUPFD_CLOEXEC: c_int = 1030;
const AF_UNIX: c_int = 1;
const SOCK_SEQPACKET: c_int = 5;
const SOL_SOCKET: c_int = 1;
const SCM_RIGHTS: c_int = 1;
const MSG_DONTWAIT: c_int = 0x40;
const MSG_CMSG_CLOEXEC: c_int = 0x4000_0000;
const TIOCSWINSZ: u64 = 0x5414;

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct PollFd {
    pub(crate) fd: RawFd,
    pub(crate) events: i16,
    pub(crate) revents: i16,
}

#[repr(C)]
pub(crate) struct SigSet([u64; 16]);

#[repr(C)]
struct IoVec {
    base: *mut c_void,
    len: usize,
}

#[repr(C)]
struct MsgHdr {
    name: *mut c_void,
    namelen: u32,
    iov: *mut IoVec,
    iovlen: usize,
    control: *mut c_void,
    controllen: usize,
    flags: c_int,
}

/// A control message with room for one descriptor.
#[repr(C)]
struct OneFd {
    len: usize,
    level: c_int,
    kind: c_int,
    fd: RawFd,
    padding: c_int,
}

#[repr(C)]
struct WinSize {
    rows: u16,
    columns: u16,
    x: u16,
    y: u16,
}

unsafe extern "C" {
    fn poll(fds: *mut PollFd, count: u64, timeout: c_int) -> c_int;
    fn fork() -> c_int;
    fn execv(path: *const c_char, argv: *const *const c_char) -> c_int;
    fn _exit(code: c_int) -> !;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    #[link_name = "kill"]
    fn c_kill(pid: c_int, signal: c_int) -> c_int;
    fn pipe2(fds: *mut c_int, flags: c_int) -> c_int;
    fn dup2(old: c_int, new: c_int) -> c_int;
    fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
    fn socketpair(domain: c_int, kind: c_int, protocol: c_int, fds: *mut c_int) -> c_int;
    fn recvmsg(fd: c_int, message: *mut MsgHdr, flags: c_int) -> isize;
    fn signalfd(fd: c_int, mask: *const SigSet, flags: c_int) -> c_int;
    fn sigprocmask(how: c_int, set: *const SigSet, old: *mut SigSet) -> c_int;
    fn sigaddset(set: *mut SigSet, signal: c_int) -> c_int;
    fn signal(number: c_int, handler: usize) -> usize;
    fn ioctl(fd: c_int, request: u64, ...) -> c_int;
    fn pause() -> c_int;
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Waits until one of `fds` is ready.
pub(crate) fn wait_ready(fds: &mut [PollFd], timeout_ms: i32) -> io::Result<()> {
    // SAFETY: the slice is valid for its length during the call.
    match check(unsafe { poll(fds.as_mut_ptr(), fds.len() as u64, timeout_ms) }) {
        Err(e) if e.kind() != io::ErrorKind::Interrupted => Err(e),
        _ => Ok(()),
    }
}

/// Blocks `SIGCHLD` and answers a descriptor that becomes readable when a child has ended.
pub(crate) fn child_signals() -> io::Result<OwnedFd> {
    let mut set = SigSet([0; 16]);
    // SAFETY: `set` is a signal set of the C library's size, all calls only read or write it.
    unsafe {
        check(sigaddset(&raw mut set, SIGCHLD))?;
        check(sigprocmask(SIG_SETMASK, &raw const set, std::ptr::null_mut()))?;
        Ok(OwnedFd::from_raw_fd(check(signalfd(-1, &raw const set, O_CLOEXEC | O_NONBLOCK))?))
    }
}

/// A child that has ended: its process and its code as a shell tells it (128 + signal for killed ones).
pub(crate) fn reap() -> Option<(i32, i32)> {
    let mut status = 0;
    // SAFETY: `status` is valid for writing.
    let pid = unsafe { waitpid(-1, &raw mut status, WNOHANG) };
    let signal = status & 0x7f;
    (pid > 0).then_some((pid, if signal == 0 { (status >> 8) & 0xff } else { 128 + signal }))
}

/// Waits for any child, or a signal.
pub(crate) fn reap_or_sleep() {
    let mut status = 0;
    // SAFETY: `status` is valid for writing; `pause` has no arguments.
    unsafe {
        if waitpid(-1, &raw mut status, 0) < 0 {
            pause();
        }
    }
}

/// Ends the process when a signal comes.
pub(crate) fn exit_on(number: c_int) {
    extern "C" fn leave(_: c_int) {
        // SAFETY: `_exit` may be called in a signal handler.
        unsafe { _exit(0) }
    }
    // SAFETY: the handler only calls an async-signal-safe function.
    unsafe { signal(number, leave as extern "C" fn(c_int) as usize) };
}

/// Makes an arriving child signal interrupt a sleep.
pub(crate) fn wake_on_child() {
    extern "C" fn nothing(_: c_int) {}
    // SAFETY: the handler does nothing.
    unsafe { signal(SIGCHLD, nothing as extern "C" fn(c_int) as usize) };
}

pub(crate) fn kill(pid: i32) {
    // SAFETY: no memory is involved. That the process is gone already is fine.
    unsafe { c_kill(pid, SIGKILL) };
}

/// A pipe as (read end, write end), closed on exec; the read end does not block.
pub(crate) fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = input_pipe()?;
    set_nonblocking(&read)?;
    Ok((read, write))
}

/// A pipe as (read end, write end), closed on exec, both blocking.
pub(crate) fn input_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: room for two descriptors; both are new and owned by nobody else.
    unsafe {
        check(pipe2(fds.as_mut_ptr(), O_CLOEXEC))?;
        Ok((OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])))
    }
}

/// Two connected sockets that keep message boundaries, closed on exec.
pub(crate) fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: as for pipes.
    unsafe {
        check(socketpair(AF_UNIX, SOCK_SEQPACKET | O_CLOEXEC, 0, fds.as_mut_ptr()))?;
        Ok((OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])))
    }
}

pub(crate) fn set_nonblocking(fd: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: no memory is involved.
    check(unsafe { fcntl(fd.as_raw_fd(), F_SETFL, O_NONBLOCK) }).map(drop)
}

/// Receives one message with at most one descriptor, without waiting. Zero bytes mean that the other side is gone.
pub(crate) fn receive(fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut vector = IoVec { base: buffer.as_mut_ptr().cast(), len: buffer.len() };
    let mut control = OneFd { len: 0, level: 0, kind: 0, fd: -1, padding: 0 };
    let mut message = MsgHdr {
        name: std::ptr::null_mut(),
        namelen: 0,
        iov: &raw mut vector,
        iovlen: 1,
        control: (&raw mut control).cast(),
        controllen: size_of::<OneFd>(),
        flags: 0,
    };
    // SAFETY: all pointers are valid during the call and the lengths are theirs.
    let count = unsafe { recvmsg(fd.as_raw_fd(), &raw mut message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    let has_fd = message.controllen > 0
        && control.level == SOL_SOCKET
        && control.kind == SCM_RIGHTS
        && control.fd >= 0;
    // SAFETY: the kernel made this descriptor for us.
    Ok((count, has_fd.then(|| unsafe { OwnedFd::from_raw_fd(control.fd) })))
}

/// Points standard input, output and error at `null`, so that nobody waits for us to close theirs.
pub(crate) fn leave_stdio(null: &impl AsRawFd) -> io::Result<()> {
    for target in 0..3 {
        // SAFETY: no memory is involved.
        check(unsafe { dup2(null.as_raw_fd(), target) })?;
    }
    Ok(())
}

pub(crate) fn resize(terminal: &OwnedFd, rows: u16, columns: u16) {
    let size = WinSize { rows, columns, x: 0, y: 0 };
    // SAFETY: the structure is valid during the call. That the terminal is gone is fine.
    unsafe { ioctl(terminal.as_raw_fd(), TIOCSWINSZ, &raw const size) };
}

/// Runs a program with `fds` as its descriptors 0, 1, 2, … and nothing else open. Signals are as a program expects them.
pub(crate) fn spawn(args: &[&str], fds: &[RawFd]) -> io::Result<i32> {
    let args: Vec<CString> = args.iter().map(|a| CString::new(*a)).collect::<Result<_, _>>()?;
    let mut argv: Vec<*const c_char> = args.iter().map(|a| a.as_ptr()).collect();
    argv.push(std::ptr::null());
    // Above the targets, so that no target overwrites a source.
    let mut high = Vec::new();
    for fd in fds {
        // SAFETY: the new descriptor is owned by nobody else.
        high.push(unsafe { OwnedFd::from_raw_fd(check(fcntl(*fd, F_DUPFD_CLOEXEC, 64))?) });
    }
    // SAFETY: this program has one thread; the child only makes async-signal-safe calls.
    let pid = check(unsafe { fork() })?;
    if pid > 0 {
        return Ok(pid);
    }
    let none = SigSet([0; 16]);
    // SAFETY: we are the child; all pointers were made before the fork.
    unsafe {
        sigprocmask(SIG_SETMASK, &raw const none, std::ptr::null_mut());
        signal(SIGPIPE, SIG_DFL);
        for (target, fd) in high.iter().enumerate() {
            if dup2(fd.as_raw_fd(), target as c_int) < 0 {
                _exit(127);
            }
        }
        execv(argv[0], argv.as_ptr());
        _exit(127)
    }
}
