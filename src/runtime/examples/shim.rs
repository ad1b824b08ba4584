//! A program that is nothing but the shim, so that the crate's tests can run containers without the `coxswain` binary.

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((first, rest)) if first == "shim" => coxswain_runtime::shim::main(rest),
        _ => {
            eprintln!("usage: shim shim …");
            std::process::exit(2);
        }
    }
}
