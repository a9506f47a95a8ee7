//! A tree as text: indented, a line for each part, values as Python writes them.
//!
//! The lists that have still to be gone through are kept by hand, so that no depth is too deep; a
//! node with parts is opened once, so that sharing and cycles cost a line; and what is printed and
//! looked at is bounded whatever the tree.

mod head;
mod numpy;
mod text;
mod value;

use std::collections::HashMap;
use std::fmt;

use crate::walk::runs::{Label, Run, Runs};
use crate::{Node, NodeId, StorageId, Tree};

/// Levels that are never exceeded: each indents its lines further.
const MOST_LEVELS: usize = 100;
/// Characters of a key.
const LONGEST_KEY: usize = 256;
/// Characters of a path.
const LONGEST_PATH: usize = 1024;
/// Parts that may be looked at to count the tensors below objects.
const MOST_COUNTED: usize = 1 << 20;
/// Parts that are looked at though they are not printed, besides those that the tree has.
const MOST_STEPS: usize = 1 << 20;

/// How much of a tree is printed.
///
/// ```
/// use torch_pickle::PrintOptions;
/// let options = PrintOptions::new().depth(2).items(10);
/// assert_eq!((options.depth, options.items), (2, 10));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PrintOptions {
    /// Levels below the first line; at most 100.
    pub depth: usize,
    /// Parts of one list, dict or object.
    pub items: usize,
    /// Characters of one string.
    pub text: usize,
    /// Lines in all.
    pub lines: usize,
}

impl Default for PrintOptions {
    fn default() -> PrintOptions {
        PrintOptions { depth: 8, items: 100, text: 80, lines: 10_000 }
    }
}

impl PrintOptions {
    /// The defaults: 8 levels, 100 parts each, strings of 80 characters, 10,000 lines.
    pub fn new() -> PrintOptions {
        PrintOptions::default()
    }

    /// Sets how many levels below the first line are printed; there are never more than 100.
    #[must_use]
    pub fn depth(mut self, depth: usize) -> PrintOptions {
        self.depth = depth;
        self
    }

    /// Sets how many parts of one list, dict or object are printed.
    #[must_use]
    pub fn items(mut self, items: usize) -> PrintOptions {
        self.items = items;
        self
    }

    /// Sets after how many characters a string is cut.
    #[must_use]
    pub fn text(mut self, text: usize) -> PrintOptions {
        self.text = text;
        self
    }

    /// Sets after how many lines it ends.
    #[must_use]
    pub fn lines(mut self, lines: usize) -> PrintOptions {
        self.lines = lines;
        self
    }
}

/// A part of a tree, to be printed: see [`Tree::print`].
#[derive(Clone, Copy)]
pub struct Printed<'t> {
    tree: &'t Tree,
    root: NodeId,
    options: PrintOptions,
}

impl Tree {
    /// A node and all below it as text, for people to read.
    ///
    /// Values are as Python's `repr()` where that is short. Of a tensor the line says type and
    /// shape. What stands in several places is printed once; later lines say `same as` and the
    /// path from the first line to that place. Characters that could control a terminal are
    /// escaped. The last line has no end.
    ///
    /// ```
    /// use torch_pickle::{Dict, Node, PrintOptions, Tree};
    /// let mut tree = Tree::new();
    /// let (lr, value) = (tree.add(Node::Str("lr".into())), tree.add(Node::Float(0.1)));
    /// let dict = tree.add(Node::Dict(Dict { items: vec![(lr, value)], ..Dict::default() }));
    /// let root = tree.add(Node::List(vec![dict, dict]));
    /// let text = tree.print(root, &PrintOptions::new()).to_string();
    /// assert_eq!(text, "list of 2\n  0: dict\n    lr: 0.1\n  1: same as 0");
    /// ```
    pub fn print(&self, root: NodeId, options: &PrintOptions) -> Printed<'_> {
        Printed { tree: self, root, options: *options }
    }
}

impl fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut options = self.options;
        options.depth = options.depth.min(MOST_LEVELS);
        let mut printer = Printer {
            tree: self.tree,
            options,
            shape: Runs::of(self.tree),
            places: HashMap::new(),
            storages: HashMap::new(),
            lines: 0,
            steps: MOST_STEPS.saturating_add(self.tree.nodes().len().saturating_mul(4)),
            countable: MOST_COUNTED,
            frames: Vec::new(),
            runs: Vec::new(),
        };
        printer.print(self.root, f)
    }
}

/// A node whose parts are being printed.
struct Frame {
    node: NodeId,
    /// Its runs, from here on, and the one that is being gone through.
    first: usize,
    run: usize,
    /// The next part in that.
    next: usize,
    shown: usize,
    /// Whether of its first run only plain values are shown, under names that are no secret.
    plain: bool,
}

struct Printer<'t> {
    tree: &'t Tree,
    options: PrintOptions,
    shape: Runs<'t>,
    /// Where what was printed stands: the node that it is a part of, and under which name.
    places: HashMap<NodeId, Option<(NodeId, Label)>>,
    /// The first tensor or storage that shows each storage.
    storages: HashMap<StorageId, NodeId>,
    lines: usize,
    steps: usize,
    countable: usize,
    frames: Vec<Frame>,
    runs: Vec<Run>,
}

impl<'t> Printer<'t> {
    fn print(&mut self, root: NodeId, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.node(root, None, false, f)?;
        while let Some(frame) = self.frames.last_mut() {
            let Some(&run) = self.runs.get(frame.run) else {
                let first = frame.first;
                self.frames.pop();
                self.runs.truncate(first);
                continue;
            };
            let len = self.shape.len(run);
            if frame.next >= len {
                frame.run += 1;
                frame.next = 0;
                continue;
            }
            if self.lines >= self.options.lines || self.steps == 0 {
                let text = match self.lines {
                    lines if lines >= self.options.lines => format!("… ends after {lines} lines"),
                    _ => "… ends here, as there is too much to look through".to_owned(),
                };
                return write!(f, "\n{text}");
            }
            self.steps -= 1;
            let (label, child) = self.shape.at(run, frame.next);
            let plain = frame.plain && frame.run == frame.first;
            let hidden = !self.shape.shows(run, (label, child))
                || (plain && !is_plain_attribute(self.tree, label, child));
            if hidden {
                frame.next += 1;
                continue;
            }
            if frame.shown == self.options.items {
                let later = self.runs[frame.run + 1..].iter().map(|&run| self.shape.len(run));
                let more = len - frame.next + later.sum::<usize>();
                // Of attributes that are not shown nobody knows how many there are.
                let text = if plain { "…".to_owned() } else { format!("… {more} more") };
                let levels = self.frames.len();
                self.line(levels, f)?;
                f.write_str(&text)?;
                self.pop();
                continue;
            }
            frame.next += 1;
            frame.shown += 1;
            let parent = frame.node;
            // The parts of a module can have no other names than strings.
            let is_attribute = matches!(run, Run::Present(_) | Run::Saved(..));
            self.node(child, Some((parent, label)), is_attribute, f)?;
        }
        Ok(())
    }

    fn pop(&mut self) {
        if let Some(frame) = self.frames.pop() {
            self.runs.truncate(frame.first);
        }
    }

    /// Begins a line.
    fn line(&mut self, levels: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lines > 0 {
            f.write_str("\n")?;
        }
        self.lines += 1;
        write!(f, "{:width$}", "", width = 2 * levels)
    }

    /// Prints the line of a node, and opens it if it has parts to print.
    fn node(
        &mut self,
        id: NodeId,
        place: Option<(NodeId, Label)>,
        is_attribute: bool,
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        let level = self.frames.len();
        self.line(level, f)?;
        if let Some((_, label)) = place {
            let key = self.key(label, is_attribute);
            write!(f, "{key}: ")?;
        }
        if has_identity(self.tree.node(id)) && self.places.contains_key(&id) {
            return write!(f, "same as {}", self.path(id));
        }
        if let Some(text) = value::short(self.tree, id, self.options.text) {
            // What can be changed is one and the same wherever it stands.
            if matches!(self.tree.node(id), Node::List(_) | Node::Set(_) | Node::Dict(_)) {
                self.places.insert(id, place);
            }
            return f.write_str(&text);
        }
        let first = self.runs.len();
        let head = self.head(id);
        f.write_str(&head.text)?;
        if let Some(storage) = head.storage {
            match self.storages.get(&storage) {
                Some(&other) => write!(f, ", same storage as {}", self.path(other))?,
                None => {
                    self.storages.insert(storage, id);
                }
            }
        }
        let parts: usize = self.runs[first..].iter().map(|&run| self.shape.len(run)).sum();
        if parts > 0 && level >= self.options.depth {
            // It may be met again where there is room for its parts.
            self.runs.truncate(first);
            if let Node::Tensor(_) = self.tree.node(id) {
                self.places.insert(id, place);
            }
            return write!(f, " …");
        }
        self.places.insert(id, place);
        self.frames.push(Frame {
            node: id,
            first,
            run: first,
            next: 0,
            shown: 0,
            plain: head.plain,
        });
        Ok(())
    }

    /// A key as it stands before a colon: bare where nobody could take it for anything else.
    fn key(&self, label: Label, is_attribute: bool) -> String {
        let mut out = String::new();
        match label {
            Label::Key(key) => match self.tree.node(key) {
                Node::Str(name) if is_attribute || is_bare(name) => {
                    text::push_plain(name, LONGEST_KEY, &mut out);
                }
                Node::Str(name) => text::push_str(name, LONGEST_KEY, &mut out),
                _ => match value::short(self.tree, key, self.options.text) {
                    Some(text) => out = text,
                    None => out.push_str(head::name(self.tree.node(key))),
                },
            },
            label => label.push(self.tree, &mut out),
        }
        out
    }

    /// The path from the first line to what was printed before, as [`Tree::find`] takes it.
    fn path(&self, mut id: NodeId) -> String {
        let mut labels = Vec::new();
        // A place is that of a node opened before, so that this ends; no more levels are open.
        while let Some(Some((parent, label))) = self.places.get(&id)
            && labels.len() <= MOST_LEVELS
        {
            labels.push(*label);
            id = *parent;
        }
        let mut out = String::new();
        for (i, &label) in labels.iter().rev().enumerate() {
            if i > 0 {
                out.push('.');
            }
            match label {
                Label::Key(key) if let Node::Str(name) = self.tree.node(key) => {
                    text::push_plain(name, LONGEST_KEY, &mut out);
                }
                label => out += &self.key(label, false),
            }
            if out.len() > LONGEST_PATH {
                let end = (0..=LONGEST_PATH).rev().find(|&at| out.is_char_boundary(at));
                out.truncate(end.unwrap_or(0));
                out.push('…');
                break;
            }
        }
        if labels.is_empty() { "the whole".to_owned() } else { out }
    }
}

/// Whether it is one and the same wherever it stands, and has a line of its own.
fn has_identity(node: &Node) -> bool {
    matches!(
        node,
        Node::List(_)
            | Node::Set(_)
            | Node::FrozenSet(_)
            | Node::Tuple(_)
            | Node::Dict(_)
            | Node::Tensor(_)
            | Node::Object(_)
    )
}

/// An attribute of a module that says how it is made: `in_features`.
fn is_plain_attribute(tree: &Tree, label: Label, value: NodeId) -> bool {
    let Label::Key(key) = label else { return false };
    let Node::Str(name) = tree.node(key) else { return false };
    let mut unused = String::new();
    !name.starts_with('_') && value::push_leaf(tree, value, 0, &mut unused)
}

/// Whether a string key can be told from all other keys without quotes.
fn is_bare(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphanumeric() || "_/.<".contains(c))
        && name.parse::<f64>().is_err()
        && name.chars().take(LONGEST_KEY).all(text::is_printable)
        && !name.ends_with(' ')
        && !name.contains(": ")
        && !["None", "True", "False"].contains(&name)
        && !name.contains(['\'', '"', '(', '\\'])
}
