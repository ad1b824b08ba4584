//! Process 1 of a PID namespace that the containers of a pod share: reaps what they orphan, ends on `SIGTERM`.

use crate::sys;

pub(crate) fn run() -> ! {
    sys::exit_on(sys::SIGTERM);
    sys::exit_on(sys::SIGINT);
    sys::wake_on_child();
    loop {
        sys::reap_or_sleep();
    }
}
