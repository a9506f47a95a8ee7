//! Values of Python's own library.

use crate::objects::{Kind, MOST_NAME, MOST_PARTS};
use crate::{Global, Node, NodeId, Object, Tree};

/// A `fractions.Fraction`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fraction<'t> {
    /// As its `str()`: `1/3`, or `2`. Up to Python 3.11.
    Text(&'t str),
    /// The nodes of numerator and denominator.
    Parts(NodeId, NodeId),
}

/// A path of `pathlib`, as its class was given it: joined, the parts are the path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PurePath<'t> {
    /// Its class, without the module: `PosixPath`.
    pub class: &'t str,
    /// Its parts. The first one of an absolute path ends in a separator.
    pub parts: Vec<&'t str>,
}

impl PurePath<'_> {
    /// The path with `/` between its parts, as Python's `as_posix()`.
    ///
    /// ```
    /// use torch_pickle::PurePath;
    /// let path = PurePath { class: "PosixPath", parts: vec!["/", "data", "./x//y"] };
    /// assert_eq!(path.as_posix(), "/data/x/y");
    /// let path = PurePath { class: "PureWindowsPath", parts: vec!["C:\\", "data"] };
    /// assert_eq!(path.as_posix(), "C:/data");
    /// ```
    pub fn as_posix(&self) -> String {
        let windows = self.class.contains("Windows");
        let (mut drive, mut root, mut names) = (String::new(), "", Vec::new());
        let parts: Vec<String> = self
            .parts
            .iter()
            .map(|part| if windows { part.replace('\\', "/") } else { (*part).to_owned() })
            .collect();
        for part in &parts {
            let (own_drive, rest) = if windows { split_drive(part) } else { ("", &**part) };
            let slashes = rest.len() - rest.trim_start_matches('/').len();
            // A path that begins at a root, or on another drive, replaces what was before.
            if slashes > 0 || (!own_drive.is_empty() && !own_drive.eq_ignore_ascii_case(&drive)) {
                names.clear();
                // POSIX gives two slashes, no more and no fewer, a meaning of their own.
                root = match slashes {
                    0 => "",
                    2 if !windows => "//",
                    _ => "/",
                };
            }
            if !own_drive.is_empty() {
                own_drive.clone_into(&mut drive);
            }
            names.extend(rest.split('/').filter(|name| !name.is_empty() && *name != "."));
        }
        if drive.starts_with("//") && root.is_empty() {
            root = "/";
        }
        let path = format!("{drive}{root}{}", names.join("/"));
        if path.is_empty() { ".".to_owned() } else { path }
    }
}

/// The drive of a path (`C:`, `//server/share`), and what follows it.
fn split_drive(path: &str) -> (&str, &str) {
    if let Some(rest) = path.strip_prefix("//") {
        let mut ends = rest.match_indices('/').map(|(at, _)| at + 2);
        return match (ends.next(), ends.next()) {
            (Some(_), Some(end)) => path.split_at(end),
            (Some(_), None) => (path, ""),
            _ => ("", path),
        };
    }
    match path.as_bytes() {
        [letter, b':', ..] if letter.is_ascii() => path.split_at(2),
        _ => ("", path),
    }
}

/// A `collections.defaultdict`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DefaultDict<'t> {
    /// What makes a missing value; usually a [`Node::Global`].
    pub factory: Option<NodeId>,
    /// Keys and values, in the order they were set.
    pub items: &'t [(NodeId, NodeId)],
}

/// A `collections.deque`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deque<'t> {
    /// Its items.
    pub items: &'t [NodeId],
    /// How many it may hold at most.
    pub maxlen: Option<u64>,
}

/// A `functools.partial`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Partial<'t> {
    /// What it calls.
    pub function: NodeId,
    /// The first arguments, and the node that holds them.
    pub args: (&'t [NodeId], NodeId),
    /// The node of the dict of keyword arguments, where there are any.
    pub keywords: Option<NodeId>,
}

impl Tree {
    pub(super) fn called_of_library<'t>(
        &'t self,
        object: &'t Object,
        global: &'t Global,
        args: &'t [NodeId],
    ) -> Option<Kind<'t>> {
        match (&*global.module, &*global.name) {
            ("datetime" | "_datetime" | "_pydatetime", _) => {
                self.called_of_datetime(global, args, object)
            }
            ("decimal" | "_decimal" | "_pydecimal", "Decimal") => {
                let [text] = args else { return None };
                self.text(*text).map(Kind::Decimal)
            }
            ("fractions", "Fraction") => match *args {
                [text] => self.short_text(text).map(Fraction::Text),
                [n, d] if self.is_whole(n) && self.is_whole(d) => Some(Fraction::Parts(n, d)),
                _ => None,
            }
            .map(Kind::Fraction),
            (
                "pathlib" | "pathlib._local",
                "Path" | "PosixPath" | "WindowsPath" | "PurePath" | "PurePosixPath"
                | "PureWindowsPath",
            ) => {
                if args.len() > MOST_PARTS {
                    return None;
                }
                let parts = args.iter().map(|&part| self.text(part)).collect::<Option<_>>()?;
                Some(Kind::Path(PurePath { class: &global.name, parts }))
            }
            ("zoneinfo", "ZoneInfo._unpickle") => {
                self.short_text(*args.first()?).map(Kind::ZoneInfo)
            }
            ("builtins", "complex") => {
                let number = |id| match self.node(id) {
                    Node::Float(f) => Some(*f),
                    Node::Int(n) => Some(*n as f64),
                    _ => None,
                };
                let [re, im] = *args else { return None };
                Some(Kind::Complex(number(re)?, number(im)?))
            }
            // Python 2 calls it xrange.
            ("builtins", "range" | "xrange") => {
                let parts = <[NodeId; 3]>::try_from(args).ok()?;
                parts.iter().all(|&part| self.is_whole(part)).then_some(Kind::Range(parts))
            }
            ("builtins", "slice") => <[NodeId; 3]>::try_from(args).ok().map(Kind::Slice),
            ("builtins", "getattr") => self.member(args),
            ("collections", "defaultdict") => {
                let factory = match *args {
                    [] => None,
                    [factory] => (*self.node(factory) != Node::None).then_some(factory),
                    _ => return None,
                };
                Some(Kind::DefaultDict(DefaultDict { factory, items: &object.items }))
            }
            ("collections", "deque") => self.deque(object, args).map(Kind::Deque),
            ("collections", "Counter") => match *args {
                [counts] if self.dict(counts).is_some() => Some(Kind::Counter(counts)),
                _ => None,
            },
            ("functools" | "_functools", "partial") => {
                self.partial(object, args).map(Kind::Partial)
            }
            _ => None,
        }
    }

    fn deque<'t>(&'t self, object: &'t Object, args: &'t [NodeId]) -> Option<Deque<'t>> {
        let (first, maxlen) = match *args {
            [] => (&[][..], None),
            [first] => (self.sequence(first)?, None),
            [first, maxlen] => match self.node(maxlen) {
                Node::None => (self.sequence(first)?, None),
                Node::Int(n) => (self.sequence(first)?, Some(u64::try_from(*n).ok()?)),
                _ => return None,
            },
            _ => return None,
        };
        // Python 2 gives the items as an argument, Python 3 appends them.
        match (first, &object.appended[..]) {
            ([], items) | (items, []) => Some(Deque { items, maxlen }),
            _ => None,
        }
    }

    fn partial<'t>(&'t self, object: &'t Object, args: &'t [NodeId]) -> Option<Partial<'t>> {
        let [function] = *args else { return None };
        let [_, given, keywords, _] = *self.sequence(object.state?)? else { return None };
        let keywords = match self.node(keywords) {
            Node::None => None,
            Node::Dict(dict) => (!dict.items.is_empty()).then_some(keywords),
            _ => return None,
        };
        Some(Partial { function, args: (self.sequence(given)?, given), keywords })
    }

    fn is_whole(&self, id: NodeId) -> bool {
        matches!(self.node(id), Node::Int(_) | Node::BigInt(_))
    }

    /// `getattr(ZoneInfo, '_unpickle')(key, True)`, as protocols before 4 have it.
    pub(super) fn zone_info(&self, object: &Object, args: &[NodeId]) -> Option<Kind<'_>> {
        let Node::Object(callable) = self.node(object.callable) else { return None };
        let [class, method] = *self.sequence(callable.args)? else { return None };
        let fits = self.global(callable.callable)?.is("builtins", "getattr")
            && self.global(class)?.is("zoneinfo", "ZoneInfo")
            && self.text(method) == Some("_unpickle");
        let key = self.text(*args.first()?).filter(|key| key.len() <= MOST_NAME);
        if fits { key.map(Kind::ZoneInfo) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_as_in_python() {
        let posix = |parts: &[&'static str]| {
            PurePath { class: "PosixPath", parts: parts.to_vec() }.as_posix()
        };
        assert_eq!(posix(&[]), ".");
        assert_eq!(posix(&["."]), ".");
        assert_eq!(posix(&["//a"]), "//a");
        assert_eq!(posix(&["///a"]), "/a");
        assert_eq!(posix(&["a", "/b", "../c"]), "/b/../c");
        assert_eq!(posix(&["a\\b"]), "a\\b");
        let windows = |parts: &[&'static str]| {
            PurePath { class: "WindowsPath", parts: parts.to_vec() }.as_posix()
        };
        assert_eq!(windows(&["C:\\", "a\\b"]), "C:/a/b");
        assert_eq!(windows(&["C:a", "b"]), "C:a/b");
        assert_eq!(windows(&["C:\\a", "\\b"]), "C:/b");
        assert_eq!(windows(&["C:\\a", "D:b"]), "D:b");
        assert_eq!(windows(&["\\\\server\\share\\", "a"]), "//server/share/a");
    }
}
