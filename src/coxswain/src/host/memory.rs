//! What keeps an idle process small: settings of the allocator before anything else, and letting go of what only the start
//! needed once that is over.

use std::time::Duration;

use tracing::{debug, warn};

/// So long after a process reported that it is up, what follows from the start is over, too: the first lists, the node's
/// first status.
const SETTLED_AFTER: Duration = Duration::from_secs(10);

/// glibc gives every thread an arena of its own and keeps what it frees: two arenas and an early trim keep an idle node
/// small.
pub(crate) fn keep_low() {
    // SAFETY: mallopt only changes settings of the allocator and is called before any other thread exists.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 256 * 1024);
    }
}

/// Waits until the start is over, and gives back to the machine the memory that it took: what the allocator holds unused, and
/// the pages of the program's code that no other process has mapped. Of the code, what runs on is read from the file again
/// as it runs; most of what a start reads never runs again (`docs/decisions/0028`).
pub(crate) async fn settle() {
    tokio::time::sleep(SETTLED_AFTER).await;
    // SAFETY: gives back what is free; glibc locks each arena meanwhile.
    unsafe { libc::malloc_trim(0) };
    match std::fs::read_to_string("/proc/self/maps") {
        Ok(maps) => match code(&maps, settle as *const () as usize) {
            Some(range) => let_go(range),
            None => warn!("the program's own code is not among its mappings"),
        },
        Err(error) => warn!(%error, "the program's mappings cannot be read"),
    }
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    start: usize,
    end: usize,
}

/// The mapping that `address` lies in, if it is code that nobody can have written to, mapped from a file.
fn code(maps: &str, address: usize) -> Option<Range> {
    maps.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let bound = |text| usize::from_str_radix(text, 16).ok();
        let range = Range { start: bound(start)?, end: bound(end)? };
        let (permissions, file) = (fields.next()?, fields.nth(3)?);
        let is_wanted = permissions == "r-xp" && file.starts_with('/');
        (is_wanted && (range.start..range.end).contains(&address)).then_some(range)
    })
}

fn let_go(range: Range) {
    let length = range.end - range.start;
    // SAFETY: asks for the pages to be reclaimed as under memory pressure, which changes nothing that a program can see.
    let outcome = unsafe { libc::madvise(range.start as *mut libc::c_void, length, libc::MADV_PAGEOUT) };
    match outcome {
        0 => debug!(bytes = length, "the start's code is let go of"),
        _ => warn!(error = %std::io::Error::last_os_error(), "the start's code stays in memory"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_from_a_file_that_was_never_writable_is_let_go_of() {
        let maps = "1000-2000 r--p 00000000 fe:00 7 /bin/x\n2000-4000 r-xp 00001000 fe:00 7 /bin/x\n\
                    4000-5000 rwxp 00003000 fe:00 7 /bin/x\n5000-6000 r-xp 00000000 00:00 0 [vdso]\n6000-7000 r-xp 0 0:0 0\n";
        let check = |address, expected: Option<(usize, usize)>| {
            let found = code(maps, address).map(|range| (range.start, range.end));
            assert_eq!(found, expected, "{address:x}");
        };
        check(0x3fff, Some((0x2000, 0x4000)));
        [0x1000, 0x4000, 0x5800, 0x6800, 0x9000].into_iter().for_each(|address| check(address, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_works_on_after_its_code_was_let_go_of() {
        let resident = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find(|line| line.starts_with("RssFile:")).unwrap();
            line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
        };
        let before = resident();
        settle().await;
        assert!(resident() < before, "{} KiB of {before} KiB are still mapped", resident());
    }
}
