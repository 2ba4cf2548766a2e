use std::ffi::OsStr;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use socket2::SockAddr;
use thiserror::Error;

/// Where a stream socket is, as a user writes it.
///
/// `tcp://host:port`, `tcp://[::1]:port`, `unix:///path` or `unix:@abstract`. Paths and abstract
/// names are taken byte for byte: nothing is percent-encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A name or number to resolve, and a port.
    Tcp {
        /// Empty for every interface (to listen) or the loopback (to connect).
        host: String,
        /// 0 lets the kernel choose one, to listen.
        port: u16,
    },
    /// On this machine.
    Unix(UnixName),
}

/// The name of a unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnixName {
    /// In the file system.
    Path(PathBuf),
    /// In Linux's abstract namespace (unix(7)).
    Abstract(Vec<u8>),
    /// None, as socketpair(2) leaves it.
    Unnamed,
}

/// What is wrong with an address.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AddressError {
    /// No scheme that we know.
    #[error("write tcp://host:port, unix:///path or unix:@name")]
    Scheme,
    /// Nothing behind the host.
    #[error("the port is missing: write tcp://host:port")]
    NoPort,
    /// Something else than a port behind the host.
    #[error("the port is not a number from 0 to 65535")]
    Port,
    /// The host is not one.
    #[error("the host is not a name, an IPv4 address or an IPv6 address in brackets")]
    Host,
    /// A path with a byte that ends it.
    #[error("a path cannot contain a NUL byte")]
    Nul,
    /// A path that depends on where we are.
    #[error("the path of a unix socket has to be absolute: write unix:///path")]
    RelativePath,
}

impl Address {
    /// Read a URL.
    pub fn parse(url: &OsStr) -> Result<Address, AddressError> {
        let url = url.as_bytes();
        if let Some(rest) = url.strip_prefix(b"tcp://") {
            parse_tcp(std::str::from_utf8(rest).map_err(|_| AddressError::Host)?)
        } else if let Some(name) = url.strip_prefix(b"unix:@") {
            Ok(Address::Unix(UnixName::Abstract(name.to_vec())))
        } else if let Some(path) = url.strip_prefix(b"unix://") {
            match path.first() {
                // The kernel would stop reading there.
                Some(_) if path.contains(&0) => Err(AddressError::Nul),
                Some(b'/') => Ok(Address::Unix(UnixName::Path(OsStr::from_bytes(path).into()))),
                _ => Err(AddressError::RelativePath),
            }
        } else {
            Err(AddressError::Scheme)
        }
    }

    /// The URL, in the file system's encoding.
    pub fn url(&self) -> Vec<u8> {
        match self {
            Address::Tcp { host, port } if host.contains(':') => {
                format!("tcp://[{host}]:{port}").into_bytes()
            }
            Address::Tcp { host, port } => format!("tcp://{host}:{port}").into_bytes(),
            Address::Unix(UnixName::Path(path)) => {
                [b"unix://", path.as_os_str().as_bytes()].concat()
            }
            Address::Unix(UnixName::Abstract(name)) => [b"unix:@", name.as_slice()].concat(),
            Address::Unix(UnixName::Unnamed) => b"unix:".to_vec(),
        }
    }

    /// Whether it says nothing.
    pub fn is_unnamed(&self) -> bool {
        *self == Address::Unix(UnixName::Unnamed)
    }

    /// Whether it is one of TCP.
    pub fn is_tcp(&self) -> bool {
        matches!(self, Address::Tcp { .. })
    }
}

impl UnixName {
    /// As unix(7) writes it: abstract names begin with a 0, and no name is no bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            UnixName::Path(path) => path.as_os_str().as_bytes().to_vec(),
            UnixName::Abstract(name) => [b"\0", name.as_slice()].concat(),
            UnixName::Unnamed => Vec::new(),
        }
    }

    /// The reverse of `to_bytes`.
    pub fn from_bytes(name: &[u8]) -> UnixName {
        match name {
            [] => UnixName::Unnamed,
            [0, name @ ..] => UnixName::Abstract(name.to_vec()),
            path => UnixName::Path(OsStr::from_bytes(path).into()),
        }
    }

    /// As the kernel wants it; an error if it is too long.
    pub fn to_sockaddr(&self) -> io::Result<SockAddr> {
        SockAddr::unix(OsStr::from_bytes(&self.to_bytes()))
    }
}

impl From<&SockAddr> for Address {
    fn from(address: &SockAddr) -> Address {
        if let Some(address) = address.as_socket() {
            let host = match address {
                SocketAddr::V6(v6) if v6.scope_id() != 0 => {
                    format!("{}%{}", v6.ip(), v6.scope_id())
                }
                // A socket of IPv6 that speaks IPv4 has addresses of IPv4 (ipv6(7)).
                address => address.ip().to_canonical().to_string(),
            };
            return Address::Tcp { host, port: address.port() };
        }
        Address::Unix(if let Some(path) = address.as_pathname() {
            UnixName::Path(path.to_path_buf())
        } else if let Some(name) = address.as_abstract_namespace() {
            UnixName::Abstract(name.to_vec())
        } else {
            UnixName::Unnamed
        })
    }
}

fn parse_tcp(rest: &str) -> Result<Address, AddressError> {
    let (host, port) = if let Some(rest) = rest.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or(AddressError::Host)?;
        if !host.contains(':') {
            return Err(AddressError::Host);
        }
        (host, port.strip_prefix(':').ok_or(AddressError::NoPort)?)
    } else {
        let (host, port) = rest.rsplit_once(':').ok_or(AddressError::NoPort)?;
        if host.contains(':') {
            return Err(AddressError::Host);
        }
        (host, port)
    };
    if host.contains(['/', '?', '#', '@', '[', ']', '\0']) {
        return Err(AddressError::Host);
    }
    if port.is_empty() {
        return Err(AddressError::NoPort);
    }
    // `parse` alone would take "+80".
    if !port.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(AddressError::Port);
    }
    let port = port.parse().map_err(|_| AddressError::Port)?;
    Ok(Address::Tcp { host: host.to_owned(), port })
}
