//! Opening streams and listeners: the pieces that both faces put together in Python.

use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple, PyType};
use socket2::{Domain, SockAddr, Socket as RawSocket, Type};

use super::adopt::stream_options;
use super::blocking::{BlockingListener, BlockingStream};
use super::errors::{Failure, os_error};
use super::listener::{BaseListener, Listener};
use super::stream::Stream;
use super::{control, convert, interpreter};
use crate::engine;
use crate::net::{self, Address, Opened, Race, Socket, Step, UnixName};
use crate::sys;

/// What an address says: (host, port) to be resolved, or the name of a unix socket as bytes (the
/// first one is 0 in the abstract namespace).
#[pyfunction]
#[pyo3(signature = (address, /))]
pub(super) fn parse_address<'py>(address: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = address.py();
    if let Ok(pair) = address.cast::<PyTuple>() {
        return host_and_port(pair);
    }
    let url: std::ffi::OsString = address.extract().map_err(|_| {
        PyTypeError::new_err("an address is a URL (tcp://host:port, unix:///path) or (host, port)")
    })?;
    let parsed = Address::parse(&url)
        .map_err(|error| PyValueError::new_err(format!("bad address {address:?}: {error}")))?;
    match parsed {
        Address::Tcp { host, port } => Ok((host, port).into_pyobject(py)?.into_any()),
        Address::Unix(name) => Ok(PyBytes::new(py, &name.to_bytes()).into_any()),
    }
}

fn host_and_port<'py>(pair: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
    let refuse =
        |_| PyTypeError::new_err("an address as a tuple is (host, port): a str and an int");
    // IPv6 addresses of the stdlib have a flow label and a scope behind the port.
    let host: Option<String> = pair.get_item(0).and_then(|host| host.extract()).map_err(refuse)?;
    let port: i64 = pair.get_item(1).and_then(|port| port.extract()).map_err(refuse)?;
    let port = u16::try_from(port)
        .map_err(|_| PyValueError::new_err(format!("port {port} is not from 0 to 65535")))?;
    Ok((host.unwrap_or_default(), port).into_pyobject(pair.py())?.into_any())
}

/// A connection that is being made.
#[pyclass(frozen, module = "pinwire._core")]
pub(super) struct Connector {
    state: Arc<Mutex<State>>,
}

enum State {
    Racing(Race),
    Connected(Arc<Socket>),
    Done,
}

#[pymethods]
impl Connector {
    #[new]
    #[pyo3(signature = (addresses, /, **options))]
    fn new(
        addresses: Vec<Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Connector> {
        let addresses = sockaddrs(addresses)?;
        let race = Race::new(addresses, stream_options(options)?);
        Ok(Connector { state: Arc::new(Mutex::new(State::Racing(race))) })
    }

    /// Do what can be done without waiting. None once connected; otherwise the descriptors whose
    /// becoming writable is worth another step, and the seconds after which one is due anyway.
    fn step(&self, py: Python<'_>) -> PyResult<Option<(Vec<i32>, Option<f64>)>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State::Racing(race) = &mut *state else {
            return Ok(None);
        };
        let now = Instant::now();
        match race.step(now) {
            Ok(Step::Connected(socket)) => {
                *state = State::Connected(socket);
                Ok(None)
            }
            Ok(Step::Wait(until)) => {
                let pending = race.pending().map(|fd| fd.as_raw_fd()).collect();
                let delay = until.map(|until| until.saturating_duration_since(now).as_secs_f64());
                Ok(Some((pending, delay)))
            }
            Err(error) => {
                drop(state);
                Err(Failure::Open(error).into_exception(py, "the stream"))
            }
        }
    }

    /// A future that is done once connected. None where there is no runtime to see to it, as in a
    /// forked child: then the steps are the caller's.
    fn connected<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let shared = Arc::clone(&self.state);
        control::future(py, async move {
            let State::Racing(race) = replace(&shared, State::Done) else {
                return Ok(());
            };
            match engine::connect_on_runtime(race).await {
                Ok(socket) => {
                    replace(&shared, State::Connected(socket));
                    Ok(())
                }
                Err(error) => Err(PyOSError::new_err((error.errno(), error.to_string()))),
            }
        })
    }

    /// Take all steps, sleeping in between.
    #[pyo3(signature = (timeout))]
    fn run(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
        let deadline = convert::deadline(convert::timeout(timeout)?);
        let State::Racing(mut race) = self.replace(State::Done) else {
            return Ok(());
        };
        let mut signals = interpreter::check_signals;
        let socket = py
            .detach(|| engine::connect::<Failure>(&mut race, deadline, &mut signals))
            .map_err(|failure| failure.into_exception(py, "the connection"))?;
        self.replace(State::Connected(socket));
        Ok(())
    }

    /// The stream, once connected, of the given class.
    fn stream<'py>(&self, class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
        match self.replace(State::Done) {
            State::Connected(socket) => wrap(class, socket),
            _ => Err(PyValueError::new_err("not connected")),
        }
    }

    /// Give up.
    fn close(&self) {
        drop(self.replace(State::Done));
    }
}

impl Connector {
    fn replace(&self, state: State) -> State {
        replace(&self.state, state)
    }
}

fn replace(shared: &Mutex<State>, state: State) -> State {
    std::mem::replace(&mut *shared.lock().unwrap_or_else(PoisonError::into_inner), state)
}

/// Listen on the first of the addresses that can be had, with a listener of the given class.
#[pyfunction]
#[pyo3(signature = (class, addresses, /, **options))]
pub(super) fn listen<'py>(
    class: &Bound<'py, PyType>,
    addresses: Vec<Bound<'py, PyAny>>,
    options: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    let options = convert::options(options)?;
    let listener = net::Listener::bind(&sockaddrs(addresses)?, options)
        .map_err(|error| Failure::Open(error).into_exception(py, "the listener"))?;
    let base = PyClassInitializer::from(BaseListener::new(listener));
    if convert::is_class::<BlockingListener>(class) {
        return Ok(Bound::new(py, base.add_subclass(BlockingListener))?.into_any());
    }
    Ok(Bound::new(py, base.add_subclass(Listener))?.into_any())
}

/// Two streams of the given class, connected to each other (socketpair(2)).
#[pyfunction]
#[pyo3(signature = (class, /, **options))]
pub(super) fn socketpair<'py>(
    class: &Bound<'py, PyType>,
    options: Option<&Bound<'py, PyDict>>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let options = stream_options(options)?;
    let open = |socket: RawSocket| {
        let _ = sys::refuse_descriptors(socket.as_fd());
        Socket::new(socket.into(), None, &options, Opened::Here)
    };
    let pair = RawSocket::pair(Domain::UNIX, Type::STREAM.nonblocking(), None)
        .and_then(|(a, b)| Ok((open(a)?, open(b)?)));
    let (a, b) = pair.map_err(|error| os_error(&error))?;
    Ok((wrap(class, a)?, wrap(class, b)?))
}

fn wrap<'py>(class: &Bound<'py, PyType>, socket: Arc<Socket>) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    Ok(if convert::is_class::<BlockingStream>(class) {
        BlockingStream::wrap(py, socket)?.into_any()
    } else {
        Stream::wrap(py, socket)?.into_any()
    })
}

/// Addresses as `getaddrinfo` gives them, or names of unix sockets as `parse_address` does.
fn sockaddrs(addresses: Vec<Bound<'_, PyAny>>) -> PyResult<Vec<SockAddr>> {
    addresses.iter().map(sockaddr).collect()
}

fn sockaddr(address: &Bound<'_, PyAny>) -> PyResult<SockAddr> {
    if let Ok(name) = address.cast::<PyBytes>() {
        let name = UnixName::from_bytes(name.as_bytes());
        return name.to_sockaddr().map_err(|error| {
            let url = Address::Unix(name).url();
            let text = format!("{} ({})", net::reason(&error), convert::shown(&url));
            PyOSError::new_err((error.raw_os_error().unwrap_or(libc::EINVAL), text))
        });
    }
    let number = |i| address.get_item(i).and_then(|item| item.extract::<u32>()).unwrap_or(0);
    let host: String = address.get_item(0)?.extract()?;
    let port: u16 = address.get_item(1)?.extract()?;
    let ip = host.split('%').next().unwrap_or_default().parse();
    let ip = ip.map_err(|_| PyValueError::new_err(format!("{host:?} is not a number")))?;
    Ok(SockAddr::from(match ip {
        IpAddr::V4(ip) => SocketAddr::V4(SocketAddrV4::new(ip, port)),
        IpAddr::V6(ip) => SocketAddr::V6(SocketAddrV6::new(ip, port, number(2), number(3))),
    }))
}
