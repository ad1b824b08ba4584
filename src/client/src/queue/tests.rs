//! The queue's promises, on paused time.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::Queue;

#[tokio::test]
async fn an_item_added_twice_is_handed_out_once() {
    let queue = Queue::new();
    queue.add("a");
    queue.add("a");
    queue.add("b");
    assert_eq!(queue.next().await, Some("a"));
    assert_eq!(queue.next().await, Some("b"));
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_item_added_while_worked_on_returns_only_after_done() {
    let queue = Queue::new();
    queue.add("a");
    assert_eq!(queue.next().await, Some("a"));
    queue.add("a");
    assert!(timeout(Duration::from_secs(1), queue.next()).await.is_err());
    queue.done(&"a");
    assert_eq!(queue.next().await, Some("a"));
}

#[tokio::test(start_paused = true)]
async fn of_several_delays_the_shortest_counts() {
    let queue = Queue::new();
    let start = Instant::now();
    queue.add_after("a", Duration::from_secs(10));
    queue.add_after("a", Duration::from_secs(2));
    queue.add_after("a", Duration::from_secs(20));
    assert_eq!(queue.next().await, Some("a"));
    assert_eq!(start.elapsed().as_secs(), 2);
    queue.done(&"a");
    assert!(timeout(Duration::from_secs(60), queue.next()).await.is_err(), "the longer delays are gone");
}

#[tokio::test(start_paused = true)]
async fn a_delay_that_no_clock_can_tell_is_a_long_one() {
    let queue = Queue::new();
    for seconds in [i64::MAX as u64, u64::MAX] {
        queue.add_after("patient", Duration::from_secs(seconds));
    }
    queue.add_after("soon", Duration::from_secs(1));
    assert_eq!(queue.next().await, Some("soon"));
    assert!(timeout(Duration::from_secs(60), queue.next()).await.is_err(), "the other one still waits");
    queue.add("patient");
    assert_eq!(queue.next().await, Some("patient"));
}

#[tokio::test(start_paused = true)]
async fn the_delay_doubles_with_each_failure_until_forgotten() {
    let queue = Queue::new();
    for expected in [5, 10, 20, 40] {
        let start = Instant::now();
        queue.add_rate_limited("a");
        assert_eq!(queue.next().await, Some("a"));
        assert_eq!(start.elapsed().as_millis(), expected);
        queue.done(&"a");
    }
    assert_eq!(queue.failures(&"a"), 4);
    queue.forget(&"a");
    assert_eq!(queue.failures(&"a"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_failures_is_spread_to_ten_per_second() {
    let queue = Queue::new();
    let start = Instant::now();
    for item in 0..120 {
        queue.add_rate_limited(item);
    }
    for _ in 0..120 {
        let item = queue.next().await.unwrap();
        queue.done(&item);
    }
    assert_eq!(start.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_earlier_timer_wakes_a_worker_that_waits_for_a_later_one() {
    let queue = Queue::new();
    queue.add_after("late", Duration::from_secs(100));
    let worker = tokio::spawn({
        let queue = queue.clone();
        async move { (queue.next().await, Instant::now()) }
    });
    tokio::task::yield_now().await;
    let start = Instant::now();
    queue.add_after("early", Duration::from_secs(1));
    let (item, at) = worker.await.unwrap();
    assert_eq!((item, (at - start).as_secs()), (Some("early"), 1));
}

#[tokio::test]
async fn closing_ends_every_waiting_worker() {
    let queue = Queue::<u32>::new();
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.next().await })
        })
        .collect();
    tokio::task::yield_now().await;
    queue.close();
    for worker in workers {
        assert_eq!(worker.await.unwrap(), None);
    }
}
