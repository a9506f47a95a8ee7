//! What a name means: the tables, asked for the name itself, for what Python 2 and 3 make of it,
//! and for each step of a dotted path.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use super::report::Class;
use super::tables::{aliases, allowed, dangerous, harmless};

type ByModule = HashMap<&'static str, HashSet<&'static str>>;

struct Tables {
    /// Modules of which everything is dangerous, with all below them.
    modules: HashMap<&'static str, &'static str>,
    /// Single names, or the beginnings of dotted ones.
    names: HashMap<&'static str, HashMap<&'static str, &'static str>>,
    /// What a path may not pass.
    steps: HashMap<&'static str, &'static str>,
    harmless: ByModule,
    allowed: ByModule,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let mut tables = Tables {
        modules: HashMap::new(),
        names: HashMap::new(),
        steps: dangerous::STEPS.iter().map(|s| (*s, dangerous::STEP)).collect(),
        harmless: HashMap::new(),
        allowed: HashMap::new(),
    };
    for group in dangerous::GROUPS {
        tables.modules.extend(group.modules.iter().map(|m| (*m, group.why)));
        for (module, names) in group.names {
            let of_module = tables.names.entry(module).or_default();
            of_module.extend(names.iter().map(|n| (*n, group.why)));
        }
    }
    for (module, names) in harmless::NAMES {
        tables.harmless.entry(module).or_default().extend(*names);
    }
    for (module, names) in allowed::NAMES {
        tables.allowed.entry(module).or_default().extend(*names);
    }
    tables
});

/// The class of a global, and why where it is dangerous.
pub(super) fn classify(module: &str, name: &str) -> (Class, &'static str) {
    let mut best = classify_one(module, name);
    for (other_module, other_name) in others(module, name) {
        let class = classify_one(other_module, other_name);
        // Which of them is imported depends on the protocol and on Python, so the worst counts;
        // but an alias says what a name is that says nothing by itself.
        let unknown = best.0 == Class::Unknown && best.1.is_empty();
        if class.0 < best.0 || unknown {
            best = class;
        }
    }
    best
}

/// What Python 3 imports for a name of Python 2.
fn others<'a>(module: &'a str, name: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let of_name =
        aliases::NAMES.iter().find(|(from, _)| *from == (module, name)).map(|(_, to)| *to);
    let of_module =
        aliases::MODULES.iter().find(|(from, _)| *from == module).map(|(_, to)| (*to, name));
    of_name.or(of_module).into_iter()
}

fn classify_one(module: &str, name: &str) -> (Class, &'static str) {
    let has = |table: &ByModule| table.get(module).is_some_and(|names| names.contains(name));
    if is_allowed(module, name) {
        return (Class::Known, "");
    }
    if has(&TABLES.harmless) {
        return (Class::Refused, "");
    }
    if let Some(why) = danger(module, name) {
        return (Class::Dangerous, why);
    }
    let below = |parent: &str| {
        module.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let is_class = name.starts_with(|c: char| c.is_ascii_uppercase()) && !name.contains('.');
    if harmless::MODULES.iter().any(|m| below(m)) {
        return (Class::Refused, "");
    }
    if is_class && harmless::CLASSES_OF.iter().any(|m| below(m)) {
        return (Class::Refused, "");
    }
    (Class::Unknown, "")
}

/// Whether `torch.load(weights_only=True)` accepts a global under just this name.
fn is_allowed(module: &str, name: &str) -> bool {
    let of_class = allowed::CLASSES.iter().any(|(of, suffix, kinds)| {
        *of == module && name.strip_suffix(suffix).is_some_and(|kind| kinds.contains(&kind))
    });
    of_class || TABLES.allowed.get(module).is_some_and(|names| names.contains(name))
}

/// Whether `torch.load(weights_only=True)` accepts a global, by the names it knows.
pub(super) fn weights_only_accepts(module: &str, name: &str) -> bool {
    let alias = allowed::ALIASES.iter().find(|(from, _)| *from == module);
    let module = alias.map_or(module, |(_, to)| to);
    !allowed::BLOCKED.contains(&module) && is_allowed(module, name)
}

/// Why a name is dangerous, if it is.
fn danger(module: &str, name: &str) -> Option<&'static str> {
    // Python walks attributes, so that module and path may be parted at any dot.
    let full = format!("{module}.{name}");
    for (dot, _) in full.match_indices('.') {
        let (head, rest) = (&full[..dot], &full[dot + 1..]);
        if let Some(why) = TABLES.modules.get(head) {
            return Some(why);
        }
        let Some(names) = TABLES.names.get(head) else { continue };
        // The name, or the object it is reached through.
        let ends = rest.match_indices('.').map(|(end, _)| end).chain([rest.len()]);
        for end in ends {
            if let Some(why) = names.get(&rest[..end]) {
                return Some(why);
            }
        }
    }
    // A whole module, got as an attribute of another one.
    if let Some(why) = TABLES.modules.get(full.as_str()) {
        return Some(why);
    }
    name.split('.').find_map(|step| TABLES.steps.get(step).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(module: &str, name: &str) -> Class {
        classify(module, name).0
    }

    #[test]
    fn names_are_told_under_each_of_their_names() {
        for (module, name) in [
            ("os", "system"),
            ("posix", "system"),
            ("nt", "system"),
            ("os.path", "os.system"),
            ("__builtin__", "eval"),
            ("builtins", "exec"),
            ("__builtin__", "apply"),
            ("commands", "getoutput"),
            ("cPickle", "loads"),
            ("httplib", "HTTPSConnection"),
            ("urllib", "urlopen"),
            ("torch", "os.system"),
            ("torch.serialization", "os.popen"),
            ("collections", "abc.sys.modules"),
            ("numpy", "testing._private.utils.runstring"),
            ("idlelib.run", "Executive.runcode"),
            ("pathlib", "Path.write_text"),
            ("random", "_os.system"),
            ("code", "InteractiveInterpreter.runcode"),
            ("sre_parse", "sys"),
            ("__main__", "Net.__init__.__globals__"),
        ] {
            assert_eq!(class(module, name), Class::Dangerous, "{module}.{name}");
        }
    }

    #[test]
    fn what_torch_saves_is_known() {
        for (module, name) in [
            ("torch", "FloatStorage"),
            ("torch", "Tensor"),
            ("torch.cuda.sparse", "HalfTensor"),
            ("torch._utils", "_rebuild_tensor_v2"),
            ("collections", "OrderedDict"),
            ("__builtin__", "set"),
            ("torch", "float8_e4m3fn"),
        ] {
            assert_eq!(class(module, name), Class::Known, "{module}.{name}");
        }
        assert_eq!(class("torch", "QInt8Tensor"), Class::Unknown);
    }

    #[test]
    fn values_are_harmless_and_others_unknown() {
        for (module, name) in [
            ("numpy", "dtype"),
            ("numpy.core.multiarray", "_reconstruct"),
            ("copy_reg", "_reconstructor"),
            ("__builtin__", "object"),
            ("torch.nn.modules.linear", "Linear"),
            ("pathlib", "PosixPath"),
            ("uuid", "UUID"),
            ("__builtin__", "long"),
        ] {
            assert_eq!(class(module, name), Class::Refused, "{module}.{name}");
        }
        for (module, name) in [
            ("__main__", "Net"),
            ("torch.nn.modules.linear", "init.foo"),
            ("ossystem", "x"),
            ("my.os_utils", "f"),
        ] {
            assert_eq!(class(module, name), Class::Unknown, "{module}.{name}");
        }
    }

    #[test]
    fn no_name_is_in_two_tables() {
        for (module, names) in &TABLES.harmless {
            for name in names {
                assert!(!is_allowed(module, name), "{module}.{name} is allowed");
                let listed = TABLES.names.get(module).is_some_and(|n| n.contains_key(name));
                // The class is a value, and what is reached through it touches files.
                assert!(!listed || name.ends_with("Path"), "{module}.{name} is dangerous");
            }
        }
        assert_eq!(
            allowed::CLASSES.iter().map(|c| c.2.len()).sum::<usize>()
                + TABLES.allowed.values().map(HashSet::len).sum::<usize>(),
            144 + 2,
        );
    }
}
