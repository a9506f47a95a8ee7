//! An array in memory, with any strides, as C-order bytes.

use crate::error::Result;

/// Bytes handed on at a time.
const CHUNK: usize = 1 << 20;
/// The most that is gathered at a time, for rows so long that a few exceed `CHUNK`.
const MAX_BLOCK: usize = 8 << 20;
/// A transposed block is gathered in squares of so many elements, to use whole cache lines.
const TILE: usize = 32;

/// An array in memory whose every element has been found to lie within its bytes.
#[derive(Debug)]
pub(crate) struct Strided<'a> {
    data: &'a [u8],
    item: usize,
    start: usize,
    /// Length and step in bytes, the outermost first; at least two.
    dims: Vec<(usize, isize)>,
    empty: bool,
}

impl<'a> Strided<'a> {
    /// Checks that every element lies in `data`; if not, says why.
    pub(crate) fn new(
        data: &'a [u8],
        item: usize,
        shape: &[u64],
        strides: &[isize],
        start: usize,
    ) -> Result<Strided<'a>, String> {
        if shape.len() != strides.len() {
            return Err(format!(
                "the shape has {} dimensions, there are {} strides",
                shape.len(),
                strides.len()
            ));
        }
        if shape.contains(&0) {
            return Ok(Strided { data, item, start: 0, dims: Vec::new(), empty: true });
        }
        let (mut low, mut high) = (start as i128, start as i128 + item as i128);
        let mut dims: Vec<(usize, isize)> = Vec::with_capacity(shape.len() + 2);
        for (&len, &stride) in shape.iter().zip(strides) {
            // Below 2^127 in size.
            let reach = i128::from(len - 1) * stride as i128;
            let bound = if reach < 0 { &mut low } else { &mut high };
            *bound = bound
                .checked_add(reach)
                .ok_or_else(|| "its elements span more bytes than can be counted".to_owned())?;
            let len = usize::try_from(len)
                .map_err(|_| format!("a dimension of {len} does not fit the memory"))?;
            match dims.last_mut() {
                _ if len == 1 => {}
                // This dimension goes on where the one before it leaves off.
                Some((outer, step))
                    if stride.checked_mul(len as isize) == Some(*step)
                        && outer.checked_mul(len).is_some() =>
                {
                    (*outer, *step) = (*outer * len, stride);
                }
                _ => dims.push((len, stride)),
            }
        }
        if low < 0 || high > data.len() as i128 {
            return Err(format!(
                "its elements span bytes {low} to {high} of the data, which has {}",
                data.len()
            ));
        }
        while dims.len() < 2 {
            // One row; a lone dimension stays the inner one.
            dims.insert(0, (1, 0));
        }
        Ok(Strided { data, item, start, dims, empty: false })
    }

    /// Hands the bytes on in C order, in pieces.
    pub(crate) fn for_each(&self, mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if self.empty {
            return Ok(());
        }
        let (outer, inner) = self.dims.split_at(self.dims.len() - 2);
        let [(rows, row_step), (columns, step)] = [inner[0], inner[1]];
        let row_bytes = columns * self.item;
        let contiguous = step == self.item as isize || columns == 1;
        // A stride of 0 makes rows of any length from a few bytes: those go in parts.
        let whole_rows = row_bytes <= MAX_BLOCK / TILE;
        let block = (CHUNK / row_bytes).max(TILE).min(rows);
        let mut index = vec![0usize; outer.len()];
        let mut buffer = Vec::new();
        let mut base = self.start as isize;
        loop {
            if contiguous && row_bytes >= CHUNK / 4 {
                for r in 0..rows {
                    let at = (base + r as isize * row_step) as usize;
                    sink(&self.data[at..at + row_bytes])?;
                }
            } else if !whole_rows {
                let part = CHUNK / self.item;
                for (r, c) in
                    (0..rows).flat_map(|r| (0..columns).step_by(part).map(move |c| (r, c)))
                {
                    let n = part.min(columns - c);
                    let filled = buffer.len();
                    buffer.resize(filled + n * self.item, 0);
                    let at = base + r as isize * row_step + c as isize * step;
                    self.block(&mut buffer[filled..], at, (1, 0), (n, step), contiguous);
                    if buffer.len() >= CHUNK / 2 {
                        sink(&buffer)?;
                        buffer.clear();
                    }
                }
            } else {
                for first in (0..rows).step_by(block) {
                    let n = block.min(rows - first);
                    let filled = buffer.len();
                    buffer.resize(filled + n * row_bytes, 0);
                    let at = base + first as isize * row_step;
                    self.block(
                        &mut buffer[filled..],
                        at,
                        (n, row_step),
                        (columns, step),
                        contiguous,
                    );
                    if buffer.len() >= CHUNK / 2 {
                        sink(&buffer)?;
                        buffer.clear();
                    }
                }
            }
            // The next of the outer dimensions, the last one fastest.
            let mut d = outer.len();
            loop {
                if d == 0 {
                    return if buffer.is_empty() { Ok(()) } else { sink(&buffer) };
                }
                d -= 1;
                index[d] += 1;
                base += outer[d].1;
                if index[d] < outer[d].0 {
                    break;
                }
                base -= outer[d].0 as isize * outer[d].1;
                index[d] = 0;
            }
        }
    }

    fn block(
        &self,
        out: &mut [u8],
        at: isize,
        rows: (usize, isize),
        columns: (usize, isize),
        contiguous: bool,
    ) {
        if contiguous {
            let row_bytes = columns.0 * self.item;
            for (r, out) in out.chunks_exact_mut(row_bytes).enumerate() {
                let at = (at + r as isize * rows.1) as usize;
                out.copy_from_slice(&self.data[at..at + row_bytes]);
            }
            return;
        }
        match self.item {
            1 => self.elements::<1>(out, at, rows, columns),
            2 => self.elements::<2>(out, at, rows, columns),
            4 => self.elements::<4>(out, at, rows, columns),
            8 => self.elements::<8>(out, at, rows, columns),
            _ => self.elements::<16>(out, at, rows, columns),
        }
    }

    fn elements<const N: usize>(
        &self,
        out: &mut [u8],
        at: isize,
        rows: (usize, isize),
        columns: (usize, isize),
    ) {
        let (out, _) = out.as_chunks_mut::<N>();
        for r0 in (0..rows.0).step_by(TILE) {
            for c0 in (0..columns.0).step_by(TILE) {
                for r in r0..(r0 + TILE).min(rows.0) {
                    for c in c0..(c0 + TILE).min(columns.0) {
                        let from = (at + r as isize * rows.1 + c as isize * columns.1) as usize;
                        out[r * columns.0 + c].copy_from_slice(&self.data[from..from + N]);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn gather(
        data: &[u8],
        item: usize,
        shape: &[u64],
        strides: &[isize],
        start: usize,
    ) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        Strided::new(data, item, shape, strides, start)?
            .for_each(|b| {
                out.extend_from_slice(b);
                Ok(())
            })
            .unwrap();
        Ok(out)
    }

    /// Element by element, with no cleverness.
    fn plain(
        data: &[u8],
        item: usize,
        shape: &[u64],
        strides: &[isize],
        start: usize,
    ) -> Option<Vec<u8>> {
        let total: u64 = shape.iter().product();
        let mut out = Vec::new();
        for n in 0..total {
            let (mut rest, mut at) = (n, start as i128);
            for (d, s) in shape.iter().zip(strides).rev() {
                at += i128::from(rest % d) * *s as i128;
                rest /= d;
            }
            out.extend_from_slice(data.get(usize::try_from(at).ok()?..)?.get(..item)?);
        }
        Some(out)
    }

    proptest! {
        #[test]
        fn agrees_with_the_plain_way(
            item in prop_oneof![Just(1usize), Just(2), Just(4), Just(8), Just(16)],
            dims in proptest::collection::vec((0u64..6, -40isize..40), 0..5),
            start in 0usize..300,
        ) {
            let data: Vec<u8> = (0..600u32).map(|i| (i * 7 % 251) as u8).collect();
            let (shape, strides): (Vec<u64>, Vec<isize>) = dims.into_iter().unzip();
            prop_assert_eq!(gather(&data, item, &shape, &strides, start).ok(), plain(&data, item, &shape, &strides, start));
        }
    }

    #[test]
    fn spans_are_added_up_checked() {
        for stride in [isize::MAX, isize::MIN] {
            assert!(Strided::new(&[], 1, &[u64::MAX; 4], &[stride; 4], 0).is_err());
        }
    }

    #[test]
    fn large_transposes() {
        for (r, c) in [(3000u64, 70u64), (70, 3000), (2, 300_000), (300_000, 2), (40, 100_000)] {
            let data: Vec<u8> = (0..r * c * 2).map(|i| (i % 253) as u8).collect();
            let strides = [2, r as isize * 2];
            assert_eq!(
                gather(&data, 2, &[r, c], &strides, 0).ok(),
                plain(&data, 2, &[r, c], &strides, 0),
                "{r}x{c}"
            );
        }
    }
}
