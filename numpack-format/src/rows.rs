//! Which rows: an index, a slice, a list or a mask, as NumPy has them.

use crate::error::Result;
use std::ops::{Range, RangeFrom, RangeFull, RangeTo};

/// A selection of rows of an array, counted without dropped ones. Negative numbers count from the
/// end.
///
/// ```
/// use numpack_format::Rows;
/// assert_eq!(Rows::from(-3..).count(10)?, 3);
/// assert_eq!(Rows::Slice { start: None, stop: None, step: -2 }.count(5)?, 3);
/// assert_eq!(Rows::Mask(&[true, false, true]).count(3)?, 2);
/// assert!(Rows::Index(3).count(3).is_err());
/// # Ok::<(), numpack_format::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rows<'a> {
    /// Every row.
    All,
    /// One row. It is an error if there is none of that number.
    Index(i64),
    /// Every `step`-th row from `start` to before `stop`, cut to the rows there are, as Python
    /// slices are. Without `start` or `stop`, from or to the end, whichever the sign of the step
    /// leads away from or to. A step of 0 is an error.
    Slice {
        /// The first row.
        start: Option<i64>,
        /// The row after the last one.
        stop: Option<i64>,
        /// How far it is from one to the next; negative: backwards.
        step: i64,
    },
    /// These rows, in this order; one may come several times. It is an error if one is not there.
    List(&'a [i64]),
    /// The rows whose flag is set. There must be as many flags as rows.
    Mask(&'a [bool]),
}

/// Rows that follow one another at a fixed distance; see [`Rows::spans`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// The first row.
    pub first: u64,
    /// How many there are, at least one.
    pub count: u64,
    /// How far it is from one to the next; negative: backwards.
    pub step: i64,
}

impl From<RangeFull> for Rows<'_> {
    fn from(_: RangeFull) -> Self {
        Rows::All
    }
}

impl From<Range<i64>> for Rows<'_> {
    fn from(r: Range<i64>) -> Self {
        Rows::Slice { start: Some(r.start), stop: Some(r.end), step: 1 }
    }
}

impl From<RangeFrom<i64>> for Rows<'_> {
    fn from(r: RangeFrom<i64>) -> Self {
        Rows::Slice { start: Some(r.start), stop: None, step: 1 }
    }
}

impl From<RangeTo<i64>> for Rows<'_> {
    fn from(r: RangeTo<i64>) -> Self {
        Rows::Slice { start: None, stop: Some(r.end), step: 1 }
    }
}

impl From<i64> for Rows<'_> {
    fn from(row: i64) -> Self {
        Rows::Index(row)
    }
}

impl<'a> From<&'a [i64]> for Rows<'a> {
    fn from(rows: &'a [i64]) -> Self {
        Rows::List(rows)
    }
}

impl<'a> From<&'a [bool]> for Rows<'a> {
    fn from(mask: &'a [bool]) -> Self {
        Rows::Mask(mask)
    }
}

impl Rows<'_> {
    /// How many rows the selection has of an array of `rows` rows.
    pub fn count(&self, rows: u64) -> Result<u64> {
        let picked = self.pick(rows);
        Ok(picked.map_err(|problem| crate::Error::parameter(None, problem))?.len())
    }

    /// The same rows as spans, in order.
    ///
    /// ```
    /// use numpack_format::{Rows, Span};
    /// let spans = Rows::List(&[1, 2, -1]).spans(9)?;
    /// let expected = [Span { first: 1, count: 2, step: 1 }, Span { first: 8, count: 1, step: 1 }];
    /// assert_eq!(spans, expected);
    /// # Ok::<(), numpack_format::Error>(())
    /// ```
    pub fn spans(&self, rows: u64) -> Result<Vec<Span>> {
        let picked = self.pick(rows).map_err(|problem| crate::Error::parameter(None, problem))?;
        if let Picked::Span { start, count, step } = picked {
            return Ok(if count == 0 { vec![] } else { vec![Span { first: start, count, step }] });
        }
        let mut spans = Vec::new();
        picked.for_each_run(|first, count| {
            spans.push(Span { first, count, step: 1 });
            Ok(())
        })?;
        Ok(spans)
    }

    /// The selection in an array of `rows` rows, every number of it checked.
    pub(crate) fn pick(&self, rows: u64) -> Result<Picked<'_>, String> {
        let span = |start, count, step| Ok(Picked::Span { start, count, step });
        match *self {
            Rows::All => span(0, rows, 1),
            Rows::Index(i) => span(resolve(i, rows)?, 1, 1),
            Rows::Slice { step: 0, .. } => Err("a step of 0 leads nowhere; use another".to_owned()),
            Rows::Slice { start, stop, step } => {
                let n = i128::from(rows);
                let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
                let place = |i: i64| {
                    let i = i128::from(i);
                    (if i < 0 { i + n } else { i }).clamp(low, high)
                };
                let (from, to) = if step > 0 { (low, high) } else { (high, low) };
                let (start, stop) = (start.map_or(from, place), stop.map_or(to, place));
                let way = if step > 0 { stop - start } else { start - stop };
                let count = (way.max(0) as u128).div_ceil(u128::from(step.unsigned_abs()));
                span(if count == 0 { 0 } else { start as u64 }, count as u64, step)
            }
            Rows::List(list) => {
                for &i in list {
                    resolve(i, rows)?;
                }
                Ok(Picked::List { list, rows })
            }
            Rows::Mask(mask) => {
                if mask.len() as u64 != rows {
                    return Err(format!(
                        "the mask has {} flags, the array has {rows} rows",
                        mask.len()
                    ));
                }
                let count = mask.iter().filter(|&&b| b).count() as u64;
                Ok(Picked::Mask { mask, count })
            }
        }
    }
}

/// The row of a number that may count from the end.
pub(crate) fn resolve(i: i64, rows: u64) -> Result<u64, String> {
    let row = if i < 0 { rows.checked_sub(i.unsigned_abs()) } else { Some(i as u64) };
    row.filter(|&row| row < rows)
        .ok_or_else(|| format!("row {i} is out of range, the array has {rows} rows"))
}

/// A selection that has been checked.
#[derive(Clone, Debug)]
pub(crate) enum Picked<'a> {
    Span { start: u64, count: u64, step: i64 },
    List { list: &'a [i64], rows: u64 },
    Mask { mask: &'a [bool], count: u64 },
}

impl Picked<'_> {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Picked::Span { count, .. } | Picked::Mask { count, .. } => *count,
            Picked::List { list, .. } => list.len() as u64,
        }
    }

    /// The rows, if they follow one another.
    pub(crate) fn as_range(&self) -> Option<Range<u64>> {
        match *self {
            Picked::Span { start, count, step } if step == 1 || count <= 1 => {
                Some(start..start + count)
            }
            _ => None,
        }
    }

    /// Calls `f` with each row, in order.
    pub(crate) fn for_each(&self, mut f: impl FnMut(u64) -> Result<()>) -> Result<()> {
        match *self {
            Picked::Span { start, count, step } => {
                for k in 0..count {
                    // Within the array, as has been seen to.
                    f(start.wrapping_add((step as u64).wrapping_mul(k)))?;
                }
            }
            Picked::List { list, rows } => {
                for &i in list {
                    f(if i < 0 { rows - i.unsigned_abs() } else { i as u64 })?;
                }
            }
            Picked::Mask { mask, .. } => {
                for (row, _) in mask.iter().enumerate().filter(|&(_, &b)| b) {
                    f(row as u64)?;
                }
            }
        }
        Ok(())
    }

    /// Calls `f` with each run of rows that follow one another: the first, and how many.
    pub(crate) fn for_each_run(&self, mut f: impl FnMut(u64, u64) -> Result<()>) -> Result<()> {
        if let Some(range) = self.as_range() {
            return if range.is_empty() { Ok(()) } else { f(range.start, range.end - range.start) };
        }
        let mut run: Option<(u64, u64)> = None;
        self.for_each(|row| match &mut run {
            Some((start, n)) if *start + *n == row => {
                *n += 1;
                Ok(())
            }
            other => match other.replace((row, 1)) {
                Some((start, n)) => f(start, n),
                None => Ok(()),
            },
        })?;
        run.map_or(Ok(()), |(start, n)| f(start, n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(r: &Rows<'_>, n: u64) -> Result<Vec<u64>, String> {
        let picked = r.pick(n)?;
        let (mut single, mut in_runs) = (Vec::new(), Vec::new());
        picked
            .for_each(|row| {
                single.push(row);
                Ok(())
            })
            .unwrap();
        picked
            .for_each_run(|start, n| {
                in_runs.extend(start..start + n);
                Ok(())
            })
            .unwrap();
        assert_eq!(single, in_runs);
        assert_eq!(picked.len(), single.len() as u64);
        Ok(single)
    }

    #[test]
    fn as_python_slices() {
        // list(range(5))[start:stop:step], from Python.
        type Case<'a> = (Option<i64>, Option<i64>, i64, &'a [u64]);
        let cases: [Case<'_>; 9] = [
            (None, None, 1, &[0, 1, 2, 3, 4]),
            (Some(-2), None, 1, &[3, 4]),
            (Some(1), Some(100), 2, &[1, 3]),
            (None, None, -1, &[4, 3, 2, 1, 0]),
            (Some(3), Some(0), -2, &[3, 1]),
            (Some(100), Some(-100), -3, &[4, 1]),
            (Some(3), Some(1), 1, &[]),
            (Some(i64::MIN), Some(i64::MAX), i64::MAX, &[0]),
            (Some(i64::MAX), Some(i64::MIN), i64::MIN, &[4]),
        ];
        for (start, stop, step, expected) in cases {
            let slice = Rows::Slice { start, stop, step };
            assert_eq!(rows(&slice, 5).unwrap(), expected, "{slice:?}");
        }
        assert_eq!(rows(&Rows::Slice { start: None, stop: None, step: -1 }, 0).unwrap(), [0; 0]);
    }

    #[test]
    fn refusals() {
        for bad in [
            Rows::Index(5),
            Rows::Index(-6),
            Rows::Index(i64::MIN),
            Rows::List(&[0, 5]),
            Rows::List(&[-6]),
            Rows::Mask(&[true; 4]),
            Rows::Mask(&[false; 6]),
            Rows::Slice { start: None, stop: None, step: 0 },
        ] {
            assert!(bad.pick(5).is_err(), "{bad:?}");
        }
        assert_eq!(rows(&Rows::List(&[-5, 4, 4]), 5).unwrap(), [0, 4, 4]);
    }

    proptest! {
        #[test]
        fn slices_agree_with_the_plain_way(n in 0u64..12, start in -15i64..15, stop in -15i64..15, step in -4i64..5) {
            prop_assume!(step != 0);
            let place = |i: i64| if i < 0 { i + n as i64 } else { i };
            let mut expected = Vec::new();
            let mut at = place(start).clamp(-1, n as i64);
            if step > 0 { at = at.max(0) } else { at = at.min(n as i64 - 1) }
            let stop_at = place(stop).clamp(-1, n as i64);
            while (step > 0 && at < stop_at) || (step < 0 && at > stop_at) {
                expected.push(at as u64);
                at += step;
            }
            prop_assert_eq!(rows(&Rows::Slice { start: Some(start), stop: Some(stop), step }, n).unwrap(), expected);
        }
    }
}
