#![allow(unsafe_code)] // The DLPack C structures, and nothing else touches them.

use std::ffi::{CStr, c_void};
use std::ptr::NonNull;
use std::slice;

use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{ffi, intern};

use super::buffer::{Dims, order};
use crate::mem::{Access, Dim, Runs};
use crate::wire::Order;

/// A tensor's memory, borrowed by DLPack until this is dropped.
///
/// Who owns what: the producer keeps the memory alive, unmoved, until the deleter of the struct
/// in the capsule is called; taking the capsule (by renaming it) makes that our duty.
/// <https://dmlc.github.io/dlpack/latest/c_api.html>
pub(super) struct TensorPin(Managed);

enum Managed {
    Legacy(NonNull<DlManagedTensor>),
    Versioned(NonNull<DlManagedTensorVersioned>),
}

// SAFETY: a pin may travel between threads; it is made, looked at and dropped only on threads
// that are attached to the interpreter (`Drop` attaches).
unsafe impl Send for TensorPin {}
// SAFETY: as above; nothing changes the tensor between its making and its release.
unsafe impl Sync for TensorPin {}

#[repr(C)]
struct DlTensor {
    data: *mut c_void,
    device: DlDevice,
    ndim: i32,
    dtype: DlDataType,
    shape: *mut i64,
    strides: *mut i64,
    byte_offset: u64,
}

#[repr(C)]
struct DlDevice {
    device_type: i32,
    device_id: i32,
}

#[repr(C)]
struct DlDataType {
    code: u8,
    bits: u8,
    lanes: u16,
}

#[repr(C)]
struct DlManagedTensor {
    tensor: DlTensor,
    manager: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut DlManagedTensor)>,
}

#[repr(C)]
struct DlManagedTensorVersioned {
    major: u32,
    minor: u32,
    manager: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut DlManagedTensorVersioned)>,
    flags: u64,
    tensor: DlTensor,
}

const LEGACY: (&CStr, &CStr) = (c"dltensor", c"used_dltensor");
const VERSIONED: (&CStr, &CStr) = (c"dltensor_versioned", c"used_dltensor_versioned");

/// kDLCPU, kDLCUDAHost, kDLROCMHost: memory that the CPU addresses.
const CPU_DEVICES: [i64; 3] = [1, 3, 11];
const FLAG_READ_ONLY: u64 = 1;
const FLAG_IS_COPIED: u64 = 2;
/// kDLOpaqueHandle.
const OPAQUE: u8 = 3;

impl TensorPin {
    /// Borrow the memory of an object that has `__dlpack__`; None if it has not.
    pub(super) fn new(object: &Bound<'_, PyAny>, access: Access) -> PyResult<Option<TensorPin>> {
        if !is_tensor(object)? {
            return Ok(None);
        }
        refuse_devices(object)?;
        let capsule = export(object)?;
        let pin = TensorPin::take(&capsule)?;
        pin.check(access)?;
        Ok(Some(pin))
    }

    /// Where its bytes are, with the items in this order.
    pub(super) fn runs(&self, order: Order) -> PyResult<Runs> {
        let mut dims = self.dims();
        if order == Order::F {
            dims.reverse();
        }
        let tensor = self.tensor();
        let base = tensor.data.cast::<u8>().wrapping_add(tensor.byte_offset as usize);
        // SAFETY: the producer promised the memory of the shape until the deleter is called,
        // which comes after the transfer's end (`Pins`). Others may write to it at any time.
        unsafe { Runs::new(base, self.itemsize(), &dims) }
            .map_err(|error| PyBufferError::new_err(error.to_string()))
    }

    /// The type of its items: DLDataTypeCode, bits and lanes.
    pub(super) fn dtype(&self) -> (u8, u8, u16) {
        let dtype = &self.tensor().dtype;
        (dtype.code, dtype.bits, dtype.lanes)
    }

    /// Items in each dimension, and the bytes from one to the next.
    pub(super) fn dims(&self) -> Dims {
        let tensor = self.tensor();
        let itemsize = self.itemsize();
        let ndim = tensor.ndim as usize;
        let (shape, strides): (&[i64], Option<&[i64]>) = if ndim == 0 {
            (&[], None)
        } else {
            // SAFETY: DLPack: `shape` has `ndim` entries, and so has `strides` unless null; the
            // producer does not change them before the deleter is called.
            unsafe {
                let shape = slice::from_raw_parts(tensor.shape, ndim);
                let strides = (!tensor.strides.is_null())
                    .then(|| slice::from_raw_parts(tensor.strides, ndim));
                (shape, strides)
            }
        };
        let mut compact = itemsize as i64;
        let mut dims = Dims::with_capacity(ndim);
        for i in (0..ndim).rev() {
            let stride =
                strides.map_or(compact, |strides| strides[i].wrapping_mul(itemsize as i64));
            dims.push(Dim::direct(shape[i] as usize, stride as isize));
            compact = compact.wrapping_mul(shape[i]);
        }
        dims.reverse();
        dims
    }

    /// Bytes of its items.
    pub(super) fn nbytes(&self) -> usize {
        self.dims().iter().map(|dim| dim.extent).product::<usize>() * self.itemsize()
    }

    /// The order of its memory; C for what has neither.
    pub(super) fn order(&self) -> Order {
        order(&self.dims(), self.itemsize())
    }

    /// Take what is in the capsule, as its consumer.
    fn take(capsule: &Bound<'_, PyAny>) -> PyResult<TensorPin> {
        let py = capsule.py();
        let pointer = |(name, used): (&CStr, &CStr)| {
            // SAFETY: attached; the names are static, as a capsule's name has to be.
            unsafe {
                if ffi::PyCapsule_IsValid(capsule.as_ptr(), name.as_ptr()) == 0 {
                    return Ok(None);
                }
                let pointer = ffi::PyCapsule_GetPointer(capsule.as_ptr(), name.as_ptr());
                if pointer.is_null() || ffi::PyCapsule_SetName(capsule.as_ptr(), used.as_ptr()) != 0
                {
                    return Err(PyErr::fetch(py));
                }
                Ok(NonNull::new(pointer))
            }
        };
        if let Some(versioned) = pointer(VERSIONED)? {
            return Ok(TensorPin(Managed::Versioned(versioned.cast())));
        }
        if let Some(legacy) = pointer(LEGACY)? {
            return Ok(TensorPin(Managed::Legacy(legacy.cast())));
        }
        Err(PyBufferError::new_err("__dlpack__ did not return a fresh DLPack capsule"))
    }

    fn check(&self, access: Access) -> PyResult<()> {
        if let Managed::Versioned(managed) = self.0 {
            // SAFETY: the struct lives until its deleter is called; these fields come first in
            // every version.
            let (major, flags) = unsafe { (managed.as_ref().major, managed.as_ref().flags) };
            if major != 1 {
                return refuse(&format!("DLPack version {major} is not known here, 1 is"));
            }
            if access == Access::Write && flags & FLAG_READ_ONLY != 0 {
                return refuse("this tensor is read-only: it cannot be received into");
            }
            if access == Access::Write && flags & FLAG_IS_COPIED != 0 {
                return refuse("this tensor lends only a copy: received bytes would be lost");
            }
        } else if access == Access::Write {
            return refuse(
                "this tensor does not say whether it may be written to (DLPack before 1.0): \
                 receive into its NumPy view (.numpy())",
            );
        }
        let tensor = self.tensor();
        if !CPU_DEVICES.contains(&tensor.device.device_type.into()) {
            return Err(on_a_device());
        }
        if tensor.dtype.code == OPAQUE {
            return Err(PyTypeError::new_err("this tensor holds opaque handles, not values"));
        }
        if !(u32::from(tensor.dtype.bits) * u32::from(tensor.dtype.lanes)).is_multiple_of(8) {
            return refuse("its items are not whole bytes: convert it to a wider dtype first");
        }
        if tensor.ndim < 0 || (tensor.ndim > 0 && tensor.shape.is_null()) {
            return refuse("the tensor has no shape");
        }
        // SAFETY: `shape` is not null and has `ndim` entries.
        let negative = (0..tensor.ndim as usize).any(|i| unsafe { *tensor.shape.add(i) } < 0);
        let empty = self.runs(Order::C)?.left() == 0;
        if negative || (tensor.data.is_null() && !empty) {
            return refuse("the tensor's shape or address is impossible");
        }
        Ok(())
    }

    /// Bytes of one item.
    pub(super) fn itemsize(&self) -> usize {
        let dtype = &self.tensor().dtype;
        usize::from(dtype.bits) * usize::from(dtype.lanes) / 8
    }

    fn tensor(&self) -> &DlTensor {
        match self.0 {
            // SAFETY: ours until the deleter is called, in `drop`.
            Managed::Legacy(managed) => unsafe { &managed.as_ref().tensor },
            // SAFETY: as above.
            Managed::Versioned(managed) => unsafe { &managed.as_ref().tensor },
        }
    }
}

impl Drop for TensorPin {
    fn drop(&mut self) {
        // At exit there may be nobody to attach to: then nobody needs the memory back.
        let _ = Python::try_attach(|_| match self.0 {
            // SAFETY: attached, because producers drop Python objects; called once, here.
            Managed::Legacy(managed) => unsafe {
                if let Some(deleter) = managed.as_ref().deleter {
                    deleter(managed.as_ptr());
                }
            },
            // SAFETY: as above.
            Managed::Versioned(managed) => unsafe {
                if let Some(deleter) = managed.as_ref().deleter {
                    deleter(managed.as_ptr());
                }
            },
        });
    }
}

/// Whether an object lends its memory by DLPack.
pub(super) fn is_tensor(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    // As for every special method, the class has to have it: a class itself is no tensor.
    object.get_type().hasattr(intern!(object.py(), "__dlpack__"))
}

/// Whether a tensor says that its memory is not the CPU's.
pub(super) fn is_on_a_device(object: &Bound<'_, PyAny>) -> bool {
    device(object).is_ok_and(|kind| !CPU_DEVICES.contains(&kind))
}

/// Ask where the memory is before asking for it: exporting may synchronize a device.
fn refuse_devices(object: &Bound<'_, PyAny>) -> PyResult<()> {
    if CPU_DEVICES.contains(&device(object)?) { Ok(()) } else { Err(on_a_device()) }
}

fn device(object: &Bound<'_, PyAny>) -> PyResult<i64> {
    let device = object.call_method0(intern!(object.py(), "__dlpack_device__"))?;
    // Libraries give an enum or a number.
    device
        .cast_into::<PyTuple>()?
        .get_item(0)?
        .call_method0(intern!(object.py(), "__index__"))?
        .extract()
}

fn export<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let name = intern!(py, "__dlpack__");
    let kwargs = PyDict::new(py);
    kwargs.set_item(intern!(py, "max_version"), (1, 0))?;
    match object.call_method(name, (), Some(&kwargs)) {
        // Producers from before DLPack 1.0 do not know the argument.
        Err(error) if is_of_arguments(py, &error) => object.call_method0(name),
        result => result,
    }
}

/// Whether a TypeError is about the call, and not about the tensor (pyarrow raises those, too).
fn is_of_arguments(py: Python<'_>, error: &PyErr) -> bool {
    let text = error.value(py).to_string();
    error.is_instance_of::<PyTypeError>(py)
        && (text.contains("max_version") || text.contains("keyword argument"))
}

fn refuse(text: &str) -> PyResult<()> {
    Err(PyBufferError::new_err(text.to_owned()))
}

fn on_a_device() -> PyErr {
    PyBufferError::new_err(
        "this tensor is in a device's memory, which the kernel cannot read: bring it to the host \
         first, with .cpu()",
    )
}
