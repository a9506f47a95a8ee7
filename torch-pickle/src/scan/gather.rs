//! What the parts of a file say, put together.

use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;

use super::item::{Claim, Item, Packed};
use super::machine::{Bounds, Inner, MAX_ESCAPED, Seen};
use super::opcodes;
use super::report::{
    Class, FileKind, Finding, Level, Mention, PickleFound, Place, ScanReport, WeightsOnly,
};
use super::source::Bytes;
use super::{ScanOptions, names, text};

const MANY_NAMES: &str = "more names are mentioned than are listed";

pub(super) struct Scanner<'f> {
    pub(super) options: ScanOptions,
    /// What is still to be looked at; the last comes first.
    todo: Vec<Item<'f>>,
    /// What the item at hand led to.
    met: Vec<Item<'f>>,
    /// Inflated bytes in memory.
    pub(super) held: Rc<Cell<u64>>,
    /// Bytes that may still be searched, and instructions that may be tried in doing so.
    pub(super) search_left: u64,
    pub(super) trials_left: u64,
    /// Archives, their records, other things to look at, and inflated bytes, in all: archives can
    /// hold one another many times over.
    pub(super) archives_left: usize,
    pub(super) entries_left: usize,
    items_left: usize,
    pub(super) inflate_left: u64,
    containers: Vec<FileKind>,
    pickles: Vec<PickleFound>,
    findings: Vec<Finding>,
    mentions: HashMap<(String, String), Mention>,
    /// How many of them are dangerous.
    dangers: usize,
    /// Why weights_only refuses, and how many pickles it would read.
    refusal: Option<String>,
    main_pickles: usize,
    left_out: u64,
}

impl<'f> Scanner<'f> {
    pub(super) fn new(options: &ScanOptions) -> Scanner<'f> {
        Scanner {
            options: *options,
            todo: Vec::new(),
            met: Vec::new(),
            held: Rc::default(),
            search_left: options.max_search,
            trials_left: 2_000_000,
            archives_left: 1000,
            entries_left: 2_000_000,
            items_left: 2_000_000,
            inflate_left: options.max_inflated.saturating_mul(8),
            containers: Vec::new(),
            pickles: Vec::new(),
            findings: Vec::new(),
            mentions: HashMap::new(),
            dangers: 0,
            refusal: None,
            main_pickles: 0,
            left_out: 0,
        }
    }

    pub(super) fn push(&mut self, item: Item<'f>) {
        if item.depth > self.options.max_depth {
            let what = format!("lies more than {} deep in other things", self.options.max_depth);
            self.find(Level::NotLookedInto, &item.name, None, what);
            return;
        }
        if self.items_left == 0 {
            self.find(Level::NotLookedInto, &item.name, None, "too many things in one another");
            return;
        }
        self.items_left -= 1;
        self.met.push(item);
    }

    pub(super) fn run(&mut self) -> io::Result<()> {
        loop {
            // In the order in which they were met.
            self.todo.extend(self.met.drain(..).rev());
            let Some(item) = self.todo.pop() else { return Ok(()) };
            self.look_at(item)?;
        }
    }

    pub(super) fn bounds(&self, instructions: u64) -> Bounds {
        Bounds { places: self.options.max_places, names: self.options.max_names, instructions }
    }

    /// Notes what the file is, once.
    pub(super) fn is_a(&mut self, item: &Item<'f>, container: FileKind) {
        if item.depth == 0 && !self.containers.contains(&container) {
            self.containers.push(container);
        }
    }

    pub(super) fn find(
        &mut self,
        level: Level,
        part: &str,
        offset: Option<u64>,
        what: impl Into<String>,
    ) {
        // What matters most must not be pushed out.
        let most = self.options.max_pickles * (1 + usize::from(level > Level::Suspicious));
        if self.findings.len() >= most {
            self.left_out += 1;
            return;
        }
        let finding = Finding { level, part: part.to_owned(), offset, what: what.into() };
        if self.findings.last() != Some(&finding) {
            self.findings.push(finding);
        }
    }

    pub(super) fn refuse(&mut self, why: impl FnOnce() -> String) {
        if self.refusal.is_none() {
            self.refusal = Some(why());
        }
    }

    /// A name found outside of any pickle that can be read.
    pub(super) fn mention_at(&mut self, module: &str, name: &str, offset: u64, opcode: u8) {
        let pickle = self.pickles.len().saturating_sub(1);
        let place = Place { pickle, offset, opcode: opcodes::name(opcode) };
        self.mention(module.to_owned(), name.to_owned(), 1, vec![place], false);
    }

    fn mention(
        &mut self,
        module: String,
        name: String,
        count: u64,
        places: Vec<Place>,
        is_code: bool,
    ) {
        let key = (module, name);
        if let Some(mention) = self.mentions.get_mut(&key) {
            mention.count += count;
            let room = self.options.max_places.saturating_sub(mention.places.len());
            mention.places.extend(places.into_iter().take(room));
            return;
        }
        let (class, why) = if is_code {
            (Class::Unknown, "a code of copyreg's registry, which only the loading program knows")
        } else {
            names::classify(&key.0, &key.1)
        };
        // A flood of others must not push out what is dangerous.
        let dangerous = usize::from(class == Class::Dangerous);
        let kind = if dangerous == 1 { self.dangers } else { self.mentions.len() - self.dangers };
        if kind >= self.options.max_names {
            self.left_out += 1;
            self.find(Level::Suspicious, "", None, MANY_NAMES);
            return;
        }
        self.dangers += dangerous;
        let (module, name) = key.clone();
        self.mentions.insert(key, Mention { module, name, class, why, count, places });
    }

    /// Takes over what a pickle holds. `at` is where it starts in the item.
    pub(super) fn commit(&mut self, item: &Item<'f>, at: u64, seen: Seen) {
        let is_plain = seen.names.by_name.is_empty()
            && seen.inner.is_empty()
            && seen.unresolved_count == 0
            && seen.fault.is_none();
        if is_plain && !item.main && self.pickles.len() >= self.options.max_pickles {
            self.left_out += 1;
            return;
        }
        let name = item.name_at(at);
        let is_bare = item.depth == 0 && item.name.is_empty();
        if is_bare && !self.containers.contains(&FileKind::Legacy) {
            self.is_a(item, FileKind::Pickle);
        }
        if item.main {
            self.main_pickles += 1;
            self.check_weights_only(&name, &seen);
        }
        let pickle = self.pickles.len();
        if pickle < self.options.max_pickles {
            self.pickles.push(PickleFound {
                name: name.clone(),
                offset: item.bytes.file_offset().map(|n| n + at),
                len: seen.len,
                protocol: seen.protocol,
                persistent_ids: seen.persistent_ids,
                sound: seen.stopped && seen.fault.is_none(),
            });
        } else {
            self.left_out += 1;
        }
        self.left_out += seen.names.left_out + seen.inner_left_out;
        if seen.names.left_out > 0 {
            self.find(Level::Suspicious, "", None, MANY_NAMES);
        }
        for ((module, global), mentioned) in seen.names.by_name {
            let place =
                |&(offset, code): &(u64, u8)| Place { pickle, offset, opcode: opcodes::name(code) };
            let places = mentioned.places.iter().map(place).collect();
            self.mention(module, global, mentioned.count, places, mentioned.is_code);
        }
        if let Some(&first) = seen.unresolved.first() {
            let times = match seen.unresolved_count {
                1 => String::new(),
                n => format!(", {n} times"),
            };
            let what = format!(
                "STACK_GLOBAL of a name that is no text in the pickle, and hidden so{times}"
            );
            self.find(Level::Dangerous, &name, Some(first), what);
        }
        if let Some((offset, what)) = seen.fault {
            self.find(Level::Suspicious, &name, Some(offset), what);
        }
        if seen.inner_left_out > 0 {
            let what = format!("{} more constants may be pickles", seen.inner_left_out);
            self.find(Level::NotLookedInto, &name, None, what);
        }
        let pickle = item.bytes.slice(at, seen.len);
        let whole = item.bytes.after(at);
        for inner in seen.inner {
            self.push_inner(item, &name, &whole, &pickle, inner, at);
        }
    }

    /// A constant that may be a pickle. Its position counts from the start of the item.
    fn push_inner(
        &mut self,
        item: &Item<'f>,
        name: &str,
        whole: &Bytes<'f>,
        pickle: &Bytes<'f>,
        inner: Inner,
        at: u64,
    ) {
        let relative = |n: u64| n - at;
        let (bytes, offset, packed) = match inner {
            Inner::Bytes(part) => {
                (whole.slice(relative(part.at), part.len), relative(part.at), Packed::No)
            }
            Inner::Latin1(part) => {
                (whole.slice(relative(part.at), part.len), relative(part.at), Packed::Latin1)
            }
            Inner::Escaped(n) => (pickle.after(relative(n)), relative(n), Packed::Escaped),
        };
        self.push(Item {
            bytes,
            name: format!(
                "{name}{}constant at byte {offset}",
                if name.is_empty() { "" } else { ", " }
            ),
            depth: item.depth + 1,
            claim: Claim::Constant,
            packed,
            crc: None,
            main: false,
        });
    }

    fn check_weights_only(&mut self, name: &str, seen: &Seen) {
        if self.refusal.is_some() {
            return;
        }
        let place = if name.is_empty() { String::new() } else { format!(" of {name}") };
        let mut refused: Vec<_> = (seen.names.by_name.keys())
            .filter(|(module, name)| !names::weights_only_accepts(module, name))
            .collect();
        refused.sort();
        self.refusal = if let Some((module, name)) = refused.first() {
            Some(format!("it does not know {module}.{name}"))
        } else if let Some((at, code)) = seen.unsupported {
            Some(format!("it has no opcode {}, at byte {at}{place}", opcodes::name(code)))
        } else if let Some(at) = seen.odd_id {
            Some(format!("the persistent id at byte {at}{place} is no storage"))
        } else {
            seen.fault.as_ref().map(|(at, what)| format!("{what}, at byte {at}{place}"))
        };
    }

    /// The bytes of a text, put into memory where it is held otherwise than it stands.
    pub(super) fn decoded(&mut self, item: &Item<'f>) -> io::Result<Option<Bytes<'f>>> {
        let raw = match item.packed {
            Packed::Escaped => text::raw(&item.bytes, 0, MAX_ESCAPED as usize)?,
            _ => {
                let len = item.bytes.len().min(self.room());
                Some(item.bytes.read(0, len as usize)?)
            }
        };
        let Some(raw) = raw else { return Ok(None) };
        let bytes = match std::str::from_utf8(&raw) {
            // What is beyond Latin-1 is where the bytes end.
            Ok(text) if item.packed == Packed::Latin1 || raw.starts_with(b"\xC2\x80") => {
                text.chars().map_while(|c| u8::try_from(u32::from(c)).ok()).collect()
            }
            _ => raw,
        };
        Ok(Some(Bytes::of_memory(bytes, &self.held)))
    }

    /// Bytes that may still be held.
    pub(super) fn room(&self) -> u64 {
        self.options.max_inflated.saturating_sub(self.held.get()).min(self.inflate_left)
    }

    pub(super) fn finish(self) -> ScanReport {
        let mut mentions: Vec<Mention> = self.mentions.into_values().collect();
        mentions.sort_by(|a, b| (a.class, &a.module, &a.name).cmp(&(b.class, &b.module, &b.name)));
        let mut findings = self.findings;
        findings.sort_by_key(|f| std::cmp::Reverse(f.level));
        let weights_only = match self.refusal {
            Some(why) => WeightsOnly::Refuses(why),
            None if self.main_pickles == 0 => {
                WeightsOnly::Refuses("it is no file of torch.save".to_owned())
            }
            None => WeightsOnly::Accepts,
        };
        ScanReport {
            containers: self.containers,
            pickles: self.pickles,
            mentions,
            findings,
            weights_only,
            left_out: self.left_out,
        }
    }
}
