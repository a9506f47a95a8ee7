//! Finding tensors in an object, and naming them by the way that leads there.

pub(crate) mod runs;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::error::{Error, Part, Result};
use crate::table::{Distinct, Hasher};
use crate::{Names, Node, NodeId, Tree, text};
use runs::{Label, Run, Runs, leading_to_tensors};

/// Bytes of names allowed for each name: deep nesting makes long paths.
const BYTES_PER_NAME: usize = 128;
/// Bytes of names allowed in any case.
const LEAST_BYTES: usize = 1 << 20;
/// Bytes of names after which [`Tree::first_names`] gives numbers instead of paths.
const FIRST_BYTES: usize = 128 << 20;

/// Bytes that so many names may take.
fn bytes_for(max_names: usize) -> usize {
    max_names.saturating_mul(BYTES_PER_NAME).clamp(LEAST_BYTES, text::MOST)
}

/// A node on the way, and which of its children are still to be visited.
struct Frame {
    node: NodeId,
    /// Where its runs start in the list of runs; they end where those of the next frame start.
    first: usize,
    /// Its next run.
    run: usize,
    /// The run before that, which of its children is next, and where they end.
    current: Run,
    next: usize,
    end: usize,
    /// The length of its path.
    len: usize,
    /// Whether a run of it had children to be visited.
    is_met: bool,
    /// Whether a label of it has a dot.
    has_dots: bool,
    /// Whether paths go on below its children.
    goes_on: bool,
}

/// Those children of a run that lead to tensors.
#[derive(Clone, Copy)]
struct Kept {
    start: usize,
    end: usize,
    /// The last walk that went through them.
    met: u32,
}

/// What is found out once about a tree and serves all walks.
struct Known<'t> {
    shape: Runs<'t>,
    leads: Vec<bool>,
    /// The number of the last walk that met each node.
    passed: Vec<u32>,
    runs: HashMap<Run, Kept>,
    /// Their places in the runs.
    kept: Vec<u32>,
    walks: u32,
}

impl Known<'_> {
    fn kept(&mut self, run: Run) -> &mut Kept {
        let Known { shape, leads, runs, kept, .. } = self;
        runs.entry(run).or_insert_with(|| {
            let start = kept.len();
            for i in 0..shape.len(run) {
                let child = shape.at(run, i);
                if leads[child.1.place() as usize] && shape.shows(run, child) {
                    kept.push(i as u32);
                }
            }
            Kept { start, end: kept.len(), met: 0 }
        })
    }
}

/// Goes from the root along every path, or the first to each node, to the tensors.
struct Walk<'a, 't> {
    tree: &'t Tree,
    /// A node is passed while it is on the current path; with `once`, when it was met before.
    known: &'a mut Known<'t>,
    number: u32,
    /// Whether paths go through the attributes of tensors.
    attributes: bool,
    once: bool,
    max_names: usize,
    max_bytes: usize,
    names: Names,
    steps: usize,
    /// Bytes of labels written, more than once where a path leads nowhere.
    written: usize,
    /// Whether paths are not followed any more, as they are too long.
    nameless: bool,
}

/// What was exceeded: limit, need, allowance, unit.
type Exceeded = (&'static str, u64, u64, &'static str);

impl Walk<'_, '_> {
    fn run(&mut self, root: NodeId) -> std::result::Result<(), Exceeded> {
        // Each step leads to a name or into a part of a cycle, of which a hostile file may have
        // many more than names.
        let max_steps =
            self.max_names.saturating_mul(4).saturating_add(self.tree.nodes().len() * 2);
        let mut path = String::new();
        let mut runs: Vec<Run> = Vec::new();
        let mut frames: Vec<Frame> = Vec::new();
        self.enter(root, &path, &mut runs, &mut frames)?;
        loop {
            let is_below = frames.len() > 1;
            let Some(frame) = frames.last_mut() else { return Ok(()) };
            if frame.next == frame.end {
                if let Some(&run) = runs.get(frame.run) {
                    frame.run += 1;
                    frame.current = run;
                    (frame.next, frame.end) = self.open(run);
                    if frame.next < frame.end {
                        // What two runs call their children may be the same.
                        self.names.may_repeat |= frame.is_met;
                        frame.is_met = true;
                    }
                } else if let Some(done) = frames.pop() {
                    // {"a": {"b": …}, "a.b": …}
                    self.names.may_repeat |= done.has_dots && done.goes_on;
                    if !self.once {
                        self.known.passed[done.node.place() as usize] = 0;
                    }
                    runs.truncate(done.first);
                }
                continue;
            }
            let place = self.known.kept[frame.next];
            let (label, child) = self.known.shape.at(frame.current, place as usize);
            frame.next += 1;
            self.steps += 1;
            if self.steps > max_steps && !self.once {
                let needed = self.max_names as u64 + 1;
                return Err(("max_names", needed, self.max_names as u64, "paths"));
            }
            if self.known.passed[child.place() as usize] == self.number {
                continue;
            }
            path.truncate(frame.len);
            if !self.nameless {
                if is_below {
                    path.push('.');
                }
                let before = path.len();
                label.push(self.tree, &mut path);
                frame.has_dots = frame.has_dots || path[before..].contains('.');
                self.names.may_repeat |= !self.known.shape.is_distinct(frame.current, label);
                self.written = self.written.saturating_add(path.len() - before);
                let longest = path.len().max(self.written / 2);
                if longest > self.max_bytes {
                    if !self.once {
                        return Err(self.too_long(longest));
                    }
                    self.nameless = true;
                }
            }
            self.enter(child, &path, &mut runs, &mut frames)?;
        }
    }

    /// Where the children of a run lie that are to be visited. With `once` there are none when it
    /// was met before: whoever met it visits them.
    fn open(&mut self, run: Run) -> (usize, usize) {
        let number = self.number;
        let kept = self.known.kept(run);
        if std::mem::replace(&mut kept.met, number) == number && self.once {
            return (0, 0);
        }
        let Kept { start, end, .. } = *kept;
        // Each of these gives a name, but for cycles.
        let more = (end - start).min(self.tree.tensors().len());
        self.names.reserve(more.min(self.max_names.saturating_sub(self.names.len())));
        (start, end)
    }

    fn too_long(&self, needed: usize) -> Exceeded {
        ("max_names", needed as u64, self.max_bytes as u64, "bytes of names")
    }

    fn enter(
        &mut self,
        id: NodeId,
        path: &str,
        runs: &mut Vec<Run>,
        frames: &mut Vec<Frame>,
    ) -> std::result::Result<(), Exceeded> {
        if !self.known.leads[id.place() as usize] {
            return Ok(());
        }
        self.known.passed[id.place() as usize] = self.number;
        let mut goes_on = true;
        if let Node::Tensor(tensor) = self.tree.node(id) {
            if self.names.len() >= self.max_names {
                let needed = self.names.len() as u64 + 1;
                return Err(("max_names", needed, self.max_names as u64, "names"));
            }
            let mut fits = !self.nameless;
            if self.names.bytes() + path.len() > self.max_bytes {
                if !self.once {
                    return Err(self.too_long(self.names.bytes() + path.len()));
                }
                fits = false;
            }
            if fits {
                self.names.push(path, id);
            } else {
                self.names.may_repeat = true;
                self.names.push(&format!("<tensor {}>", tensor.0), id);
            }
            // Nearly all tensors lead to nothing else.
            goes_on = self.attributes && self.tree.tensor(*tensor).state.is_some();
        }
        if !goes_on {
            if !self.once {
                self.known.passed[id.place() as usize] = 0;
            }
            return Ok(());
        }
        match frames.last_mut() {
            Some(frame) => frame.goes_on = true,
            // A tensor at the root has the name of an attribute that is called "".
            None => self.names.may_repeat |= matches!(self.tree.node(id), Node::Tensor(_)),
        }
        let first = runs.len();
        self.known.shape.push(id, runs);
        frames.push(Frame {
            node: id,
            first,
            run: first,
            current: Run::Items(id),
            next: 0,
            end: 0,
            len: path.len(),
            is_met: false,
            has_dots: false,
            goes_on: false,
        });
        Ok(())
    }
}

/// Names the tensors below any node of a tree, sharing what has to be known of all of it.
///
/// ```
/// use torch_pickle::{Node, TensorNames, Tree};
/// let mut tree = Tree::new();
/// let list = tree.add(Node::List(vec![]));
/// let mut names = TensorNames::of(&tree);
/// assert!(!names.any_below(list));
/// assert!(names.first_names(list).is_empty());
/// ```
pub struct TensorNames<'t> {
    tree: &'t Tree,
    known: Known<'t>,
}

impl<'t> TensorNames<'t> {
    /// Looks at all nodes once.
    pub fn of(tree: &'t Tree) -> TensorNames<'t> {
        let mut shape = Runs::of(tree);
        let leads = leading_to_tensors(&mut shape);
        let passed = vec![0; tree.nodes().len()];
        let (runs, kept) = (HashMap::new(), Vec::new());
        TensorNames { tree, known: Known { shape, leads, passed, runs, kept, walks: 0 } }
    }

    /// Whether a path leads from a node to a tensor.
    pub fn any_below(&self, node: NodeId) -> bool {
        self.known.leads[node.place() as usize]
    }

    /// Each tensor node below `root` once, by the first path that leads to it from there; a path
    /// through the attributes of another tensor counts last.
    ///
    /// Paths that together take more than 128 MiB are replaced by `<tensor N>`.
    pub fn first_names(&mut self, root: NodeId) -> Vec<(String, NodeId)> {
        let mut walk = self.walk(true, usize::MAX, FIRST_BYTES);
        walk.attributes = false;
        // Without a limit on names nothing is exceeded.
        let _ = walk.run(root);
        let mut names = walk.names.into_strings();
        let has_attributes = |&(_, id): &(String, NodeId)| match self.tree.node(id) {
            Node::Tensor(t) => self.tree.tensor(*t).state.is_some(),
            _ => false,
        };
        if names.iter().any(has_attributes) {
            let known: HashSet<NodeId> = names.iter().map(|&(_, id)| id).collect();
            let mut walk = self.walk(true, usize::MAX, FIRST_BYTES);
            let _ = walk.run(root);
            let more = walk.names.into_strings();
            names.extend(more.into_iter().filter(|(_, id)| !known.contains(id)));
        }
        names
    }

    /// Each tensor below `root` under each of its names from there; `None` where there are more
    /// than `max_names`, or they take more than 128 bytes each.
    pub fn all_names(&mut self, root: NodeId, max_names: usize) -> Option<Vec<(String, NodeId)>> {
        let mut walk = self.walk(false, max_names, bytes_for(max_names));
        walk.run(root).ok().map(|()| walk.names.into_strings())
    }

    fn walk(&mut self, once: bool, max_names: usize, max_bytes: usize) -> Walk<'_, 't> {
        self.known.walks += 1;
        Walk {
            tree: self.tree,
            number: self.known.walks,
            known: &mut self.known,
            attributes: true,
            once,
            max_names,
            max_bytes,
            names: Names::default(),
            steps: 0,
            written: 0,
            nameless: false,
        }
    }
}

impl Tree {
    /// Each dense tensor with every path that leads to it: keys, indices and names of attributes,
    /// joined by dots; the root is "". A tensor that is shared has several names.
    ///
    /// A whole `nn.Module` gives the names of its `state_dict()`; a sparse tensor those of its
    /// parts (`indices`, `values`); of a quantised tensor only the tensor itself is listed. Each
    /// node is a [`Node::Tensor`].
    ///
    /// ```
    /// use torch_pickle::{Node, Tree};
    /// let mut tree = Tree::new();
    /// let root = tree.add(Node::List(vec![]));
    /// tree.set_root(root);
    /// assert!(tree.named_tensors(100)?.is_empty());
    /// # Ok::<(), torch_pickle::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Limit`] for more than `max_names` names, for more than 128 bytes to each of them,
    /// and for more than 4 GiB: a small file can hold paths beyond count.
    pub fn named_tensors(&self, max_names: usize) -> Result<Vec<(String, NodeId)>> {
        Ok(self.tensor_names(max_names)?.into_strings())
    }

    /// The same as [`named_tensors`](Self::named_tensors), with all names in one text.
    ///
    /// # Errors
    /// As [`named_tensors`](Self::named_tensors).
    pub fn tensor_names(&self, max_names: usize) -> Result<Names> {
        let Some(root) = self.root() else { return Ok(Names::default()) };
        let mut names = TensorNames::of(self);
        let mut walk = names.walk(false, max_names, bytes_for(max_names));
        match walk.run(root) {
            Ok(()) => Ok(walk.names),
            Err((limit, needed, allowed, unit)) => {
                Err(Error::limit(Path::new(""), Part::Object, limit, needed, allowed, unit))
            }
        }
    }

    /// Each tensor node once, by the first path that leads to it: see
    /// [`TensorNames::first_names`].
    pub fn first_names(&self) -> Vec<(String, NodeId)> {
        self.root().map(|root| TensorNames::of(self).first_names(root)).unwrap_or_default()
    }

    /// The node at a path, as [`named_tensors`](Self::named_tensors) spells paths, though any node
    /// can be found.
    ///
    /// At each container a key equal to all of what is left of the path is taken first, then the
    /// longest key that the path goes on with.
    ///
    /// ```
    /// use torch_pickle::{Dict, Node, Tree};
    /// let mut tree = Tree::new();
    /// let key = tree.add(Node::Str("layer.0".into()));
    /// let value = tree.add(Node::Int(5));
    /// let list = tree.add(Node::List(vec![value]));
    /// let root = tree.add(Node::Dict(Dict { items: vec![(key, list)], ..Dict::default() }));
    /// tree.set_root(root);
    /// assert_eq!(tree.find("layer.0.0")?, value);
    /// # Ok::<(), torch_pickle::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Parameter`] where there is no such node, or where two keys read the same (`1` and
    /// `'1'`).
    pub fn find(&self, path: &str) -> Result<NodeId> {
        let fail =
            |problem: String, advice| Err(Error::Parameter { parameter: "path", problem, advice });
        let Some(root) = self.root() else { return fail("the tree is empty".into(), "") };
        if path.is_empty() {
            return Ok(root);
        }
        let mut shape = Runs::of(self);
        let mut todo = vec![(root, 0usize)];
        let mut seen = std::collections::HashSet::new();
        let mut kids = Vec::new();
        let mut label = String::new();
        while let Some((id, at)) = todo.pop() {
            if !seen.insert((id, at)) {
                continue;
            }
            let rest = &path[at..];
            kids.clear();
            shape.children(id, &mut kids);
            // (length of the label, node); the whole rest counts as the longest.
            let mut matches: Vec<(usize, NodeId)> = Vec::new();
            for &(step, child) in &kids {
                let after = match step {
                    Label::Key(key) if let Node::Str(text) = self.node(key) => {
                        rest.strip_prefix(&**text)
                    }
                    step => {
                        label.clear();
                        step.push(self, &mut label);
                        rest.strip_prefix(label.as_str())
                    }
                };
                if let Some(after) = after.filter(|a| a.is_empty() || a.starts_with('.')) {
                    matches.push((rest.len() - after.len(), child));
                }
            }
            matches.sort_by_key(|&(len, _)| len);
            for pair in matches.windows(2) {
                if pair[0].0 == pair[1].0 && pair[0].1 != pair[1].1 {
                    let shown = &path[..at + pair[0].0];
                    let kinds: Vec<String> = kids
                        .iter()
                        .filter(|(_, child)| pair.iter().any(|p| p.1 == *child))
                        .map(|(step, _)| self.describe(*step))
                        .collect();
                    return fail(
                        format!("\"{shown}\" is ambiguous: {}", kinds.join(" and ")),
                        "rename one of them where the file is made",
                    );
                }
            }
            if let Some(&(len, child)) = matches.last()
                && len == rest.len()
            {
                return Ok(child);
            }
            todo.extend(matches.iter().map(|&(len, child)| (child, at + len + 1)));
        }
        let top: Vec<String> = {
            kids.clear();
            shape.children(root, &mut kids);
            kids.iter().take(8).map(|(step, _)| self.describe(*step)).collect()
        };
        fail(
            format!("nothing is named \"{path}\"; at the top are: {}", top.join(", ")),
            "list the names first",
        )
    }

    fn describe(&self, label: Label) -> String {
        let mut out = String::new();
        label.push(self, &mut out);
        let kind = match label {
            Label::Index(_) => "index",
            Label::Name(_) => "name",
            Label::Key(key) => match self.node(key) {
                Node::Str(_) | Node::SurrogateStr(_) => "string",
                Node::Int(_) | Node::BigInt(_) => "integer",
                Node::Float(_) => "float",
                Node::Tuple(_) => "tuple",
                _ => "key",
            },
        };
        format!("{kind} \"{out}\"")
    }
}

/// Whether each text differs from all others.
///
/// ```
/// assert!(torch_pickle::all_differ(["a", "b"].into_iter()));
/// assert!(!torch_pickle::all_differ(["a", "b", "a"].into_iter()));
/// ```
pub fn all_differ<'a>(texts: impl ExactSizeIterator<Item = &'a str> + Clone) -> bool {
    let hasher = Hasher::default();
    let mut seen = Distinct::with_capacity(texts.len());
    // Two may have one hash by chance.
    texts.clone().all(|text| seen.insert(hasher.hash(text.as_bytes())))
        || texts.clone().collect::<HashSet<_>>().len() == texts.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, Dict, StorageId, Tensor};

    /// A dict or list of tensors and others of its kind, with keys that are easily mistaken.
    fn nest(tree: &mut Tree, random: &mut impl FnMut(u32) -> u32, depth: u32) -> NodeId {
        let mut items = Vec::new();
        for key in 0..7 {
            if random(3) > 0 {
                continue;
            }
            let key = tree.add(match key {
                0 => Node::Int(1),
                n => Node::Str(["", "1", "a", "a.1", "1.a", "b"][n - 1].into()),
            });
            let value = match random(depth) {
                0 => {
                    let mut tensor = Tensor::contiguous(StorageId(0), DType::Int8, &[]);
                    tensor.state = (random(20) == 0).then(|| nest(tree, random, 1));
                    let tensor = tree.add_tensor(tensor);
                    tree.add(Node::Tensor(tensor))
                }
                _ => nest(tree, random, depth - 1),
            };
            items.push((key, value));
        }
        tree.add(match random(4) {
            0 => Node::List(items.into_iter().map(|(_, value)| value).collect()),
            _ => Node::Dict(Dict { items, ..Dict::default() }),
        })
    }

    #[test]
    fn names_that_may_be_the_same_are_compared() {
        let mut state = 1u64;
        let mut random = |n: u32| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u32 % n
        };
        let (mut equal, mut told) = (0, 0);
        for _ in 0..5000 {
            let mut tree = Tree::new();
            let root = nest(&mut tree, &mut random, 3);
            tree.set_root(root);
            // Its keys do, as those of a pickle.
            tree.keys_differ = true;
            let names = tree.tensor_names(1000).unwrap();
            let texts: HashSet<&str> = names.iter().map(|(name, _)| name).collect();
            assert_eq!(names.all_differ(), texts.len() == names.len(), "{names:?}");
            equal += u32::from(texts.len() < names.len());
            told += u32::from(!names.may_repeat && names.len() > 1);
        }
        assert!(equal > 100 && told > 100, "{equal} {told}");
    }
}
