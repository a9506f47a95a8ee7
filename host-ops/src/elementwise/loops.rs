//! One function over the elements of one, two or three arrays that broadcast.

use crate::element::Element;
use crate::layout::{Walk, at, room};
use crate::{Array, Result};

/// `f` of each element.
pub(crate) fn map1<A: Element, O: Element>(
    op: &'static str,
    a: &Array,
    f: impl Fn(A) -> O,
) -> Result<Array> {
    let all = a.elements::<A>(op)?;
    let walk = Walk::over(op, [a])?;
    let mut out = room(walk.numel)?;
    walk.rows(&mut |[i], [s], n| match s {
        1 => out.extend(all[i..i + n].iter().map(|&x| f(x))),
        _ => out.extend((0..n).map(|k| f(all[at(i, s, k)]))),
    });
    Array::from_vec(out, &walk.shape)
}

/// `f` of each two elements that lie upon each other when both arrays are broadcast.
pub(crate) fn map2<A: Element, B: Element, O: Element>(
    op: &'static str,
    a: &Array,
    b: &Array,
    f: impl Fn(A, B) -> O,
) -> Result<Array> {
    let (x, y) = (a.elements::<A>(op)?, b.elements::<B>(op)?);
    let walk = Walk::over(op, [a, b])?;
    let mut out = room(walk.numel)?;
    walk.rows(&mut |[i, j], [s, t], n| match (s, t) {
        (1, 1) => out.extend(x[i..i + n].iter().zip(&y[j..j + n]).map(|(&x, &y)| f(x, y))),
        (1, 0) => {
            let y = y[j];
            out.extend(x[i..i + n].iter().map(|&x| f(x, y)));
        }
        (0, 1) => {
            let x = x[i];
            out.extend(y[j..j + n].iter().map(|&y| f(x, y)));
        }
        _ => out.extend((0..n).map(|k| f(x[at(i, s, k)], y[at(j, t, k)]))),
    });
    Array::from_vec(out, &walk.shape)
}

/// `f` of each three elements that lie upon each other when the arrays are broadcast.
pub(crate) fn map3<A: Element, B: Element, C: Element, O: Element>(
    op: &'static str,
    [a, b, c]: [&Array; 3],
    f: impl Fn(A, B, C) -> O,
) -> Result<Array> {
    let (x, y, z) = (a.elements::<A>(op)?, b.elements::<B>(op)?, c.elements::<C>(op)?);
    let walk = Walk::over(op, [a, b, c])?;
    let mut out = room(walk.numel)?;
    walk.rows(&mut |[i, j, l], [s, t, u], n| match (s, t, u) {
        (1, 1, 1) => {
            let (y, z) = (&y[j..j + n], &z[l..l + n]);
            out.extend(x[i..i + n].iter().zip(y).zip(z).map(|((&x, &y), &z)| f(x, y, z)));
        }
        _ => out.extend((0..n).map(|k| f(x[at(i, s, k)], y[at(j, t, k)], z[at(l, u, k)]))),
    });
    Array::from_vec(out, &walk.shape)
}
