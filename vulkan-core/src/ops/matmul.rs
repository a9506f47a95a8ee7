//! Products of matrices.

use bytemuck::{NoUninit, bytes_of};

use super::bind::{bound, grid, group_size, is_software, storage_range};
use crate::core::record::{Part, Work};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernels::Module;
use crate::tensor::Tensor;
use crate::tensor::layout::broadcast;
use crate::vk::pipeline::{Key, MAX_CONSTANTS};

/// What is done with each element of a product before it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u32)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// [`relu`](Tensor::relu).
    Relu,
    /// [`gelu`](Tensor::gelu).
    Gelu,
    /// [`gelu_tanh`](Tensor::gelu_tanh).
    GeluTanh,
    /// [`silu`](Tensor::silu).
    Silu,
    /// [`tanh`](Tensor::tanh).
    Tanh,
    /// [`sigmoid`](Tensor::sigmoid).
    Sigmoid,
}

impl Activation {
    fn of(self, x: Tensor) -> Result<Tensor> {
        match self {
            Activation::None => Ok(x),
            Activation::Relu => x.relu(),
            Activation::Gelu => x.gelu(),
            Activation::GeluTanh => x.gelu_tanh(),
            Activation::Silu => x.silu(),
            Activation::Tanh => x.tanh(),
            Activation::Sigmoid => x.sigmoid(),
        }
    }
}

/// What a kernel is told, as `shaders/matrix.glsl` declares it.
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Push {
    m: u32,
    n: u32,
    k: u32,
    inner: u32,
    start: [u32; 3],
    a_row: u32,
    a_k: u32,
    b_k: u32,
    b_column: u32,
    a_matrix: [u32; 2],
    b_matrix: [u32; 2],
    count: u32,
    parts: u32,
}

const _: () = assert!(size_of::<Push>() <= crate::kernels::PUSH_BYTES as usize);

/// A product of which one matrix has so few rows or columns is taken element by element.
const NARROW: usize = 4;

/// So many invocations keep a device busy.
const ENOUGH: usize = 1 << 12;

impl Tensor {
    /// The product of two matrices, of a matrix and a vector, of two vectors, or of many matrices whose
    /// outer dimensions broadcast, as `torch.matmul` has it. Types are promoted; elements are multiplied and
    /// summed in 32 bits: within k + 2 halves of a unit in the last place of the sum of the products'
    /// absolute values, if k of them are summed. Any strides are taken as they are.
    ///
    /// # Errors
    /// [`Error::Parameter`] for shapes that do not fit, tensors of two devices, and types that are no
    /// floats; [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn matmul(&self, other: &Tensor) -> Result<Tensor> {
        self.product(other, None, Activation::None)
    }

    /// `activation(self weightᵀ + bias)`: what a linear layer computes, in one kernel
    /// (`torch.nn.functional.linear`). The weight has shape (out, in), the bias (out).
    ///
    /// # Errors
    /// As for [`matmul`](Tensor::matmul).
    pub fn linear(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        activation: Activation,
    ) -> Result<Tensor> {
        if weight.ndim() != 2 {
            let problem = format!("a weight of shape {:?} has not two dimensions", weight.shape());
            return Err(Error::Parameter(format!("linear: {problem}; give (out, in)")));
        }
        if let Some(bias) = bias
            && bias.shape() != [weight.shape()[0]]
        {
            let (have, want) = (bias.shape(), weight.shape()[0]);
            return Err(Error::parameter(format!(
                "linear: a bias of shape {have:?} is not one number for each of {want} columns"
            )));
        }
        self.product(&weight.t()?, bias, activation)
    }

    fn product(
        &self,
        other: &Tensor,
        bias: Option<&Tensor>,
        activation: Activation,
    ) -> Result<Tensor> {
        for t in [Some(other), bias].into_iter().flatten() {
            t.must_be_on(self.stream())?;
        }
        for t in [Some(self), Some(other), bias].into_iter().flatten() {
            if !t.dtype().is_float() {
                let problem = format!("products of matrices of {} are not computed", t.dtype());
                return Err(Error::Parameter(problem + " on a device; cast to a float type first"));
            }
        }
        let dtype = [Some(other), bias]
            .into_iter()
            .flatten()
            .fold(self.dtype(), |dtype, t| if t.dtype() == dtype { dtype } else { DType::F32 });
        if self.ndim() == 0 || other.ndim() == 0 {
            let problem = "matmul: a tensor without dimensions is no matrix";
            return Err(Error::parameter(format!("{problem}; use mul")));
        }
        // A vector is a row on the left, a column on the right; its dimension goes again at the end.
        let a = if self.ndim() == 1 { self.unsqueeze(0)? } else { self.clone() };
        let b = if other.ndim() == 1 { other.unsqueeze(1)? } else { other.clone() };
        let (&[.., m, k], &[.., b_k, n]) = (a.shape(), b.shape()) else {
            return Err(Error::parameter("matmul: no matrices"));
        };
        if k != b_k {
            return Err(Error::parameter(format!(
                "matmul: shapes {:?} and {:?} do not fit: {k} columns meet {b_k} rows",
                self.shape(),
                other.shape()
            )));
        }
        let outer = broadcast(&a.shape()[..a.ndim() - 2], &b.shape()[..b.ndim() - 2])?;
        let a = a.expand(&[&outer[..], &[m, k]].concat())?;
        let b = b.expand(&[&outer[..], &[k, n]].concat())?;
        let mut shape = outer;
        if self.ndim() > 1 {
            shape.push(m);
        }
        if other.ndim() > 1 {
            shape.push(n);
        }
        let out = products(&a, &b, bias, activation)?;
        out.view(&shape)?.to_dtype(dtype)
    }
}

/// Many products, of tensors whose outer dimensions are the same; in 32 bits.
fn products(
    a: &Tensor,
    b: &Tensor,
    bias: Option<&Tensor>,
    activation: Activation,
) -> Result<Tensor> {
    let stream = a.stream();
    let nd = a.ndim();
    let (m, k, n) = (a.shape()[nd - 2], a.shape()[nd - 1], b.shape()[nd - 1]);
    let outer = &a.shape()[..nd - 2];
    let matrices: usize = outer.iter().product();
    let shape = [&[matrices][..], &[m, n]].concat();
    if matrices * m * n == 0 || k == 0 {
        let out = Tensor::zeros(stream, DType::F32, &shape)?;
        let out = if let Some(bias) = bias { out.add(bias)? } else { out };
        return activation.of(out);
    }
    // The outer dimensions, of which a kernel tells two apart.
    let mut dims: Vec<(usize, usize, usize)> = Vec::new();
    for (d, &size) in outer.iter().enumerate().filter(|(_, size)| **size > 1) {
        let (x, y) = (a.strides()[d], b.strides()[d]);
        match dims.last_mut() {
            Some((count, ox, oy)) if *ox == x * size && *oy == y * size => {
                (*count, *ox, *oy) = (*count * size, x, y);
            }
            _ => dims.push((size, x, y)),
        }
    }
    if dims.len() > 2 {
        return products(&a.copy()?, &b.copy()?, bias, activation);
    }
    let (inner, x, y) = dims.pop().unwrap_or((1, 0, 0));
    let (_, outer_x, outer_y) = dims.pop().unwrap_or((1, 0, 0));
    let product = Product {
        m,
        n,
        k,
        matrices,
        inner,
        a,
        b,
        a_strides: [a.strides()[nd - 2], a.strides()[nd - 1]],
        b_strides: [b.strides()[nd - 2], b.strides()[nd - 1]],
        a_matrix: [outer_x, x],
        b_matrix: [outer_y, y],
    };
    product.must_fit()?;
    let few = m.min(n) <= NARROW;
    let software = is_software(stream);
    if !few && software && (a.dtype(), b.dtype()) != (DType::F32, DType::F32) {
        // Tiles in registers read each element many times.
        let wide = |t: &Tensor| t.to_dtype(DType::F32);
        return products(&wide(a)?, &wide(b)?, bias, activation);
    }
    let parts = if few { (ENOUGH / (matrices * m * n)).min(k / 64).max(1) } else { 1 };
    if parts > 1 {
        let pieces = Tensor::empty(stream, DType::F32, &[matrices, m, n, parts])?;
        product.dispatch(Module::Dot, &pieces, None, Activation::None, parts)?;
        let out = pieces.sum(&[3], false)?;
        let out = if let Some(bias) = bias { out.add(bias)? } else { out };
        return activation.of(out);
    }
    let module = match (few, software) {
        (true, _) => Module::Dot,
        (false, true) => Module::Matmul,
        (false, false) => Module::MatmulShared,
    };
    let out = Tensor::empty(stream, DType::F32, &shape)?;
    product.dispatch(module, &out, bias, activation, 1)?;
    Ok(out)
}

/// Matrices to multiply, and how they lie.
struct Product<'a> {
    m: usize,
    n: usize,
    k: usize,
    matrices: usize,
    /// How many of them there are along the inner of two dimensions.
    inner: usize,
    a: &'a Tensor,
    b: &'a Tensor,
    /// From one row, and from one column to the next.
    a_strides: [usize; 2],
    b_strides: [usize; 2],
    /// From one matrix to the next, along the outer dimension and the inner one.
    a_matrix: [usize; 2],
    b_matrix: [usize; 2],
}

impl Product<'_> {
    /// A kernel sees its matrices whole.
    fn must_fit(&self) -> Result<()> {
        let limit = storage_range(self.a.stream());
        let bytes = |t: &Tensor| {
            let (start, end) = t.layout.extent();
            (end - start) as u64 * t.dtype().size() as u64 + 512
        };
        let out = (self.matrices * self.m * self.n) as u64 * 4;
        let largest = bytes(self.a).max(bytes(self.b)).max(out);
        if largest <= limit {
            return Ok(());
        }
        Err(Error::Unsupported {
            device: self.a.device().info().to_string(),
            what: format!(
                "a product with a matrix of {largest} bytes is not computed at once, where kernels see \
                 {limit}; multiply parts of it"
            ),
        })
    }

    fn dispatch(
        &self,
        module: Module,
        out: &Tensor,
        bias: Option<&Tensor>,
        activation: Activation,
        parts: usize,
    ) -> Result<()> {
        let Product { m, n, k, matrices, a, b, .. } = *self;
        let stream = a.stream();
        let ((a_part, a_start), (b_part, b_start)) = (bound(a), bound(b));
        let (bias_part, bias_start) = match bias {
            Some(bias) if bias.strides() == [1] => bound(bias),
            Some(bias) => {
                let copy = bias.copy()?;
                return self.dispatch(module, out, Some(&copy), activation, parts);
            }
            None => (a_part, 0),
        };
        // Four at once, where each four begins at a multiple of 4.
        let by_four = |start: u32, matrix: [usize; 2], other: usize| {
            start.is_multiple_of(4) && (matrix[0] | matrix[1] | other).is_multiple_of(4)
        };
        let ([a_row, a_k], [b_k, b_column]) = (self.a_strides, self.b_strides);
        let read = |along_k: usize, across: usize, count: usize, start, matrix| {
            if along_k == 1 && by_four(start, matrix, across) {
                1
            } else if across == 1 && by_four(start, matrix, along_k) && count.is_multiple_of(4) {
                2
            } else {
                0
            }
        };
        let tiles = |size: usize| (m.div_ceil(size) * n.div_ceil(size) * matrices) as u64;
        let local = group_size(stream, 64);
        let (count, groups) = match module {
            Module::MatmulShared => (tiles(64), tiles(64)),
            Module::Matmul => (tiles(8), tiles(8).div_ceil(u64::from(local))),
            _ => {
                let all = (matrices * m * n) as u64;
                (all, (all * parts as u64).div_ceil(u64::from(local)))
            }
        };
        let push = Push {
            m: m as u32,
            n: n as u32,
            k: k as u32,
            inner: self.inner as u32,
            start: [a_start, b_start, bias_start],
            a_row: a_row as u32,
            a_k: a_k as u32,
            b_k: b_k as u32,
            b_column: b_column as u32,
            a_matrix: self.a_matrix.map(|s| s as u32),
            b_matrix: self.b_matrix.map(|s| s as u32),
            count: count as u32,
            parts: parts as u32,
        };
        let mut constants = [0; MAX_CONSTANTS];
        constants[0] = local;
        constants[3] = a.dtype() as u32;
        constants[4] = b.dtype() as u32;
        constants[5] = bias.map_or(0, |bias| bias.dtype() as u32);
        constants[6] = read(a_k, a_row, m, a_start, self.a_matrix);
        constants[7] = read(b_k, b_column, n, b_start, self.b_matrix);
        constants[8] = bias.is_some().into();
        constants[9] = activation as u32;
        let pipeline = stream.shared().pipeline(Key { module, constants })?;
        let out_bytes = (out.numel() as u64 * 4).next_multiple_of(16);
        let parts = [Part::write(&out.storage, 0, out_bytes), a_part, b_part, bias_part];
        stream.record(&Work::Dispatch {
            pipeline,
            parts: &parts,
            push: bytes_of(&push),
            groups: grid(stream, groups),
            steps: (matrices * m * n * k) as u64 / 8,
        })
    }
}
