//! How soon somebody orders the writes again, by the time of the simulation.

use super::World;
use crate::cluster::member::{Input, Role};
use crate::cluster::watchdog::Link;

/// How often a member looks around.
const TICK_MS: u64 = 250;
/// What a connection takes to notice that nothing is heard: a ping, and the silence behind it.
const UNHEARD_MS: u64 = 4250;

/// Two members over a network without faults, of which the first orders the writes, and the other hears it.
pub(super) fn pair() -> World {
    let mut world = World::new(0);
    for server in &world.servers {
        server.way.state().faults = 0;
    }
    world.tell(0, vec![Input::Tick]);
    assert!(world.servers[0].is_owner());
    world.tell(1, vec![Input::Tick]);
    connection(&mut world, Link::Up);
    world
}

/// What the second member's connection to the first does.
fn connection(world: &mut World, link: Link) {
    let Role::Follower(owner) = world.servers[1].role.borrow().clone() else { panic!("it follows nobody") };
    world.tell(1, vec![Input::Link(owner.epoch, link)]);
}

/// Lets time pass, and these members look around, until something is so; gives how long that took.
fn until(world: &mut World, living: &[usize], is_so: impl Fn(&World) -> bool) -> u64 {
    let from = world.time.now_ms();
    while !is_so(world) {
        assert!(world.time.now_ms() - from < 60_000, "it takes for ever");
        world.time.pass(TICK_MS);
        for &at in living {
            world.tell(at, vec![Input::Tick]);
        }
    }
    world.time.now_ms() - from
}

#[test]
fn an_owner_that_was_killed_is_followed_within_three_seconds() {
    let mut world = pair();
    world.time.pass(60_000);
    connection(&mut world, Link::Broken);
    let took = until(&mut world, &[1], |world| world.servers[1].is_owner());
    assert!(took <= 3000, "{took} ms");
}

#[test]
fn an_owner_that_falls_silent_is_followed_within_fifteen_seconds() {
    let mut world = pair();
    world.time.pass(60_000 + UNHEARD_MS);
    connection(&mut world, Link::Silent);
    let took = UNHEARD_MS + until(&mut world, &[1], |world| world.servers[1].is_owner());
    assert!(took <= 15_000, "{took} ms");
}

/// It answers its followers all the while, so they leave it alone until it gives up by itself.
#[test]
fn an_owner_that_alone_is_cut_off_from_the_engine_is_followed_within_fifteen_seconds() {
    let mut world = pair();
    world.servers[0].way.state().is_silent = true;
    let gave_up = until(&mut world, &[0, 1], |world| !world.servers[0].is_owner());
    connection(&mut world, Link::Broken);
    let took = gave_up + until(&mut world, &[1], |world| world.servers[1].is_owner());
    // What a machine that is busy takes beyond is left.
    assert!(took <= 12_000, "{took} ms");
}
