//! Mishaps that the random simulation meets as well, each by itself and with what has to come of it.

use tokio::runtime;

use super::World;
use super::succession::pair;
use crate::cluster::member::{Input, Role};

/// Writes by the first member until one is done; gives how many that took.
fn write(world: &mut World) -> usize {
    let before = world.log.tip();
    let tries = (1..100).find(|_| {
        world.burst(0);
        world.log.tip() > before
    });
    tries.expect("some write has a precondition that holds")
}

fn epoch(world: &World) -> Role {
    world.servers[0].role.borrow().clone()
}

#[test]
fn a_write_that_was_done_and_refused_when_it_was_sent_again_is_answered_as_done_by_the_same_owner() {
    let mut world = pair();
    let before = epoch(&world);
    for _ in 0..20 {
        world.servers[0].way.state().unanswered = 1;
        write(&mut world);
        // Whoever was told something else would do it again.
        world.log.check_calls(&world.calls);
        assert_eq!(epoch(&world), before);
        assert_eq!(world.servers[0].shared.tip(), world.log.tip());
    }
    let said = world.calls.iter().filter(|call| matches!(call.said, testing::history::Said::Done(_))).count();
    assert!(said >= 20, "{said} of the writes were said to be done");
}

#[test]
fn a_beat_that_was_done_and_refused_when_it_was_sent_again_leaves_the_owner_what_it_is() {
    let mut world = pair();
    let before = epoch(&world);
    for _ in 0..5 {
        world.time.pass(1500);
        world.servers[0].way.state().unanswered = 1;
        world.tell(0, vec![Input::Tick]);
        assert_eq!(epoch(&world), before);
        write(&mut world);
    }
}

#[test]
fn news_that_could_not_be_read_when_it_came_is_read_with_the_next_tick() {
    let mut world = pair();
    for failing in 1..6 {
        write(&mut world);
        // A call that is cut is counted before it fails.
        world.servers[1].way.state().cut = failing + 1;
        world.tell(1, vec![Input::News]);
        assert!(world.servers[1].shared.tip() < world.log.tip(), "it could not be read");
        for _ in 0..failing {
            world.tell(1, vec![Input::Tick]);
        }
        assert_eq!(world.servers[1].shared.tip(), world.log.tip());
    }
}

#[test]
fn while_the_engine_is_silent_all_who_ask_for_the_newest_are_told_so_after_two_of_its_silences() {
    let world = pair();
    let server = &world.servers[1];
    server.way.state().is_silent = true;
    let from = world.time.now_ms();
    let ask = || server.membership.catch_up();
    let all = async { tokio::join!(ask(), ask(), ask(), ask(), ask(), ask(), ask(), ask()) };
    let runtime = runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (first, .., last) = runtime.block_on(all);
    assert!(first.is_err() && last.is_err());
    let took = world.time.now_ms() - from;
    assert!(took <= 8000, "the last is told after {took} ms");
}
