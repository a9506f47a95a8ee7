//! The way back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::graph::{Gradient, Node, Target, Wants};
use crate::error::{Error, Result};
use crate::exec::Value;

/// Carries a gradient from a node to all leaves that it was computed of. With `retain`, nodes keep what
/// they need for another time.
///
/// All gradients of leaves are added when all of them are computed: after an error the leaves are as
/// they were.
pub(crate) fn run(start: Target, gradient: Gradient, retain: bool) -> Result<()> {
    let mut leaves: Vec<(crate::Tensor, Value)> = Vec::new();
    // Those that have a gradient, by their numbers.
    let mut waiting: BTreeMap<u64, (Arc<Node>, Gradient)> = BTreeMap::new();
    match start {
        Target::Leaf(leaf) => leaves.push((leaf, gradient.get()?.clone())),
        Target::Node(node) => {
            waiting.insert(node.number, (node, gradient));
        }
    }
    while let Some((_, (node, gradient))) = waiting.pop_last() {
        let wants = Wants::new(&node.inputs);
        let grads = {
            let mut backward = node.backward.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(f) = backward.as_ref() else {
                let problem =
                    format!("the graph through {} was freed by an earlier backward", node.op);
                return Err(Error::grad(
                    "backward",
                    problem,
                    "keep it with retain_graph, or compute the result anew",
                ));
            };
            let grads = f(&gradient, &wants)?;
            if !retain {
                *backward = None;
            }
            grads
        };
        drop(gradient);
        for (i, (target, grad)) in node.inputs.iter().zip(grads).enumerate() {
            let (Some(target), Some(grad)) = (target, grad) else { continue };
            let rectified = i == 0 && wants.rectified.get();
            match target {
                Target::Leaf(leaf) => match leaves.iter_mut().find(|(l, _)| l.is_same(leaf)) {
                    Some((_, sum)) => *sum = sum.add(&grad)?,
                    None => leaves.push((leaf.clone(), grad)),
                },
                Target::Node(node) => match waiting.remove(&node.number) {
                    Some((node, earlier)) => {
                        let mut sum = Gradient::new(earlier.get()?.add(&grad)?);
                        sum.rectified = rectified && earlier.rectified;
                        waiting.insert(node.number, (node, sum));
                    }
                    None => {
                        let mut first = Gradient::new(grad);
                        first.rectified = rectified;
                        waiting.insert(node.number, (node.clone(), first));
                    }
                },
            }
        }
    }
    // One at a time, so that ways back of two threads that end in one leaf both count.
    static KEEPING: Mutex<()> = Mutex::new(());
    let _one = KEEPING.lock().unwrap_or_else(PoisonError::into_inner);
    // Sums may fail too, so they are computed before any is kept.
    let sums = leaves.into_iter().map(|(leaf, grad)| leaf.grad_with(grad).map(|sum| (leaf, sum)));
    for (leaf, sum) in sums.collect::<Result<Vec<_>>>()? {
        leaf.put_grad(Some(sum));
    }
    Ok(())
}
