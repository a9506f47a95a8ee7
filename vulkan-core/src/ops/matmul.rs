//! Products of matrices.

use bytemuck::{NoUninit, bytes_of};

use super::Activation;
use super::bind::{bound, grid, group_size, is_software, reads_slowly, storage_range};
use crate::core::record::{Part, Work};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernels::Module;
use crate::tensor::Tensor;
use crate::tensor::layout::broadcast;
use crate::vk::pipeline::{Key, MAX_CONSTANTS};

/// What is done with each element of a product.
#[derive(Clone, Copy)]
pub(super) enum Finish<'a> {
    /// A bias is added, and an activation taken.
    Forward(Option<&'a Tensor>, Activation),
    /// It is multiplied with the derivative of an activation, one of those that know it from what they
    /// gave, which was this.
    Backward(Activation, &'a Tensor),
}

impl<'a> Finish<'a> {
    const NONE: Finish<'static> = Finish::Forward(None, Activation::None);

    /// By kernels of its own.
    fn of(self, product: Tensor) -> Result<Tensor> {
        match self {
            Finish::Forward(Some(bias), activation) => activation.forward(&product.add(bias)?),
            Finish::Forward(None, activation) => activation.forward(&product),
            Finish::Backward(activation, saved) => activation.backward(&product, saved),
        }
    }

    /// The tensor that it needs.
    fn beside(self) -> Option<&'a Tensor> {
        match self {
            Finish::Forward(bias, _) => bias,
            Finish::Backward(_, saved) => Some(saved),
        }
    }

    /// As `shaders/matrix.glsl` numbers them.
    fn code(self) -> u32 {
        match self {
            Finish::Forward(_, activation) => activation as u32,
            Finish::Backward(Activation::Relu, _) => 7,
            Finish::Backward(Activation::Tanh, _) => 8,
            Finish::Backward(..) => 9,
        }
    }
}

/// Where a product goes.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    /// A contiguous tensor of `float32`, as is the next.
    pub(super) out: &'a Tensor,
    /// Where the sums of the rows of the left one of two matrices go.
    pub(super) sums: Option<&'a Tensor>,
    /// Whether both are added to what is there.
    pub(super) adds: bool,
    /// Whether one kernel does it, though several might be faster; as it must with sums.
    pub(super) once: bool,
}

/// What a kernel is told, as `shaders/matrix.glsl` declares it.
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Push {
    m: u32,
    n: u32,
    k: u32,
    inner: u32,
    start: [u32; 5],
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

/// So many invocations keep a device busy; and a product of no more elements is taken by subgroups, on
/// software devices where they are wide enough for it to pay.
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
        let (out, dtype) = self.product(other, Finish::NONE)?;
        out.to_dtype(dtype)
    }

    /// The gradients of [`matmul`](Tensor::matmul) for `a` and `b`, from its result's, which this is:
    /// self · bᵀ and aᵀ · self, summed where the outer dimensions were broadcast. Each is within what
    /// [`matmul`](Tensor::matmul) promises, and [`sum`](Tensor::sum), of the type and shape of what it is
    /// for.
    ///
    /// # Errors
    /// As for [`matmul`](Tensor::matmul); [`Error::Parameter`] where this has not the product's shape.
    pub fn matmul_backward(&self, a: &Tensor, b: &Tensor) -> Result<(Tensor, Tensor)> {
        if a.ndim() == 0 || b.ndim() == 0 {
            let problem = "matmul_backward: a tensor without dimensions is no matrix";
            return Err(Error::parameter(format!("{problem}; give what was multiplied")));
        }
        let left = if a.ndim() == 1 { a.unsqueeze(0)? } else { a.clone() };
        let right = if b.ndim() == 1 { b.unsqueeze(1)? } else { b.clone() };
        let mut grad = self.clone();
        if b.ndim() == 1 {
            grad = grad.unsqueeze(-1)?;
        }
        if a.ndim() == 1 {
            grad = grad.unsqueeze(-2)?;
        }
        let (m, n) = (left.shape()[left.ndim() - 2], right.shape()[right.ndim() - 1]);
        let (outer, inner) = (&left.shape()[..left.ndim() - 2], &right.shape()[..right.ndim() - 2]);
        let wanted = [&broadcast(outer, inner)?[..], &[m, n]].concat();
        if grad.shape() != wanted {
            return Err(Error::parameter(format!(
                "matmul_backward: a gradient of shape {:?} of the product of {:?} and {:?}; give the \
                 product's gradient",
                self.shape(),
                a.shape(),
                b.shape()
            )));
        }
        let back = |wide: Tensor, like: &Tensor, own: &Tensor| {
            wide.sum_to_shape(like.shape())?.to_dtype(own.dtype())?.view(own.shape())
        };
        let (for_a, _) = grad.product(&right.transpose(-1, -2)?, Finish::NONE)?;
        // With one matrix for all of them, its gradient is one product over all rows.
        let for_b = if right.ndim() == 2 && left.ndim() > 2 {
            let k = right.shape()[0];
            let rows = grad.numel() / n.max(1);
            let (left, grad) = (left.reshape(&[rows, k])?, grad.reshape(&[rows, n])?);
            left.t()?.product(&grad, Finish::NONE)?.0
        } else {
            left.transpose(-1, -2)?.product(&grad, Finish::NONE)?.0
        };
        Ok((back(for_a, &left, a)?, back(for_b, &right, b)?))
    }

    /// The product in 32 bits, and the type that it is of.
    pub(super) fn product(&self, other: &Tensor, finish: Finish<'_>) -> Result<(Tensor, DType)> {
        let beside = finish.beside();
        for t in [Some(other), beside].into_iter().flatten() {
            t.must_be_on(self.stream())?;
        }
        for t in [Some(self), Some(other), beside].into_iter().flatten() {
            if !t.dtype().is_float() {
                let problem = format!("products of matrices of {} are not computed", t.dtype());
                return Err(Error::Parameter(problem + " on a device; cast to a float type first"));
            }
        }
        let dtype = match finish {
            Finish::Backward(_, saved) => saved.dtype(),
            Finish::Forward(bias, _) => [Some(other), bias]
                .into_iter()
                .flatten()
                .fold(self.dtype(), |dtype, t| if t.dtype() == dtype { dtype } else { DType::F32 }),
        };
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
        Ok((products(&a, &b, finish)?.view(&shape)?, dtype))
    }
}

/// Many products, of tensors whose outer dimensions are the same; in 32 bits.
fn products(a: &Tensor, b: &Tensor, finish: Finish<'_>) -> Result<Tensor> {
    let stream = a.stream();
    let nd = a.ndim();
    let (m, k, n) = (a.shape()[nd - 2], a.shape()[nd - 1], b.shape()[nd - 1]);
    let matrices: usize = a.shape()[..nd - 2].iter().product();
    let shape = [matrices, m, n];
    // What a kernel reads beside is in a row, or in the order of what it writes.
    let beside = finish.beside().map(|t| match finish {
        Finish::Forward(..) => t.contiguous(),
        Finish::Backward(..) => t.reshape(&shape)?.contiguous(),
    });
    let beside = beside.transpose()?;
    let finish = match (finish, &beside) {
        (Finish::Forward(_, activation), beside) => Finish::Forward(beside.as_ref(), activation),
        (Finish::Backward(activation, saved), beside) => {
            Finish::Backward(activation, beside.as_ref().unwrap_or(saved))
        }
    };
    if matrices * m * n == 0 || k == 0 {
        return finish.of(Tensor::zeros(stream, DType::F32, &shape)?);
    }
    let Some(product) = Product::of(a, b) else {
        return products(&a.copy()?, &b.copy()?, finish);
    };
    product.must_fit((matrices * m * n) as u64 * 4)?;
    if product.reads_often() {
        return products(&a.to_dtype(DType::F32)?, &b.to_dtype(DType::F32)?, finish);
    }
    let parts = product.parts();
    if parts > 1 {
        return finish.of(product.in_parts(parts)?);
    }
    let out = Tensor::empty(stream, DType::F32, &shape)?;
    let target = Target { out: &out, sums: None, adds: false, once: true };
    product.dispatch(&target, finish, 1)?;
    Ok(out)
}

/// Whether a product can be written into a tensor by the kernel itself.
pub(super) fn is_written_directly(out: &Tensor) -> bool {
    out.dtype() == DType::F32 && out.is_contiguous()
}

/// The product of two matrices, into tensors that are there.
pub(super) fn product_into(a: &Tensor, b: &Tensor, target: Target<'_>) -> Result<()> {
    debug_assert!(is_written_directly(target.out));
    if target.out.numel() == 0 || a.shape()[1] == 0 {
        return if target.adds { Ok(()) } else { target.out.fill(0.0) };
    }
    let Some(product) = Product::of(a, b) else { unreachable!("there is one matrix") };
    let (written, _) = written(target.out);
    product.must_fit(written.end - written.start)?;
    if product.reads_often() {
        return product_into(&a.to_dtype(DType::F32)?, &b.to_dtype(DType::F32)?, target);
    }
    let parts = if target.once { 1 } else { product.parts() };
    if parts > 1 {
        return target.out.take_or_add(&product.in_parts(parts)?.squeeze(0)?, target.adds);
    }
    product.dispatch(&target, Finish::NONE, 1)
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

impl<'a> Product<'a> {
    /// Of tensors whose outer dimensions are the same; `None` where a kernel, which tells two of them apart,
    /// does not find the matrices.
    fn of(a: &'a Tensor, b: &'a Tensor) -> Option<Product<'a>> {
        let nd = a.ndim();
        let mut dims: Vec<(usize, usize, usize)> = Vec::new();
        let outer = &a.shape()[..nd - 2];
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
            return None;
        }
        let (inner, x, y) = dims.pop().unwrap_or((1, 0, 0));
        let (_, outer_x, outer_y) = dims.pop().unwrap_or((1, 0, 0));
        Some(Product {
            m: a.shape()[nd - 2],
            n: b.shape()[nd - 1],
            k: a.shape()[nd - 1],
            matrices: outer.iter().product(),
            inner,
            a,
            b,
            a_strides: [a.strides()[nd - 2], a.strides()[nd - 1]],
            b_strides: [b.strides()[nd - 2], b.strides()[nd - 1]],
            a_matrix: [outer_x, x],
            b_matrix: [outer_y, y],
        })
    }

    /// Where subgroups take the product: how many invocations each has, how many rows each of these reads,
    /// and how many columns they make together: what one makes should not be more than 64 elements, or 48
    /// where there are few tiles. There are but some widths, since each is compiled by itself.
    fn by_subgroups(&self) -> Option<[u32; 3]> {
        let (stream, gpu) = (self.a.stream(), &self.a.stream().shared().gpu);
        let lanes = gpu.info().limits.subgroup_size as usize;
        let can = gpu.subgroup_broadcast() && (8..=16).contains(&lanes) && is_software(stream);
        let few = self.matrices * self.m * self.n <= ENOUGH;
        if !can || !(few || reads_slowly() && !self.is_narrow()) {
            return None;
        }
        let (wide, most) = match self.n {
            few @ ..3 => (few, 48),
            some @ ..=24 => (some.next_multiple_of(4), 48),
            many => (many.div_ceil(many.div_ceil(16)).next_multiple_of(4), 64),
        };
        let rows = self.m.div_ceil(lanes).min(most / wide).min(4);
        Some([lanes as u32, rows as u32, wide as u32])
    }

    fn is_narrow(&self) -> bool {
        self.m.min(self.n) <= NARROW
    }

    /// Whether its kernel, of tiles in registers, reads elements so often that they are better widened
    /// before.
    fn reads_often(&self) -> bool {
        let wide = (self.a.dtype(), self.b.dtype()) == (DType::F32, DType::F32);
        !wide && !self.is_narrow() && is_software(self.a.stream())
    }

    /// Among how many invocations the sum for each element is best divided.
    fn parts(&self) -> usize {
        if !self.is_narrow() {
            return 1;
        }
        (ENOUGH / (self.matrices * self.m * self.n)).min(self.k / 64).max(1)
    }

    /// The product by that many invocations for each element, whose sums are added then.
    fn in_parts(&self, parts: usize) -> Result<Tensor> {
        let shape = [self.matrices, self.m, self.n, parts];
        let pieces = Tensor::empty(self.a.stream(), DType::F32, &shape)?;
        let target = Target { out: &pieces, sums: None, adds: false, once: true };
        self.dispatch(&target, Finish::NONE, parts)?;
        pieces.sum(&[3], false)
    }

    /// A kernel sees its matrices whole, and what it writes: so many bytes.
    fn must_fit(&self, out: u64) -> Result<()> {
        let limit = storage_range(self.a.stream());
        let bytes = |t: &Tensor| {
            let (start, end) = t.layout.extent();
            (end - start) as u64 * t.dtype().size() as u64 + 512
        };
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

    fn dispatch(&self, target: &Target<'_>, finish: Finish<'_>, parts: usize) -> Result<()> {
        let Product { m, n, k, matrices, a, b, .. } = *self;
        let stream = a.stream();
        let ((a_part, a_start), (b_part, b_start)) = (bound(a), bound(b));
        let (out_part, out_start) = written(target.out);
        // What a kernel does not use is bound all the same, to what it sees anyway.
        let (beside_part, beside_start) = finish.beside().map_or((a_part, 0), bound);
        let (sums_part, sums_start) =
            target.sums.map_or((Part { write: false, ..out_part }, 0), written);
        let subgroups = if parts == 1 { self.by_subgroups() } else { None };
        let module = match (subgroups, self.is_narrow(), is_software(stream)) {
            (Some(_), ..) => Module::MatmulSubgroup,
            (_, true, _) => Module::Dot,
            (_, false, true) => Module::Matmul,
            (_, false, false) => Module::MatmulShared,
        };
        // Four at once, where each four begins at a multiple of 4 and the kernel can.
        let by_four = |start: u32, matrix: [usize; 2], other: usize| {
            subgroups.is_none()
                && start.is_multiple_of(4)
                && (matrix[0] | matrix[1] | other).is_multiple_of(4)
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
        let tiles_of = |rows: usize, columns: usize| {
            (m.div_ceil(rows) * n.div_ceil(columns) * matrices) as u64
        };
        let tiles = |size: usize| tiles_of(size, size);
        let [local, rows, wide] = subgroups.unwrap_or([group_size(stream, 64), 0, 0]);
        // Behind the invocations for the product are those for the sums.
        let sums = if target.sums.is_some() { m as u64 } else { 0 };
        let (count, groups) = match module {
            Module::MatmulShared => (tiles(64), tiles(64) + sums.div_ceil(256)),
            Module::MatmulSubgroup => {
                let all = tiles_of((rows * local) as usize, wide as usize);
                (all, all)
            }
            Module::Matmul => (tiles(8), (tiles(8) + sums).div_ceil(u64::from(local))),
            _ => {
                let all = (matrices * m * n) as u64;
                (all, (all * parts as u64 + sums).div_ceil(u64::from(local)))
            }
        };
        let push = Push {
            m: m as u32,
            n: n as u32,
            k: k as u32,
            inner: self.inner as u32,
            start: [a_start, b_start, beside_start, out_start, sums_start],
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
        constants[..3].copy_from_slice(&[local, rows, wide]);
        constants[3] = a.dtype() as u32;
        constants[4] = b.dtype() as u32;
        constants[5] = finish.beside().map_or(0, |t| t.dtype() as u32);
        constants[6] = read(a_k, a_row, m, a_start, self.a_matrix);
        constants[7] = read(b_k, b_column, n, b_start, self.b_matrix);
        constants[8] = matches!(finish, Finish::Forward(Some(_), _)).into();
        constants[9] = finish.code();
        constants[10] = target.adds.into();
        constants[11] = target.sums.is_some().into();
        let pipeline = stream.shared().pipeline(Key { module, constants })?;
        let parts = [out_part, a_part, b_part, beside_part, sums_part];
        stream.record(&Work::Dispatch {
            pipeline,
            parts: &parts,
            push: bytes_of(&push),
            groups: grid(stream, groups),
            steps: (matrices * m * n * k) as u64 / 8,
        })
    }
}

/// What is written of a contiguous tensor of `float32`, and where in it that begins, in elements.
fn written(t: &Tensor) -> (Part<'_>, u32) {
    let (part, start) = bound(t);
    let end = (t.storage_offset() + t.numel()) as u64 * 4;
    (Part { write: true, end, ..part }, start)
}
