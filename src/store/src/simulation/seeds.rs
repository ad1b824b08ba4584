//! Which seeds a simulation runs: those that failed once, then a range.
//!
//! COXSWAIN_STORE_SEED replays one, COXSWAIN_STORE_SEEDS says how many are tried. A seed that fails is printed and added
//! to the simulation's file under `seeds/`, which is committed.

use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

/// How many are tried where nobody says.
pub(crate) const SEEDS: usize = 200;

/// Runs a simulation once per seed; `run` gives the number of writes that were done. Panics with the first failure, and
/// when so little was done that nothing was shown. Gives the number of seeds.
pub(crate) fn run_all(simulation: &str, run: impl Fn(u64) -> usize) -> usize {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(simulation);
    let seeds = seeds(&kept);
    let mut done = 0;
    for &seed in &seeds {
        done += catch_unwind(AssertUnwindSafe(|| run(seed))).unwrap_or_else(|cause| {
            eprintln!("{simulation}: seed {seed} fails: replay it with COXSWAIN_STORE_SEED={seed}");
            keep(&kept, seed);
            resume_unwind(cause)
        });
    }
    println!("{simulation}: {} seeds, {done} writes done", seeds.len());
    assert!(done > 10 * seeds.len(), "only {done} writes in {} runs: that shows nothing", seeds.len());
    seeds.len()
}

fn seeds(kept: &PathBuf) -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    if let Some(seed) = number("COXSWAIN_STORE_SEED") {
        return vec![seed];
    }
    let mut seeds = once_failed(kept);
    seeds.extend(0..number("COXSWAIN_STORE_SEEDS").unwrap_or(SEEDS as u64));
    seeds
}

fn once_failed(kept: &PathBuf) -> Vec<u64> {
    let text = fs::read_to_string(kept).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.parse().unwrap()).collect()
}

fn keep(kept: &PathBuf, seed: u64) {
    if !once_failed(kept).contains(&seed) {
        // Where the sources cannot be written to, what was printed has to do.
        let file = fs::OpenOptions::new().append(true).open(kept);
        file.and_then(|mut file| writeln!(file, "{seed}")).ok();
    }
}
