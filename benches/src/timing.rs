//! Two things measured in turn.

use std::time::{Duration, Instant};

use anyhow::Result;

/// Two things, measured alternately so that what disturbs one disturbs the other.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    /// What is to be judged.
    pub ours: Vec<Duration>,
    /// What it is judged by.
    pub reference: Vec<Duration>,
}

impl Pairs {
    /// Measures `n` pairs after one round that does not count. The order within a pair changes
    /// each time. Each function says how long it took, so that it can prepare and clear up.
    ///
    /// # Errors
    /// The first error of either.
    pub fn measure(
        n: usize,
        mut ours: impl FnMut() -> Result<Duration>,
        mut reference: impl FnMut() -> Result<Duration>,
    ) -> Result<Pairs> {
        ours()?;
        reference()?;
        let mut pairs = Pairs::default();
        for i in 0..n {
            if i % 2 == 0 {
                pairs.ours.push(ours()?);
                pairs.reference.push(reference()?);
            } else {
                pairs.reference.push(reference()?);
                pairs.ours.push(ours()?);
            }
        }
        Ok(pairs)
    }

    /// What we took for each unit of what the reference took.
    pub fn ratio(&self) -> Ratio {
        let each = self.ours.iter().zip(&self.reference);
        Ratio::of(each.map(|(a, b)| a.as_secs_f64() / b.as_secs_f64()).collect())
    }
}

/// Ratios of pairs.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Ratio {
    /// The middle one.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Ratio {
    fn of(mut each: Vec<f64>) -> Ratio {
        each.sort_by(f64::total_cmp);
        let last = each.len() - 1;
        let median = f64::midpoint(each[last / 2], each[last.div_ceil(2)]);
        Ratio { median, min: each[0], max: each[last] }
    }
}

/// The middle one; the mean of two where their number is even.
///
/// # Panics
/// Without any.
pub fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    let last = sorted.len() - 1;
    (sorted[last / 2] + sorted[last.div_ceil(2)]) / 2
}

/// Measures one thing `n` times after one time that does not count.
///
/// # Errors
/// The first error.
pub fn repeat(n: usize, mut f: impl FnMut() -> Result<Duration>) -> Result<Vec<Duration>> {
    f()?;
    (0..n).map(|_| f()).collect()
}

/// How long `f` takes.
///
/// # Errors
/// Its error.
pub fn time<T>(f: impl FnOnce() -> Result<T>) -> Result<Duration> {
    let start = Instant::now();
    let done = f()?;
    let took = start.elapsed();
    // What came of it is dropped outside the time.
    drop(done);
    Ok(took)
}
