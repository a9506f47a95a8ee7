//! Views to compute over.

use numpack_host_ops::Array;
use vulkan_core::{DType, Stream, Tensor};

/// A view of a longer tensor, and what it is for.
pub(crate) struct View {
    pub(crate) name: &'static str,
    /// Of what it is a view.
    pub(crate) base: &'static [usize],
    pub(crate) make: fn(&Tensor) -> Tensor,
}

macro_rules! views {
    ($($name:literal $base:expr, $t:ident => $make:expr;)*) => {
        &[$(View { name: $name, base: &$base, make: |$t| $make.unwrap() },)*]
    };
}

/// One view, by itself.
macro_rules! view {
    ($base:expr) => {
        View { name: "as it is", base: &$base, make: |t| t.clone() }
    };
    ($base:expr, $name:literal, $t:ident => $make:expr) => {
        View { name: $name, base: &$base, make: |$t| $make.unwrap() }
    };
}

pub(crate) use view;

/// For functions of one element.
pub(crate) const ALL: &[View] = views! {
    "in a row, odd" [1023], t => t.view(&[1023]);
    "stepped" [300], t => t.slice(0, 1, 300, 3);
    "in a row, even" [4, 256], t => t.view(&[4, 256]);
    "none" [0, 3], t => t.view(&[0, 3]);
    "one" [1], t => t.view(&[1]);
    "no dimension" [1], t => t.view(&[]);
    "from an odd place" [520], t => t.narrow(0, 3, 501);
    "from the fourth" [520], t => t.narrow(0, 4, 512);
    "transposed" [37, 29], t => t.t();
    "repeated" [1, 7, 1], t => t.expand(&[5, 7, 3]);
    "a column" [9, 11], t => t.select(1, 3);
    "five dimensions" [3, 4, 5, 2, 3], t => t.permute(&[4, 2, 0, 3, 1]);
    "larger than one dispatch" [70_001], t => t.view(&[70_001]);
};

/// The first so many of all.
pub(crate) fn first(n: usize) -> &'static [View] {
    &ALL[..n]
}

/// Pairs of shapes that broadcast.
pub(crate) const PAIRS: &[(View, View)] = &[
    (
        View { name: "same", base: &[515], make: |t| t.clone() },
        View { name: "same", base: &[515], make: |t| t.clone() },
    ),
    (
        View { name: "rows", base: &[33, 20], make: |t| t.clone() },
        View { name: "one row", base: &[20], make: |t| t.clone() },
    ),
    (
        View { name: "a column", base: &[16, 1], make: |t| t.clone() },
        View { name: "a row", base: &[1, 9], make: |t| t.clone() },
    ),
    (
        View { name: "transposed", base: &[12, 31], make: |t| t.t().unwrap() },
        View { name: "in a row", base: &[31, 12], make: |t| t.clone() },
    ),
    (
        View { name: "none", base: &[0, 4], make: |t| t.clone() },
        View { name: "a row", base: &[4], make: |t| t.clone() },
    ),
    (
        View { name: "no dimension", base: &[1], make: |t| t.view(&[]).unwrap() },
        View { name: "from the fifth", base: &[70], make: |t| t.narrow(0, 5, 64).unwrap() },
    ),
];

/// The same view on the device and on the host.
pub(crate) struct Both {
    pub(crate) device: Tensor,
    pub(crate) host: Array,
}

impl View {
    pub(crate) fn numel(&self) -> usize {
        self.base.iter().product()
    }

    pub(crate) fn of(&self, stream: &Stream, dtype: DType, bytes: &[u8]) -> Both {
        let base = Tensor::from_bytes(stream, bytes, dtype, self.base).unwrap();
        let device = (self.make)(&base);
        let strides: Vec<isize> = device.strides().iter().map(|&s| s as isize).collect();
        let offset = device.storage_offset();
        let host =
            Array::from_bytes(on_host(dtype), bytes, device.shape(), &strides, offset).unwrap();
        Both { device, host }
    }
}

/// The same type, as the host has it.
pub(crate) fn on_host(dtype: DType) -> numpack_host_ops::DType {
    numpack_host_ops::DType::from_name(dtype.name()).unwrap()
}
