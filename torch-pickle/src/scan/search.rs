//! Pickles behind what cannot be read: a fault, an array in the middle of a pickle, other data.
//!
//! Python may get further than a scan does where it reads such data itself, as joblib's unpickler
//! does with arrays. What follows is searched for pickles that state their protocol, and for the
//! bytes of instructions that name something dangerous.

use std::io;

use super::gather::Scanner;
use super::item::Item;
use super::machine::{self, is_path};
use super::names;
use super::opcodes;
use super::report::Class;
use super::source::Cursor;

const STEP: usize = 64 * 1024;
/// The longest run of bytes that is matched.
const OVERLAP: usize = 256;
/// Instructions that one trial may take.
const TRIAL: u64 = 100_000;
/// The longest module or name that is matched.
const LONGEST: usize = 64;

/// Names that are matched in any bytes: what is called in an attack. The tables themselves have
/// whole modules in them, whose names may be words of a text.
const CALLED: &[&str] = &[
    "Popen",
    "__import__",
    "_run_code",
    "attrgetter",
    "call",
    "check_call",
    "check_output",
    "compile",
    "create_connection",
    "eval",
    "exec",
    "execfile",
    "execl",
    "execle",
    "execlp",
    "execv",
    "execve",
    "execvp",
    "fork",
    "getattr",
    "getoutput",
    "import_module",
    "loads",
    "methodcaller",
    "open",
    "popen",
    "posix_spawn",
    "remove",
    "rmtree",
    "run",
    "run_path",
    "runcode",
    "runstring",
    "setattr",
    "spawn",
    "spawnl",
    "spawnv",
    "startfile",
    "system",
    "unlink",
    "urlopen",
    "urlretrieve",
];

/// Searches an item from `from` on.
pub(super) fn rest<'f>(scanner: &mut Scanner<'f>, item: &Item<'f>, from: u64) -> io::Result<()> {
    let len = item.bytes.len();
    let mut cursor = Cursor::new(item.bytes.clone());
    let mut at = from;
    while at < len {
        let n = (STEP as u64).min(len - at).min(scanner.search_left) as usize;
        if n == 0 {
            return Ok(());
        }
        let window = item.bytes.read(at, n)?;
        let (mut skip, mut p, mut done) = (n, 0, 0);
        while p < window.len() {
            match window[p] {
                0x80 => {
                    let end = pickle(scanner, item, &mut cursor, at + p as u64, &window[p..])?;
                    if let Some(end) = end {
                        // One behind the other must not read the window again for each.
                        p = (end - at) as usize;
                        (skip, done) = (skip.max(p), end);
                        continue;
                    }
                }
                b'\n' => lines(scanner, &window, p, at),
                0x93 => stacked(scanner, &window, p, at),
                _ => {}
            }
            p += 1;
        }
        scanner.search_left -= skip.min(n) as u64;
        // What lies across the seam is in the next window whole.
        let seam = if skip == n && at + (n as u64) < len { OVERLAP.min(n / 2) } else { 0 };
        at = (at + (skip - seam) as u64).max(done);
    }
    Ok(())
}

/// A pickle that states its protocol. Gives where it ends, if it was taken over.
fn pickle<'f>(
    scanner: &mut Scanner<'f>,
    item: &Item<'f>,
    cursor: &mut Cursor<'f>,
    at: u64,
    window: &[u8],
) -> io::Result<Option<u64>> {
    let begins =
        matches!(window, [_, protocol, next, ..] if *protocol <= 5 && opcodes::is_opcode(*next));
    if !begins || scanner.trials_left == 0 {
        return Ok(None);
    }
    cursor.go_to(at);
    let seen = machine::run(cursor, scanner.bounds(TRIAL.min(scanner.trials_left)))?;
    scanner.trials_left = scanner.trials_left.saturating_sub(seen.instructions);
    let names = &seen.names.by_name;
    let is_dangerous =
        |(module, name): &(String, String)| names::classify(module, name).0 == Class::Dangerous;
    if seen.stopped && seen.fault.is_none() || names.keys().any(is_dangerous) {
        let end = at + seen.len;
        scanner.commit(item, at, seen);
        return Ok(Some(end));
    }
    Ok(None)
}

/// GLOBAL and INST: a letter and a module, a line feed, a name, a line feed.
fn lines(scanner: &mut Scanner<'_>, window: &[u8], p: usize, at: u64) {
    let name_len = window[p + 1..].iter().take(LONGEST + 1).position(|&b| b == b'\n');
    let Some(name) = name_len.and_then(|n| text(&window[p + 1..p + 1 + n])) else { return };
    if !CALLED.contains(&name) {
        return;
    }
    for start in p.saturating_sub(LONGEST)..p {
        let module = matches!(window[start], b'c' | b'i').then(|| text(&window[start + 1..p]));
        if let Some(Some(module)) = module {
            found(scanner, module, name, at + start as u64, window[start]);
        }
    }
}

/// STACK_GLOBAL right behind two short texts.
fn stacked(scanner: &mut Scanner<'_>, window: &[u8], p: usize, at: u64) {
    let Some((name, before)) = short_text(&window[..p]) else { return };
    let Some((module, _)) = short_text(before) else { return };
    if CALLED.contains(&name) {
        found(scanner, module, name, at + p as u64, 0x93);
    }
}

/// The text that some bytes end with, and what stands before it.
fn short_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let bytes = bytes.strip_suffix(&[0x94]).unwrap_or(bytes);
    bytes.last().filter(|b| b.is_ascii_alphanumeric() || **b == b'_')?;
    (1..=LONGEST.min(bytes.len().saturating_sub(2))).find_map(|n| {
        let from = bytes.len() - n;
        let begins = bytes[from - 2] == 0x8C && usize::from(bytes[from - 1]) == n;
        begins.then(|| text(&bytes[from..]).map(|t| (t, &bytes[..from - 2])))?
    })
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|t| is_path(t))
}

fn found(scanner: &mut Scanner<'_>, module: &str, name: &str, at: u64, code: u8) {
    if names::classify(module, name).0 == Class::Dangerous {
        scanner.mention_at(module, name, at, code);
    }
}
