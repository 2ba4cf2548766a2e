use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::reserving::MemoryBudget;

/// How a channel was made.
pub(super) struct Options {
    pub(super) max_message_bytes: u64,
    pub(super) allow_pickle: bool,
    pub(super) allocator: Option<Py<PyAny>>,
    pub(super) high_water: u64,
    /// Whether to go past the socket where that is possible.
    pub(super) same_host: bool,
    /// The memory that messages share with those of other channels while they come.
    pub(super) memory_budget: Option<Py<MemoryBudget>>,
}

impl Options {
    /// The keyword arguments of a channel.
    pub(super) fn new(kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Options> {
        let mut options = Options {
            max_message_bytes: 4 << 30,
            allow_pickle: false,
            allocator: None,
            high_water: 64 << 20,
            same_host: true,
            memory_budget: None,
        };
        for (name, value) in kwargs.iter().flat_map(|kwargs| kwargs.iter()) {
            let name: String = name.extract()?;
            match name.as_str() {
                "max_message_bytes" => options.max_message_bytes = positive(&name, &value)?,
                "allow_pickle" => options.allow_pickle = value.extract()?,
                "same_host" => options.same_host = same_host(&value)?,
                "allocator" => options.allocator = allocator(value)?,
                "high_water" => options.high_water = positive(&name, &value)?,
                "memory_budget" => options.memory_budget = memory_budget(&value)?,
                _ => {
                    return Err(PyTypeError::new_err(format!(
                        "unknown option '{name}'; there are max_message_bytes, allow_pickle, \
                         same_host, allocator, high_water and memory_budget"
                    )));
                }
            }
        }
        if let Some(budget) = &options.memory_budget {
            // One message never has more than all of it.
            options.max_message_bytes = options.max_message_bytes.min(budget.get().limit());
        }
        Ok(options)
    }
}

fn positive(name: &str, value: &Bound<'_, PyAny>) -> PyResult<u64> {
    let value: i64 = value.extract()?;
    u64::try_from(value)
        .ok()
        .filter(|&value| value > 0)
        .ok_or_else(|| PyValueError::new_err(format!("{name} must be positive: {value}")))
}

fn same_host(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let value: String = value.extract()?;
    match value.as_str() {
        "auto" => Ok(true),
        "off" => Ok(false),
        _ => Err(PyValueError::new_err(format!(
            "same_host must be \"auto\" or \"off\", not {value:?}"
        ))),
    }
}

fn memory_budget(value: &Bound<'_, PyAny>) -> PyResult<Option<Py<MemoryBudget>>> {
    value
        .extract()
        .map_err(|_| PyTypeError::new_err("memory_budget must be a pinwire.MemoryBudget"))
}

fn allocator(value: Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
    if value.is_none() {
        return Ok(None);
    }
    if !value.is_callable() {
        return Err(PyTypeError::new_err(
            "allocator must be a function of (shape, dtype, order), such as numpy.empty",
        ));
    }
    Ok(Some(value.unbind()))
}

/// Raise what a channel of these options would.
#[pyfunction]
#[pyo3(signature = (**options))]
pub(in crate::py) fn check_channel_options(options: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
    Options::new(options).map(drop)
}
