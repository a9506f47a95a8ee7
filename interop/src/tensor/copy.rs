//! Elements from one layout to another.

use super::layout::Layout;

/// Two dimensions are walked in squares of so many elements a side, so that both sides stay in the
/// processor's cache where one of them is walked across its rows.
const TILE: usize = 32;

/// One dimension on both sides, its steps in bytes.
#[derive(Clone, Copy, Debug)]
struct Axis {
    len: usize,
    from: isize,
    to: isize,
}

/// Where the elements of one side are, in bytes.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) offset: isize,
    pub(super) strides: Vec<isize>,
}

impl Layout {
    /// Where its elements of so many bytes are.
    pub(super) fn places(&self, size: usize) -> Places {
        // A stride of a single index may be any number, and so may the place of no elements; they
        // are not used.
        let bytes = |&s: &isize| s.wrapping_mul(size as isize);
        let strides = self.strides.iter().map(bytes).collect();
        Places { offset: self.offset.wrapping_mul(size) as isize, strides }
    }
}

/// Copies each element of `size` bytes to the same index of the other side. All places lie within
/// the bytes, and no two of `to` overlap.
pub(super) fn copy(
    shape: &[usize],
    size: usize,
    (src, from): (&[u8], &Places),
    (dst, to): (&mut [u8], &Places),
) {
    if shape.contains(&0) {
        return;
    }
    let axes = axes(shape, from, to);
    let start = (from.offset, to.offset);
    match size {
        1 => walk::<1>(src, dst, &axes, start),
        2 => walk::<2>(src, dst, &axes, start),
        4 => walk::<4>(src, dst, &axes, start),
        8 => walk::<8>(src, dst, &axes, start),
        16 => walk::<16>(src, dst, &axes, start),
        other => unreachable!("elements of {other} bytes"),
    }
}

/// As few dimensions as do, the innermost of the target last.
fn axes(shape: &[usize], from: &Places, to: &Places) -> Vec<Axis> {
    let each = shape.iter().zip(&from.strides).zip(&to.strides);
    let each = each.map(|((&len, &from), &to)| Axis { len, from, to });
    let mut all: Vec<Axis> = each.filter(|a| a.len > 1).collect();
    all.sort_by_key(|a| std::cmp::Reverse(a.to.unsigned_abs()));
    let mut axes: Vec<Axis> = Vec::with_capacity(all.len());
    for axis in all {
        let inner = axis.len as isize;
        match axes.last_mut() {
            Some(outer)
                if axis.from.checked_mul(inner) == Some(outer.from)
                    && axis.to.checked_mul(inner) == Some(outer.to) =>
            {
                *outer = Axis { len: outer.len * axis.len, ..axis };
            }
            _ => axes.push(axis),
        }
    }
    axes
}

/// Counts through the outer dimensions, and copies two or one at once.
fn walk<const N: usize>(src: &[u8], dst: &mut [u8], axes: &[Axis], start: (isize, isize)) {
    let one = Axis { len: 1, from: 0, to: 0 };
    let (outer, rows, row) = match axes {
        [] => (&[][..], one, one),
        [row] => (&[][..], one, *row),
        [outer @ .., rows, row] => (outer, *rows, *row),
    };
    let mut index = vec![0; outer.len()];
    let (mut from, mut to) = start;
    loop {
        plane::<N>(src, dst, (rows, row), (from, to));
        let mut d = outer.len();
        loop {
            let Some(next) = d.checked_sub(1) else { return };
            d = next;
            let axis = outer[d];
            index[d] += 1;
            from += axis.from;
            to += axis.to;
            if index[d] < axis.len {
                break;
            }
            index[d] = 0;
            from -= axis.from * axis.len as isize;
            to -= axis.to * axis.len as isize;
        }
    }
}

/// Copies two dimensions.
fn plane<const N: usize>(
    src: &[u8],
    dst: &mut [u8],
    (rows, row): (Axis, Axis),
    (from, to): (isize, isize),
) {
    if row.from == N as isize && row.to == N as isize {
        let bytes = row.len * N;
        for i in 0..rows.len as isize {
            let (f, t) = ((from + i * rows.from) as usize, (to + i * rows.to) as usize);
            dst[t..t + bytes].copy_from_slice(&src[f..f + bytes]);
        }
        return;
    }
    for i0 in (0..rows.len).step_by(TILE) {
        for j0 in (0..row.len).step_by(TILE) {
            for i in i0..rows.len.min(i0 + TILE) {
                let (f, t) = (from + i as isize * rows.from, to + i as isize * rows.to);
                for j in j0..row.len.min(j0 + TILE) {
                    let f = (f + j as isize * row.from) as usize;
                    let t = (t + j as isize * row.to) as usize;
                    let element: [u8; N] = src[f..f + N].try_into().unwrap_or([0; N]);
                    dst[t..t + N].copy_from_slice(&element);
                }
            }
        }
    }
}
