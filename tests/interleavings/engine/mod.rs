//! `src/engine`, as far as threads meet there without the kernel.

#[path = "../../../src/engine/bell.rs"]
mod bell;
mod bell_tests;
#[path = "../../../src/engine/flight.rs"]
mod flight;
mod flight_tests;
mod notify;
#[path = "../../../src/engine/pulling.rs"]
mod pulling;
mod pulling_tests;

use notify::Notify;
