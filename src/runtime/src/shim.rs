//! Entry of `coxswain shim …`: what must be done in a process of its own that has a single thread.
//!
//! Joining namespaces and cloning as libcontainer does are not possible in the runtime's own, threaded process. So the
//! binary calls itself: `sandbox` becomes a sandbox's monitor, `create` is started by that monitor for each container, `exec` is
//! started by the runtime for each command. None of them talks to the network or reads a store; what they need is in
//! the directory that they are given. They answer on a descriptor and exit.

mod create;
mod devices;
mod exec;
pub(crate) mod program;
pub(crate) mod sandbox;

/// Runs the subcommand named by `args[0]` and never returns. Must be called before any thread exists.
///
/// `sandbox DIRECTORY` · `create DIRECTORY` · `exec DIRECTORY PID TICKS tty|pipe -- COMMAND…`
pub fn main(args: &[String]) -> ! {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["sandbox", directory] => sandbox::main(directory.as_ref()),
        ["create", directory] => create::main(directory.as_ref()),
        ["exec", directory, pid, ticks, stdio, "--", ref command @ ..] => {
            exec::main(directory.as_ref(), pid, ticks, stdio == "tty", command)
        }
        _ => {
            eprintln!("coxswain shim: started by the runtime only");
            std::process::exit(2)
        }
    }
}
