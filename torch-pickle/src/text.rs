//! Texts that are parts of a larger one.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use crate::NodeId;

/// A text that cannot be changed: a `&str` that owns what it shows.
///
/// Many may be parts of one text in memory, which stays as long as any of them does: the names of
/// a hundred thousand tensors cost no allocation each.
///
/// ```
/// use torch_pickle::Text;
/// let name = Text::from("encoder.weight");
/// assert!(name == "encoder.weight" && name.ends_with("weight"));
/// assert_eq!(String::from(name.clone()), name.to_string());
/// ```
#[derive(Clone)]
pub struct Text {
    all: Arc<String>,
    from: u32,
    /// [`TO_END`] for the end of `all`.
    to: u32,
}

const TO_END: u32 = u32::MAX;
/// Most bytes of a text that others are parts of.
pub(crate) const MOST: usize = (TO_END - 1) as usize;

impl Text {
    /// These bytes of a text; `None` where it has none there, or cuts them elsewhere.
    #[inline]
    pub(crate) fn part(all: &Arc<String>, from: usize, to: usize) -> Option<Text> {
        all.get(from..to)?;
        let (from, to) = (u32::try_from(from).ok()?, u32::try_from(to).ok()?);
        (to < TO_END).then(|| Text { all: Arc::clone(all), from, to })
    }
}

impl Text {
    /// The text.
    pub fn as_str(&self) -> &str {
        self
    }
}

impl Deref for Text {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        match self.to {
            TO_END => &self.all[self.from as usize..],
            to => &self.all[self.from as usize..to as usize],
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text::from(text.to_owned())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Text {
        Text { all: Arc::new(text), from: 0, to: TO_END }
    }
}

impl From<Text> for String {
    fn from(text: Text) -> String {
        (*text).to_owned()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self
    }
}

// It hashes and compares as a `str` does.
impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Text) -> bool {
        **self == **other
    }
}

impl Eq for Text {}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Text) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Text) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// Names of nodes, all in one text.
///
/// ```
/// use torch_pickle::{NodeId, Tree};
/// let names = Tree::new().tensor_names(100)?;
/// assert!(names.is_empty());
/// for (name, node) in names {
///     println!("{name} {node:?}");
/// }
/// # Ok::<(), torch_pickle::Error>(())
/// ```
#[derive(Clone, Default, Debug)]
pub struct Names {
    all: String,
    /// Where each ends, and what it names.
    ends: Vec<(u32, NodeId)>,
    /// Unless the way they were made by tells that no two are the same.
    pub(crate) may_repeat: bool,
}

impl Names {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Each name and what it names, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, NodeId)> + Clone {
        (0..self.ends.len()).map(|i| {
            let from = i.checked_sub(1).map_or(0, |before| self.ends[before].0);
            let (to, node) = self.ends[i];
            (&self.all[from as usize..to as usize], node)
        })
    }

    /// Whether each differs from all others.
    pub fn all_differ(&self) -> bool {
        !self.may_repeat || crate::all_differ(self.iter().map(|(name, _)| name))
    }

    /// Bytes of all names.
    pub(crate) fn bytes(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn reserve(&mut self, more: usize) {
        self.ends.reserve(more);
    }

    /// Adds a name.
    ///
    /// # Panics
    /// Past 4 GiB of names; a reader's limits keep them far below.
    pub(crate) fn push(&mut self, name: &str, node: NodeId) {
        self.all.push_str(name);
        assert!(self.all.len() <= MOST, "more than 4 GiB of names");
        self.ends.push((self.all.len() as u32, node));
    }

    pub(crate) fn into_strings(self) -> Vec<(String, NodeId)> {
        self.iter().map(|(name, node)| (name.to_owned(), node)).collect()
    }
}

impl IntoIterator for Names {
    type Item = (Text, NodeId);
    type IntoIter = NamesIter;

    fn into_iter(mut self) -> NamesIter {
        self.all.shrink_to_fit();
        NamesIter { all: Arc::new(self.all), from: 0, ends: self.ends.into_iter() }
    }
}

/// What [`Names`] hold, taken out of them.
#[derive(Clone, Debug)]
pub struct NamesIter {
    all: Arc<String>,
    from: u32,
    ends: std::vec::IntoIter<(u32, NodeId)>,
}

impl Iterator for NamesIter {
    type Item = (Text, NodeId);

    fn next(&mut self) -> Option<(Text, NodeId)> {
        let (to, node) = self.ends.next()?;
        let from = std::mem::replace(&mut self.from, to);
        Some((Text { all: self.all.clone(), from, to }, node))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ends.size_hint()
    }
}

impl ExactSizeIterator for NamesIter {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_they_were() {
        let texts = ["a", "", "ünï", "a.b", "a"];
        let mut names = Names::default();
        for (i, text) in texts.iter().enumerate() {
            names.push(text, NodeId::new(i as u32));
        }
        assert!(names.iter().map(|(name, _)| name).eq(texts));
        assert!(names.clone().into_strings().iter().map(|(name, _)| name).eq(texts));
        let taken: Vec<(Text, NodeId)> = names.into_iter().collect();
        assert!(taken.iter().map(|(name, _)| &**name).eq(texts));
        assert!(taken.iter().map(|(_, node)| node.place()).eq(0..5));
        assert_eq!(taken[0].0, taken[4].0);
        assert_ne!(taken[0].0, taken[3].0);
        assert!(taken[0].0 < taken[3].0);
        assert_eq!(format!("{:?}", taken[2].0), "\"ünï\"");
    }
}
