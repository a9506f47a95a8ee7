//! Sums that keep their digits.
//!
//! All floats are added as doubles, pairwise: halves of a row are added by themselves, down to
//! blocks of 256 that go into eight lanes. So the rounding error of a sum of `n` grows with the
//! logarithm of `n`, and a sum of singles is practically the exact one, rounded once.

const BLOCK: usize = 256;

/// Σ f(x).
pub(crate) fn sum_by<T: Copy>(row: &[T], f: &impl Fn(T) -> f64) -> f64 {
    if row.len() > BLOCK {
        let (left, right) = row.split_at((row.len() / 2).next_multiple_of(8));
        return sum_by(left, f) + sum_by(right, f);
    }
    let mut lanes = [0.0; 8];
    let mut eights = row.chunks_exact(8);
    for eight in &mut eights {
        for (lane, &x) in lanes.iter_mut().zip(eight) {
            *lane += f(x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(eights.remainder()) {
        *lane += f(x);
    }
    (lanes[0] + lanes[4]) + (lanes[1] + lanes[5]) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]))
}

/// Σ f(x, y) over two rows of one length.
pub(crate) fn sum_by2<T: Copy>(a: &[T], b: &[T], f: &impl Fn(T, T) -> f64) -> f64 {
    if a.len() > BLOCK {
        let middle = (a.len() / 2).next_multiple_of(8);
        let ((a, c), (b, d)) = (a.split_at(middle), b.split_at(middle));
        return sum_by2(a, b, f) + sum_by2(c, d, f);
    }
    let mut lanes = [0.0; 8];
    let (mut x, mut y) = (a.chunks_exact(8), b.chunks_exact(8));
    for (x, y) in (&mut x).zip(&mut y) {
        for ((lane, &x), &y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += f(x, y);
        }
    }
    for ((lane, &x), &y) in lanes.iter_mut().zip(x.remainder()).zip(y.remainder()) {
        *lane += f(x, y);
    }
    (lanes[0] + lanes[4]) + (lanes[1] + lanes[5]) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]))
}

/// Adds the columns of rows of `width` onto `sums`, pairwise over the rows.
pub(crate) fn add_columns<T: Copy>(
    all: &[T],
    width: usize,
    sums: &mut [f64],
    f: &impl Fn(T) -> f64,
) {
    let rows = all.len() / width.max(1);
    if rows > BLOCK {
        let (top, bottom) = all.split_at(rows / 2 * width);
        add_columns(top, width, sums, f);
        let mut rest = vec![0.0; width];
        add_columns(bottom, width, &mut rest, f);
        sums.iter_mut().zip(rest).for_each(|(sum, x)| *sum += x);
        return;
    }
    for row in all.chunks_exact(width.max(1)) {
        sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f(x));
    }
}
