use std::sync::Arc;

use loom::sync::atomic::AtomicUsize;
use loom::thread;

use super::counter::Counter;
use super::sync::atomic::{AtomicBool, Ordering};
use super::{Event, newest_line};
use crate::model_with;

#[test]
fn event_when_it_is_set_at_any_moment_then_who_sleeps_on_it_wakes() {
    model_with(Some(2), || {
        let event = Arc::new(Event::new().unwrap());
        let line = newest_line();
        let happened = Arc::new(AtomicUsize::new(0));
        let setters = [(); 2].map(|()| {
            let (event, happened) = (Arc::clone(&event), Arc::clone(&happened));
            thread::spawn(move || {
                happened.fetch_add(1, Ordering::Release);
                event.set();
            })
        });
        while happened.load(Ordering::Acquire) < setters.len() {
            line.sleep();
            event.clear();
            // It may be readable still, until the setter has marked it.
            thread::yield_now();
        }
        setters.into_iter().for_each(|setter| setter.join().unwrap());
    });
}

#[test]
fn event_when_it_is_cleared_after_the_last_set_then_it_is_silent() {
    loom::model(|| {
        let event = Arc::new(Event::new().unwrap());
        silent_at_the_end(&event, Event::set, Event::clear);
    });
}

#[test]
#[should_panic(expected = "it is silent")]
fn event_when_the_mark_comes_before_the_count_then_loom_sees_that_it_stays_set() {
    loom::model(|| {
        let event = Arc::new(MarkedEarly {
            counter: Counter::new().unwrap(),
            touched: AtomicBool::new(false),
        });
        silent_at_the_end(&event, MarkedEarly::set, MarkedEarly::clear);
    });
}

fn silent_at_the_end<E: Send + Sync + 'static>(event: &Arc<E>, set: fn(&E), clear: fn(&E)) {
    let line = newest_line();
    let setter = thread::spawn({
        let event = Arc::clone(event);
        move || set(&event)
    });
    clear(event);
    setter.join().unwrap();
    clear(event);
    assert!(!line.is_readable(), "it is silent");
}

/// An event that is wrong.
struct MarkedEarly {
    counter: Counter,
    touched: AtomicBool,
}

impl MarkedEarly {
    fn set(&self) {
        self.touched.store(true, Ordering::Release);
        self.counter.add();
    }

    fn clear(&self) {
        if self.touched.swap(false, Ordering::Acquire) {
            self.counter.reset();
        }
    }
}
