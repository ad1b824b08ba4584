//! The queue's promises; time is an argument.

use k8s_openapi::{
    api::core::v1::{Pod, PodSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::*;

fn pod(uid: &str, priority: i32) -> Arc<PodInfo> {
    Arc::new(PodInfo::new(Arc::new(Pod {
        metadata: ObjectMeta { uid: Some(uid.into()), ..ObjectMeta::default() },
        spec: Some(PodSpec { priority: Some(priority), ..PodSpec::default() }),
        status: None,
    })))
}

fn pop(queue: &mut Queue) -> Option<String> {
    queue.pop().map(|pod| pod.uid().to_owned())
}

fn after(now: Instant, seconds: u64) -> Instant {
    now + Duration::from_secs(seconds)
}

#[test]
fn higher_priority_goes_first_then_who_came_first() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    [pod("b", 0), pod("a", 0), pod("c", 5)].into_iter().for_each(|pod| queue.set(pod, now));
    assert_eq!([pop(&mut queue), pop(&mut queue), pop(&mut queue)].map(Option::unwrap), ["c", "b", "a"]);
    assert_eq!(pop(&mut queue), None);
}

#[test]
fn an_unschedulable_pod_waits_for_an_event_that_helps_and_for_its_back_off() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.set(pod("a", 0), now);
    queue.pop();
    queue.set_unschedulable("a", ["NodePorts"].into(), now);
    queue.wake_where(|_, rejectors| rejectors.contains("NodeName"), now);
    assert_eq!(queue.sizes(), Sizes { active: 0, backoff: 0, unschedulable: 1 });
    queue.release_due(after(now, 60));
    assert_eq!(pop(&mut queue), None, "the event does not concern what kept it out");

    queue.wake_where(|_, rejectors| rejectors.contains("NodePorts"), now);
    assert_eq!(queue.sizes(), Sizes { active: 0, backoff: 1, unschedulable: 0 });
    assert_eq!(queue.next_deadline(), Some(after(now, 1)));
    queue.release_due(now);
    assert_eq!(pop(&mut queue), None, "it still backs off");
    queue.release_due(after(now, 1));
    assert_eq!(pop(&mut queue).as_deref(), Some("a"));
}

#[test]
fn back_off_doubles_up_to_ten_seconds() {
    let (mut queue, mut now) = (Queue::default(), Instant::now());
    queue.set(pod("a", 0), now);
    for seconds in [1, 2, 4, 8, 10, 10] {
        queue.pop().unwrap();
        queue.retry("a", now);
        assert_eq!(queue.next_deadline(), Some(after(now, seconds)));
        now = after(now, seconds);
        queue.release_due(now);
    }
}

#[test]
fn what_is_unschedulable_for_five_minutes_is_tried_again() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.set(pod("a", 0), now);
    queue.pop();
    queue.set_unschedulable("a", BTreeSet::new(), now);
    queue.release_due(after(now, 299));
    assert_eq!(pop(&mut queue), None);
    queue.release_due(after(now, 300));
    assert_eq!(pop(&mut queue).as_deref(), Some("a"));
}

#[test]
fn a_changed_spec_wakes_an_unschedulable_pod() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.set(pod("a", 0), now);
    queue.pop();
    queue.set_unschedulable("a", ["NodeName"].into(), now);
    queue.set(pod("a", 0), after(now, 5));
    assert_eq!(pop(&mut queue), None);
    queue.set(pod("a", 1), after(now, 5));
    assert_eq!(pop(&mut queue).as_deref(), Some("a"));
}

#[test]
fn a_removed_pod_never_comes_back() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.set(pod("a", 0), now);
    queue.remove("a");
    assert_eq!(pop(&mut queue), None);
    queue.set(pod("b", 0), now);
    queue.pop();
    queue.remove("b");
    queue.set_unschedulable("b", BTreeSet::new(), now);
    assert_eq!(queue.next_deadline(), None);
}
