use std::collections::VecDeque;
use std::sync::Arc;

use loom::sync::Mutex;
use loom::thread::{self, JoinHandle};

use super::bell::Bell;
use crate::model_with;
use crate::sys::{Event, Line, newest_line};

/// A bell, or what would like to be one.
trait Queue: Send + Sync + 'static {
    fn new() -> Self;
    fn tell(&self, flight: u64) -> bool;
    fn take(&self) -> Option<u64>;
    fn waiting(&self) -> usize;
}

/// How much a loop takes when it is woken.
#[derive(Clone, Copy)]
enum Takes {
    /// What is there, as `_wake.ring` does.
    All,
    One,
}

/// Workers that tell of so many flights each, and a loop that sleeps on the descriptor until it
/// has heard of all.
fn hears<Q: Queue>(workers: &'static [u64], takes: Takes, preemptions: Option<usize>) {
    model_with(preemptions, move || {
        let queue = Arc::new(Q::new());
        let line = newest_line();
        let workers = start(&queue, workers);
        let mut heard = Vec::new();
        while heard.len() < workers.iter().map(|(flights, _)| flights.len()).sum() {
            line.sleep();
            let waiting = match takes {
                Takes::All => queue.waiting(),
                Takes::One => 1,
            };
            heard.extend((0..waiting).map_while(|_| queue.take()));
        }
        for (flights, worker) in &workers {
            let of_it: Vec<_> = heard.iter().filter(|flight| flights.contains(flight)).collect();
            assert!(of_it.into_iter().eq(flights), "each once and in order: {worker:?}, {heard:?}");
        }
        is_silent(&*queue, &line, workers);
    });
}

type Workers = Vec<(Vec<u64>, JoinHandle<usize>)>;

fn start<Q: Queue>(queue: &Arc<Q>, workers: &[u64]) -> Workers {
    let worker = |(number, &count): (usize, &u64)| {
        let flights: Vec<u64> = (0..count).map(|flight| 10 * number as u64 + flight).collect();
        let (queue, told) = (Arc::clone(queue), flights.clone());
        let rings = move || told.into_iter().filter(|&flight| queue.tell(flight)).count();
        (flights, thread::spawn(rings))
    };
    workers.iter().enumerate().map(worker).collect()
}

fn is_silent<Q: Queue>(queue: &Q, line: &Line, workers: Workers) {
    let rings: usize = workers.into_iter().map(|(_, worker)| worker.join().unwrap()).sum();
    assert!(!line.is_readable(), "it is silent after the last");
    assert_eq!(line.added(), (rings, 0), "it rings only when it is silent");
    assert_eq!(queue.take(), None);
}

#[test]
fn bell_when_two_workers_tell_and_a_loop_takes_all_then_it_hears_each_once() {
    hears::<Bell>(&[1, 1], Takes::All, None);
    hears::<Bell>(&[2, 1], Takes::All, Some(2));
}

#[test]
fn bell_when_three_workers_tell_and_a_loop_takes_all_then_it_hears_each_once() {
    hears::<Bell>(&[1, 1, 1], Takes::All, Some(2));
}

#[test]
fn bell_when_a_loop_takes_one_at_a_time_then_it_is_woken_for_the_rest() {
    hears::<Bell>(&[2, 1], Takes::One, Some(2));
    hears::<Bell>(&[1, 1, 1], Takes::One, Some(1));
}

#[test]
fn bell_when_nobody_takes_then_it_rings_once_and_stays_readable() {
    loom::model(|| {
        let bell = Arc::new(<Bell as Queue>::new());
        let line = newest_line();
        let workers = start(&bell, &[2, 1, 1]);
        let rings: usize = workers.into_iter().map(|(_, worker)| worker.join().unwrap()).sum();
        assert_eq!((rings, line.added()), (1, (1, 0)));
        for left in (0..4).rev() {
            assert!(line.is_readable());
            assert!(bell.take().is_some());
            assert_eq!(bell.waiting(), left);
        }
        assert!(!line.is_readable());
    });
}

#[test]
#[should_panic(expected = "deadlock")]
fn bell_when_it_is_cleared_outside_of_the_lock_then_loom_finds_the_lost_wake_up() {
    hears::<ClearedLate>(&[1, 1], Takes::All, Some(2));
}

#[test]
#[should_panic(expected = "it is silent after the last")]
fn bell_when_it_is_set_outside_of_the_lock_then_loom_finds_the_false_alarm() {
    hears::<SetLate>(&[1, 1], Takes::All, Some(2));
}

#[test]
#[should_panic(expected = "it rings only when it is silent")]
fn bell_when_it_is_set_for_every_flight_then_the_needless_rings_are_seen() {
    hears::<SetEachTime>(&[1, 1], Takes::All, Some(2));
}

impl Queue for Bell {
    fn new() -> Bell {
        Bell::new().unwrap()
    }

    fn tell(&self, flight: u64) -> bool {
        Bell::tell(self, flight)
    }

    fn take(&self) -> Option<u64> {
        Bell::take(self)
    }

    fn waiting(&self) -> usize {
        Bell::waiting(self)
    }
}

/// What bells are made of.
struct Parts {
    event: Event,
    landed: Mutex<VecDeque<u64>>,
}

impl Parts {
    fn new() -> Parts {
        Parts { event: Event::new().unwrap(), landed: Mutex::default() }
    }

    /// The next, and whether it was the last.
    fn take(&self) -> (Option<u64>, bool) {
        let mut landed = self.landed.lock().unwrap();
        (landed.pop_front(), landed.is_empty())
    }

    fn waiting(&self) -> usize {
        self.landed.lock().unwrap().len()
    }
}

/// Bells that are wrong, each in one way.
macro_rules! wrong_bell {
    ($name:ident, $tell:expr, $take:expr) => {
        struct $name(Parts);

        impl Queue for $name {
            fn new() -> $name {
                $name(Parts::new())
            }

            fn tell(&self, flight: u64) -> bool {
                let tell: fn(&Parts, u64) -> bool = $tell;
                tell(&self.0, flight)
            }

            fn take(&self) -> Option<u64> {
                let take: fn(&Parts) -> Option<u64> = $take;
                take(&self.0)
            }

            fn waiting(&self) -> usize {
                self.0.waiting()
            }
        }
    };
}

wrong_bell!(ClearedLate, tell_in_the_lock, |parts| {
    let (flight, is_last) = parts.take();
    if is_last {
        parts.event.clear();
    }
    flight
});

wrong_bell!(
    SetLate,
    |parts, flight| {
        let rings = {
            let mut landed = parts.landed.lock().unwrap();
            landed.push_back(flight);
            landed.len() == 1
        };
        if rings {
            parts.event.set();
        }
        rings
    },
    take_in_the_lock
);

wrong_bell!(
    SetEachTime,
    |parts, flight| {
        let mut landed = parts.landed.lock().unwrap();
        parts.event.set();
        landed.push_back(flight);
        true
    },
    take_in_the_lock
);

fn tell_in_the_lock(parts: &Parts, flight: u64) -> bool {
    let mut landed = parts.landed.lock().unwrap();
    let rings = landed.is_empty();
    if rings {
        parts.event.set();
    }
    landed.push_back(flight);
    rings
}

fn take_in_the_lock(parts: &Parts) -> Option<u64> {
    let mut landed = parts.landed.lock().unwrap();
    let flight = landed.pop_front();
    if landed.is_empty() {
        parts.event.clear();
    }
    flight
}
