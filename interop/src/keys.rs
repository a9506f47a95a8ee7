//! Which keys are the same.
//!
//! Keys of dicts and members of sets are sorted into classes: two of one class are equal in
//! Python. A class is a number, found once for each node from the classes of its parts, so a tuple
//! that a thousand keys share is looked at once, and depth costs no recursion.

use std::collections::HashMap;

/// What makes a key equal to another.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Shape {
    /// A plain value, as text that equal ones have in common.
    Plain(Vec<u8>),
    /// A tuple, or an object made of these parts in this order.
    Sequence(&'static str, Vec<u32>),
    /// A frozenset.
    Set(Vec<u32>),
    /// Something that is equal only to itself, such as a tensor. All of them are one class; which
    /// is which is told by their order.
    Itself,
}

/// What a key is made of, before its parts are known.
pub(crate) enum Parts {
    /// Nothing more.
    Whole(Shape),
    /// A sequence of nodes under a word.
    Sequence(&'static str, Vec<u32>),
    /// A set of nodes.
    Set(Vec<u32>),
}

/// An integer, boolean or float: equal numbers are one key in Python, whatever their types.
pub(crate) fn number(value: f64, exact: Option<i64>) -> Shape {
    let whole = exact.or_else(|| {
        // Within 2^53 each whole float is one integer.
        (value.fract() == 0.0 && value.abs() < 9e15).then_some(value as i64)
    });
    Shape::Plain(match whole {
        Some(i) => format!("i{i}").into_bytes(),
        None => format!("f{:016x}", value.to_bits()).into_bytes(),
    })
}

/// Gives out classes.
#[derive(Default)]
pub(crate) struct Classes {
    known: HashMap<Shape, u32>,
}

/// The classes of one table of nodes.
#[derive(Default)]
pub(crate) struct OfTable {
    found: HashMap<u32, u32>,
}

impl Classes {
    /// The class of a node; `parts` says what a node is made of.
    pub(crate) fn of(
        &mut self,
        table: &mut OfTable,
        node: u32,
        parts: impl Fn(u32) -> Parts,
    ) -> u32 {
        enum Step {
            Enter(u32),
            Leave(u32, Parts),
        }
        /// Marks a node whose parts are being looked at: one that contains itself is only itself.
        const OPEN: u32 = u32::MAX;
        let mut steps = vec![Step::Enter(node)];
        while let Some(step) = steps.pop() {
            match step {
                Step::Enter(at) if table.found.contains_key(&at) => {}
                Step::Enter(at) => match parts(at) {
                    Parts::Whole(shape) => {
                        let class = self.class(shape);
                        table.found.insert(at, class);
                    }
                    inner => {
                        table.found.insert(at, OPEN);
                        let (Parts::Sequence(_, nodes) | Parts::Set(nodes)) = &inner else {
                            continue;
                        };
                        let enter: Vec<Step> = nodes.iter().map(|&n| Step::Enter(n)).collect();
                        steps.push(Step::Leave(at, inner));
                        steps.extend(enter);
                    }
                },
                Step::Leave(at, inner) => {
                    let itself = self.class(Shape::Itself);
                    let class_of = |n: &u32| match table.found.get(n) {
                        Some(&OPEN) | None => itself,
                        Some(&class) => class,
                    };
                    let shape = match inner {
                        Parts::Whole(shape) => shape,
                        Parts::Sequence(word, nodes) => {
                            Shape::Sequence(word, nodes.iter().map(class_of).collect())
                        }
                        Parts::Set(nodes) => {
                            let mut classes: Vec<u32> = nodes.iter().map(class_of).collect();
                            classes.sort_unstable();
                            Shape::Set(classes)
                        }
                    };
                    let class = self.class(shape);
                    table.found.insert(at, class);
                }
            }
        }
        table.found.get(&node).copied().unwrap_or(OPEN)
    }

    fn class(&mut self, shape: Shape) -> u32 {
        let next = self.known.len() as u32;
        *self.known.entry(shape).or_insert(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_are_one_key() {
        assert_eq!(number(1.0, None), number(1.0, Some(1)));
        assert_ne!(number(1.5, None), number(1.0, Some(1)));
        assert_ne!(number(f64::NAN, None), number(f64::INFINITY, None));
    }

    #[test]
    fn sets_have_no_order_and_tuples_have() {
        let parts = |n: u32| match n {
            10 => Parts::Set(vec![1, 2]),
            11 => Parts::Set(vec![2, 1]),
            12 => Parts::Sequence("tuple", vec![1, 2]),
            13 => Parts::Sequence("tuple", vec![2, 1]),
            14 => Parts::Sequence("tuple", vec![14]),
            n => Parts::Whole(number(f64::from(n), None)),
        };
        let (mut classes, mut table) = (Classes::default(), OfTable::default());
        let mut of = |n| classes.of(&mut table, n, parts);
        assert_eq!(of(10), of(11));
        assert_ne!(of(12), of(13));
        assert_eq!(of(14), of(14));
    }
}
