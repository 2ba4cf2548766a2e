//! Names and connections: the runtime looks after them, a future of asyncio tells.
//!
//! It tells from a thread of the runtime's blocking pool; the workers never attach to Python.

use std::net::SocketAddr;
use std::pin::Pin;

use pyo3::exceptions::socket::gaierror;
use pyo3::prelude::*;
use pyo3_async_runtimes::TaskLocals;
use pyo3_async_runtimes::generic::{self, ContextExt, Runtime};
use tokio::task::{self, JoinError, JoinHandle};

use super::interpreter;
use crate::engine;

/// What a name and a port stand for (getaddrinfo(3)): a future of a list of `(address,)`, which
/// end as the items of `socket.getaddrinfo` do. None where there is no runtime, as in a forked child.
#[pyfunction]
#[pyo3(signature = (host, port, passive, /))]
pub(super) fn resolve(
    py: Python<'_>,
    host: Option<String>,
    port: u16,
    passive: bool,
) -> PyResult<Option<Bound<'_, PyAny>>> {
    future(py, async move {
        match engine::resolve(host, port, passive).await {
            Ok(addresses) => {
                Ok(addresses.into_iter().map(|address| (parts(address),)).collect::<Vec<_>>())
            }
            Err(error) => Err(gaierror::new_err((error.error_num(), error.to_string()))),
        }
    })
}

/// Host, port, flow label and scope.
fn parts(address: SocketAddr) -> (String, u16, u32, u32) {
    let (flow, scope) = match address {
        SocketAddr::V4(_) => (0, 0),
        SocketAddr::V6(address) => (address.flowinfo(), address.scope_id()),
    };
    (address.ip().to_string(), address.port(), flow, scope)
}

/// A future of the running loop for what the runtime is to do; dropped when that is cancelled.
pub(super) fn future<F, T>(py: Python<'_>, work: F) -> PyResult<Option<Bound<'_, PyAny>>>
where
    F: Future<Output = PyResult<T>> + Send + 'static,
    T: for<'py> IntoPyObject<'py> + Send + 'static,
{
    let Some(runtime) = engine::runtime() else {
        return Ok(None);
    };
    let _context = runtime.enter();
    generic::future_into_py::<Here, _, _>(py, work).map(Some)
}

/// The runtime whose context we are in.
struct Here;

impl Runtime for Here {
    type JoinError = JoinError;
    type JoinHandle = JoinHandle<()>;

    fn spawn<F>(work: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        task::spawn(work)
    }

    fn spawn_blocking<F>(work: F) -> JoinHandle<()>
    where
        F: FnOnce() + Send + 'static,
    {
        task::spawn_blocking(|| interpreter::unless_exiting(work))
    }
}

impl ContextExt for Here {
    fn scope<F, R>(_: TaskLocals, work: F) -> Pin<Box<dyn Future<Output = R> + Send>>
    where
        F: Future<Output = R> + Send + 'static,
    {
        Box::pin(work)
    }

    fn get_task_locals() -> Option<TaskLocals> {
        None
    }
}
