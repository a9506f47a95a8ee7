//! Which states a power loss may leave, and one of them as a folder on the disk.

use super::model::{ALL, Fate, Id, Kind, Model, NOTHING, Order};
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::path::Path;

/// How many choices to try.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    /// With up to so many changes that are not durable, each choice of them is tried.
    few: usize,
    /// Choices tried at random where there are more.
    samples: usize,
    /// With more than so many changes, about so many of them are looked at one by one each time.
    many: u64,
}

impl Effort {
    pub(super) const HIGH: Effort = Effort { few: 10, samples: 40, many: 16 };
    pub(super) const LOW: Effort = Effort { few: 5, samples: 6, many: 5 };
    pub(super) const LEAST: Effort = Effort { few: 3, samples: 3, many: 2 };
}

/// Everything below a folder after a crash, by paths.
#[derive(Hash, Debug)]
pub(super) struct Tree {
    folders: Vec<(String, u32)>,
    /// Paths, and the number of the file they lead to.
    files: Vec<(String, usize)>,
    content: Vec<(Vec<u8>, u32)>,
}

/// A change that may or may not be there: the file or folder, its place there, how many choices.
struct Open {
    node: Id,
    at: usize,
    is_entry: bool,
    seq: u64,
    choices: u8,
}

impl Tree {
    pub(super) fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        Hash::hash(self, &mut hasher);
        hasher.finish()
    }

    /// Makes it, in an empty folder.
    pub(super) fn write(&self, root: &Path) {
        use std::os::unix::fs::PermissionsExt;
        let permit = |path: &Path, mode: u32| {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        };
        for (path, _) in &self.folders {
            std::fs::create_dir(root.join(path)).unwrap();
        }
        let mut first: HashMap<usize, &str> = HashMap::new();
        for (path, n) in &self.files {
            if let Some(other) = first.get(n) {
                std::fs::hard_link(root.join(other), root.join(path)).unwrap();
                continue;
            }
            first.insert(*n, path);
            let (bytes, mode) = &self.content[*n];
            std::fs::write(root.join(path), bytes).unwrap();
            if *mode != 0o644 {
                permit(&root.join(path), *mode);
            }
        }
        for (path, mode) in &self.folders {
            permit(&root.join(path), *mode);
        }
    }
}

impl Model {
    /// What is not durable of all that some choice leaves reachable, in the order it was done.
    fn open(&self) -> Vec<Open> {
        let mut open = Vec::new();
        let mut seen = HashSet::from([self.root]);
        let mut todo = vec![self.root];
        while let Some(node) = todo.pop() {
            for (at, c) in self.nodes[node].pending.iter().enumerate() {
                if c.fate != Fate::Durable {
                    let choices = c.what.choices();
                    open.push(Open { node, at, is_entry: false, seq: c.seq, choices });
                }
            }
            let Kind::Folder(folder) = &self.nodes[node].kind else { continue };
            for (at, c) in folder.pending.iter().enumerate() {
                let choices = ALL + 1;
                open.push(Open { node, at, is_entry: true, seq: c.seq, choices });
            }
            let later = folder.pending.iter().flat_map(|c| &c.set).filter_map(|(_, id)| *id);
            for id in folder.durable.values().copied().chain(later) {
                if seen.insert(id) {
                    todo.push(id);
                }
            }
        }
        // Of a move, the new name before the old one: the latter asks for the former.
        let needs = |o: &Open| match &self.nodes[o.node].kind {
            Kind::Folder(f) if o.is_entry => f.pending[o.at].needs.is_some(),
            _ => false,
        };
        open.sort_by_key(|o| (o.seq, needs(o), o.is_entry));
        open
    }

    /// Every state that a crash now may leave, or many of them, each given once or more often.
    pub(super) fn crash_states(
        &self,
        order: Order,
        effort: Effort,
        random: &mut Random,
        give: &mut dyn FnMut(Tree),
    ) {
        let open = self.open();
        let mut give = |choice: &[u8]| give(self.tree(&open, choice, order));
        let all = vec![ALL; open.len()];
        let none = vec![NOTHING; open.len()];
        give(&none);
        give(&all);
        // What else may become of each write, with all the rest there or not.
        let n = open.len() as u64;
        for (i, o) in open.iter().enumerate() {
            // Each is the last one once.
            if i + 1 < open.len() && random.below(n) >= effort.many {
                continue;
            }
            for other in (0..o.choices).filter(|&c| c != ALL) {
                for base in [&all, &none] {
                    let mut choice = base.clone();
                    choice[i] = other;
                    give(&choice);
                }
            }
            let mut only = none.clone();
            only[i] = ALL;
            give(&only);
        }
        if open.len() <= effort.few {
            for bits in 0..1u32 << open.len() {
                let choice: Vec<u8> = (0..open.len()).map(|i| (bits >> i & 1) as u8).collect();
                give(&choice);
            }
        }
        // All up to one point, or all entries up to one point and any data.
        for end in 1..open.len() {
            if random.below(n) >= effort.many {
                continue;
            }
            for bytes_too in [false, true] {
                let choice: Vec<u8> = open
                    .iter()
                    .enumerate()
                    .map(|(i, o)| if i < end && (bytes_too || o.is_entry) { ALL } else { NOTHING })
                    .collect();
                give(&choice);
            }
            let later: Vec<u8> = (0..open.len()).map(|i| u8::from(i >= end)).collect();
            give(&later);
        }
        if open.len() > effort.few || open.iter().any(|o| o.choices > ALL + 1) {
            for _ in 0..effort.samples {
                let often = 1 + random.below(7);
                let choice: Vec<u8> = open
                    .iter()
                    .map(|o| match random.below(8) < often {
                        true if random.below(4) > 0 => ALL,
                        true => random.below(u64::from(o.choices)) as u8,
                        false => NOTHING,
                    })
                    .collect();
                give(&choice);
            }
        }
    }

    /// The state by a choice. What depends on a change that is not there is not there either.
    fn tree(&self, open: &[Open], choice: &[u8], order: Order) -> Tree {
        let mut entries: HashMap<Id, BTreeMap<&str, Id>> = HashMap::new();
        let mut missing: HashMap<Id, HashSet<&str>> = HashMap::new();
        let mut left_out: HashSet<(Id, u64)> = HashSet::new();
        let mut stopped: HashSet<Id> = HashSet::new();
        let mut bytes: HashMap<(Id, usize), u8> = HashMap::new();
        for (o, &choice) in open.iter().zip(choice) {
            let folder = match &self.nodes[o.node].kind {
                Kind::Folder(folder) if o.is_entry => folder,
                _ => {
                    bytes.insert((o.node, o.at), choice);
                    continue;
                }
            };
            let change = &folder.pending[o.at];
            let missing = missing.entry(o.node).or_default();
            let there = choice != NOTHING
                && !(order == Order::Kept && stopped.contains(&o.node))
                && !change.set.iter().any(|(name, _)| missing.contains(&name[..]))
                && change.needs.is_none_or(|other| !left_out.contains(&(other, o.seq)));
            if !there {
                missing.extend(change.set.iter().map(|(name, _)| &name[..]));
                left_out.insert((o.node, o.seq));
                stopped.insert(o.node);
                continue;
            }
            let now = entries.entry(o.node).or_insert_with(|| durable(folder));
            for (name, id) in &change.set {
                match id {
                    Some(id) => now.insert(name, *id),
                    None => now.remove(&name[..]),
                };
            }
        }
        let mut tree = Tree { folders: Vec::new(), files: Vec::new(), content: Vec::new() };
        let mut numbers: HashMap<Id, usize> = HashMap::new();
        let mut todo = vec![(String::new(), self.root)];
        while let Some((path, id)) = todo.pop() {
            let node = &self.nodes[id];
            let mut mode = node.mode;
            let mut file = match &node.kind {
                Kind::File(bytes) => bytes.clone(),
                Kind::Folder(_) => Vec::new(),
            };
            for (at, c) in node.pending.iter().enumerate() {
                let chosen = bytes.get(&(id, at)).copied();
                c.what.apply(chosen.unwrap_or(ALL), &mut file, &mut mode);
            }
            let Kind::Folder(folder) = &node.kind else {
                let n = *numbers.entry(id).or_insert_with(|| {
                    tree.content.push((file, mode));
                    tree.content.len() - 1
                });
                tree.files.push((path, n));
                continue;
            };
            if id != self.root {
                tree.folders.push((path.clone(), mode));
            }
            let of = entries.remove(&id).unwrap_or_else(|| durable(folder));
            for (name, id) in of.into_iter().rev() {
                let below = if path.is_empty() { String::new() } else { format!("{path}/") };
                todo.push((below + name, id));
            }
        }
        tree
    }

    /// The state as every process sees it.
    pub(super) fn now(&self) -> Tree {
        let open = self.open();
        self.tree(&open, &vec![ALL; open.len()], Order::Any)
    }
}

fn durable(folder: &super::model::Folder) -> BTreeMap<&str, Id> {
    folder.durable.iter().map(|(name, id)| (&name[..], *id)).collect()
}

/// The same numbers in each run.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, n: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % n
    }
}
