//! Types of items, as text that travels and as NumPy has them.

use pyo3::exceptions::{PyModuleNotFoundError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyMemoryView};
use smallvec::SmallVec;

use crate::py::convert;
use crate::py::dlpack::TensorPin;
use crate::py::errors::{refused, violated};
use crate::py::payload::Pin;
use crate::wire;

pub(super) type Text = SmallVec<[u8; 16]>;

/// What plain bytes are.
pub(super) const BYTES: &[u8] = b"|u1";

/// Types whose `numpy.dtype` is kept: the peer chooses them, so there has to be an end.
const CACHED: usize = 1024;

/// Bytes of the longest text that is kept: what NumPy makes of one takes a dozen times as many.
const LONGEST_CACHED: usize = 256;

/// The type of a pinned object's items.
pub(super) fn of(pin: &Pin, object: &Bound<'_, PyAny>) -> PyResult<Text> {
    let (format, itemsize) = match pin {
        Pin::Bytes(_) | Pin::Own(_) | Pin::Header(_) | Pin::Shared(_) => {
            return Ok(Text::from_slice(BYTES));
        }
        Pin::Tensor(pin) => return Ok(of_tensor(pin)),
        Pin::Buffer(pin) if pin.is_shapeless() => return Ok(Text::from_slice(BYTES)),
        Pin::Buffer(pin) => (pin.format(), pin.itemsize()),
    };
    if let Some(text) = format.and_then(|format| simple(format, itemsize))
        && !is_time(pin, object)?
        && !has_metadata(object)?
    {
        return Ok(text);
    }
    let described = dtypes(object.py())?.call_method1(intern!(object.py(), "of"), (object,))?;
    match described.cast::<PyBytes>() {
        Ok(text) => Ok(Text::from_slice(text.as_bytes())),
        Err(_) => Ok(sized(b'|', b'V', itemsize)),
    }
}

/// Whether it is a datetime64 or timedelta64 alone, which NumPy exports as eight plain bytes.
pub(super) fn is_time(pin: &Pin, object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let Pin::Buffer(pin) = pin else { return Ok(false) };
    if pin.nbytes() != 8 || pin.format() != Some(b"B") || pin.is_shapeless() {
        return Ok(false);
    }
    let py = object.py();
    let Some(dtype) = object.getattr_opt(intern!(py, "dtype"))? else { return Ok(false) };
    let kind = dtype.getattr_opt(intern!(py, "kind"))?;
    Ok(kind.is_some_and(|kind| kind.extract::<char>().is_ok_and(|kind| matches!(kind, 'm' | 'M'))))
}

/// Whether its dtype has metadata, which no format tells of.
fn has_metadata(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = object.py();
    if object.is_exact_instance_of::<PyMemoryView>() {
        return Ok(false); // To miss an attribute costs as much as a small transfer.
    }
    let Some(dtype) = object.getattr_opt(intern!(py, "dtype"))? else { return Ok(false) };
    let metadata = dtype.getattr_opt(intern!(py, "metadata"))?;
    Ok(metadata.is_some_and(|metadata| !metadata.is_none()))
}

/// The text of a format of one letter (PEP 3118), by far the most frequent ones.
fn simple(format: &[u8], itemsize: usize) -> Option<Text> {
    let (order, letters) = match format {
        [order @ (b'<' | b'>' | b'=' | b'@' | b'!' | b'|' | b'^'), letters @ ..] => {
            (*order, letters)
        }
        letters => (b'@', letters),
    };
    let kind = match letters {
        b"?" => b'b',
        b"b" | b"h" | b"i" | b"l" | b"q" | b"n" => b'i',
        b"B" | b"H" | b"I" | b"L" | b"Q" | b"N" => b'u',
        b"e" | b"f" | b"d" | b"g" => b'f',
        b"Zf" | b"Zd" | b"Zg" => b'c',
        b"c" | b"s" => b'S',
        b"u" | b"w" => b'U',
        [digits @ .., letter] if digits.iter().all(u8::is_ascii_digit) => match letter {
            b's' => b'S',
            b'w' => b'U',
            b'x' => b'V',
            _ => return None,
        },
        _ => return None,
    };
    let order = match order {
        _ if kind == b'S' || kind == b'V' || itemsize == 1 => b'|',
        b'>' | b'!' => b'>',
        b'<' | b'|' => b'<',
        _ if cfg!(target_endian = "big") => b'>',
        _ => b'<',
    };
    let count = if kind == b'U' { itemsize / 4 } else { itemsize };
    Some(sized(order, kind, count))
}

/// DLDataTypeCode to what NumPy, or ml_dtypes, calls it.
fn of_tensor(pin: &TensorPin) -> Text {
    let itemsize = pin.itemsize();
    let (code, _, lanes) = pin.dtype();
    let order = if itemsize == 1 { b'|' } else { b'<' };
    let name: &[u8] = match code {
        _ if lanes != 1 => return sized(b'|', b'V', itemsize),
        0 => return sized(order, b'i', itemsize),
        1 => return sized(order, b'u', itemsize),
        2 => return sized(order, b'f', itemsize),
        5 => return sized(order, b'c', itemsize),
        6 => return sized(order, b'b', itemsize),
        4 => b"bfloat16",
        7 => b"float8_e3m4",
        8 => b"float8_e4m3",
        9 => b"float8_e4m3b11fnuz",
        10 => b"float8_e4m3fn",
        11 => b"float8_e4m3fnuz",
        12 => b"float8_e5m2",
        13 => b"float8_e5m2fnuz",
        14 => b"float8_e8m0fnu",
        _ => return sized(b'|', b'V', itemsize),
    };
    Text::from_slice(name)
}

fn sized(order: u8, kind: u8, count: usize) -> Text {
    let mut text = Text::from_slice(&[order, kind]);
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = count;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    text.extend_from_slice(&digits[at..]);
    text
}

/// Looks up the types of parts, of which most are like the one before.
#[derive(Default)]
pub(super) struct Types<'a, 'py> {
    last: Option<(&'a wire::Part, Bound<'py, PyAny>)>,
}

impl<'a, 'py> Types<'a, 'py> {
    /// As `load`.
    pub(super) fn load(
        &mut self,
        py: Python<'py>,
        part: &'a wire::Part,
    ) -> PyResult<Bound<'py, PyAny>> {
        match &self.last {
            Some((last, dtype)) if (&last.dtype, last.itemsize) == (&part.dtype, part.itemsize) => {
                Ok(dtype.clone())
            }
            _ => {
                let dtype = load(py, part)?;
                self.last = Some((part, dtype.clone()));
                Ok(dtype)
            }
        }
    }
}

/// The `numpy.dtype` of a part; its text, without NumPy.
pub(super) fn load<'py>(py: Python<'py>, part: &wire::Part) -> PyResult<Bound<'py, PyAny>> {
    static CACHE: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let cache = CACHE.get_or_init(py, || PyDict::new(py).unbind()).bind(py);
    let key = PyBytes::new(py, &part.dtype);
    if let Some(dtype) = cache.get_item(&key)? {
        return check_size(part, dtype);
    }
    let loaded = dtypes(py)?.call_method1(intern!(py, "load"), (&key,));
    let dtype = loaded.map_err(|error| {
        if error.is_instance_of::<PyValueError>(py) || error.is_instance_of::<PyTypeError>(py) {
            // The core has found nothing wrong with it, so the peer has done nothing wrong.
            let why = convert::shown(error.value(py).to_string().as_bytes());
            refused(py, format!("NumPy has no type such as this: {why}"))
        } else if error.is_instance_of::<PyModuleNotFoundError>(py) {
            refused(py, error.value(py).to_string())
        } else {
            error
        }
    })?;
    let dtype = check_size(part, dtype)?;
    if part.dtype.len() <= LONGEST_CACHED {
        if cache.len() >= CACHED {
            cache.clear();
        }
        cache.set_item(key, &dtype)?;
    }
    Ok(dtype)
}

fn check_size<'py>(part: &wire::Part, dtype: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = dtype.py();
    let Ok(itemsize) = dtype.getattr(intern!(py, "itemsize")) else {
        return Ok(dtype); // A text, without NumPy.
    };
    if itemsize.extract::<u64>()? == u64::from(part.itemsize) {
        return Ok(dtype);
    }
    Err(of_another_size(py))
}

pub(super) fn of_another_size(py: Python<'_>) -> PyErr {
    violated(py, "the peer sends a dtype whose items have another size".to_owned())
}

/// The module `pinwire._dtypes`.
fn dtypes(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let import = || py.import("pinwire._dtypes").map(Bound::unbind);
    Ok(MODULE.get_or_try_init(py, import)?.bind(py))
}
