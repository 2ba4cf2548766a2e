//! The only place that knows Python.
//!
//! Memory: `buffer` and `dlpack` pin it (`pointers` and `refusal` say what may not be), `file` is the
//! argument of `send_file`, `payload` makes a cursor over what is pinned, `job` is what a call of
//! either face asks for.
//!
//! The asyncio face is `stream`: `operation` is the coroutine protocol, `transfer` and `listener` what
//! it drives, `stop` its end, `budget` how long it may go on. It sleeps on an `event_loop` by `wait`,
//! `waiter` and `watch`; `aloft` and `doorbell` have the workers move bulk; `control` awaits names and
//! connections. The face for threads is `blocking`. What both share is in `base`, `connector` opens
//! their streams, and `adopt` takes over a socket of Python's.
//!
//! `script` drives a call that is several transfers on either face, and `queue` says whose turn it is
//! to send: `channel` is made of these. `convert` and `errors` are what Python gives and gets;
//! `interpreter` sees to exit.

mod adopt;
mod aloft;
mod base;
mod blocking;
mod budget;
mod buffer;
mod channel;
mod connector;
mod control;
mod convert;
mod dlpack;
mod doorbell;
mod errors;
mod event_loop;
mod file;
mod interpreter;
mod job;
mod listener;
mod operation;
mod payload;
mod pointers;
mod queue;
mod refusal;
mod script;
mod stop;
mod stream;
mod transfer;
mod wait;
mod waiter;
mod watch;

use pyo3::prelude::*;

/// The compiled core of pinwire.
// PyO3 says by default that a module needs no GIL. What is missing before this one may:
// docs/decisions/2026-11-21-threads.md.
#[pymodule(gil_used = true)]
mod _core {
    use super::*;

    /// Nothing is made before it is known that this is the main interpreter: classes are made once,
    /// and those of a sub-interpreter would outlive it, half dead, in the main one.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        interpreter::refuse_sub_interpreters(module.py())?;
        interpreter::register_exit(module)?;
        add_classes(module)?;
        add_functions(module)?;
        add_tuples(module)
    }
}

fn add_classes(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add_class::<base::BaseStream>()?;
    module.add_class::<channel::BaseChannel>()?;
    module.add_class::<channel::BaseHeader>()?;
    module.add_class::<channel::BlockingChannel>()?;
    module.add_class::<channel::Channel>()?;
    module.add_class::<channel::Header>()?;
    module.add_class::<channel::Memory>()?;
    module.add_class::<channel::MemoryBudget>()?;
    module.add_class::<channel::Message>()?;
    module.add_class::<channel::Part>()?;
    module.add_class::<channel::Prepared>()?;
    module.add_class::<connector::Connector>()?;
    module.add_class::<doorbell::Doorbell>()?;
    module.add_class::<listener::BaseListener>()?;
    module.add_class::<listener::Listener>()?;
    module.add_class::<operation::Operation>()?;
    module.add_class::<stream::Stream>()?;
    module.add_class::<transfer::Transfer>()?;
    module.add_class::<waiter::Waiter>()?;
    module.add_class::<watch::Watch>()?;
    // Their own names are those of `pinwire.blocking`.
    module.add("BlockingStream", py.get_type::<blocking::BlockingStream>())?;
    module.add("BlockingListener", py.get_type::<blocking::BlockingListener>())?;
    module.add("BlockingHeader", py.get_type::<channel::BlockingHeader>())
}

fn add_functions(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(channel::check_channel_options, module)?)?;
    module.add_function(wrap_pyfunction!(connector::listen, module)?)?;
    module.add_function(wrap_pyfunction!(connector::parse_address, module)?)?;
    module.add_function(wrap_pyfunction!(connector::socketpair, module)?)?;
    module.add_function(wrap_pyfunction!(control::resolve, module)?)?;
    module.add_function(wrap_pyfunction!(event_loop::refuse_trio, module)?)?;
    module.add_function(wrap_pyfunction!(convert::runtime_stats, module)?)
}

fn add_tuples(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("BudgetStats", convert::budget_stats_type(py)?)?;
    module.add("ChannelStats", convert::channel_stats_type(py)?)?;
    module.add("Credentials", convert::credentials_type(py)?)?;
    module.add("StreamStats", convert::stats_type(py)?)?;
    module.add("RuntimeStats", convert::runtime_stats_type(py)?)
}
