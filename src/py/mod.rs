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
#[pymodule]
mod _core {
    use super::{Bound, PyModule, PyResult};
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::base::BaseStream;
    use super::blocking::{BlockingListener, BlockingStream};
    use super::channel::BlockingHeader;
    #[pymodule_export]
    use super::channel::{
        BaseChannel, BaseHeader, BlockingChannel, Channel, Header, Memory, Message, Part, Prepared,
        check_channel_options,
    };
    #[pymodule_export]
    use super::connector::{Connector, listen, parse_address, socketpair};
    #[pymodule_export]
    use super::control::resolve;
    #[pymodule_export]
    use super::convert::runtime_stats;
    #[pymodule_export]
    use super::doorbell::Doorbell;
    #[pymodule_export]
    use super::listener::{BaseListener, Listener};
    #[pymodule_export]
    use super::operation::Operation;
    #[pymodule_export]
    use super::stream::Stream;
    #[pymodule_export]
    use super::transfer::Transfer;
    #[pymodule_export]
    use super::waiter::Waiter;
    #[pymodule_export]
    use super::watch::Watch;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        super::interpreter::refuse_sub_interpreters(py)?;
        super::interpreter::register_exit(module)?;
        // Their own names are those of `pinwire.blocking`.
        module.add("BlockingStream", py.get_type::<BlockingStream>())?;
        module.add("BlockingListener", py.get_type::<BlockingListener>())?;
        module.add("BlockingHeader", py.get_type::<BlockingHeader>())?;
        module.add("ChannelStats", super::convert::channel_stats_type(py)?)?;
        module.add("Credentials", super::convert::credentials_type(py)?)?;
        module.add("StreamStats", super::convert::stats_type(py)?)?;
        module.add("RuntimeStats", super::convert::runtime_stats_type(py)?)
    }
}
