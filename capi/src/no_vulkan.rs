//! What stands in for devices in a library without them.

use numpack_interop::{Error, Tensor};

use crate::device::{Described, numpack_device_usage};

/// An open device, of which there is none.
pub(crate) enum Opened {}

fn none() -> Error {
    Error::Device {
        device: "vulkan".to_owned(),
        problem: "this library was built without Vulkan; build it with the feature `vulkan`, or \
                  compute on the host"
            .to_owned(),
    }
}

pub(crate) fn list() -> Result<Vec<Described>, Error> {
    Err(none())
}

impl Opened {
    pub(crate) fn open(_select: Option<&str>, _validation: i32) -> Result<Opened, Error> {
        Err(none())
    }

    pub(crate) fn describe(&self) -> Described {
        match *self {}
    }

    pub(crate) fn warning(&self) -> Option<String> {
        match *self {}
    }

    pub(crate) fn usage(&self) -> numpack_device_usage {
        match *self {}
    }

    pub(crate) fn synchronize(&self) -> Result<(), Error> {
        match *self {}
    }

    pub(crate) fn trim(&self) {
        match *self {}
    }

    pub(crate) fn upload(&self, _tensor: &Tensor) -> Result<Tensor, Error> {
        match *self {}
    }

    pub(crate) fn place(&self) -> numpack_nn::Device {
        match *self {}
    }
}
