//! What the committed header declares: its functions, and the fields of its structs.
#![allow(dead_code, reason = "one of the tests that have this module wants names only")]

use std::collections::BTreeMap;

/// A parameter of a function, or a field of a struct.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    /// As C writes it, such as `const char *const *`.
    pub(crate) of: String,
    pub(crate) name: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) returns: String,
    pub(crate) name: String,
    pub(crate) parameters: Vec<Named>,
}

const HEADER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../include/numpack.h");

/// The header, without comments.
pub(crate) fn code() -> String {
    let header = std::fs::read_to_string(HEADER).unwrap();
    let mut code = String::new();
    let mut rest = header.as_str();
    while let Some((before, comment)) = rest.split_once("/*") {
        code.push_str(before);
        rest = comment.split_once("*/").unwrap().1;
    }
    code.push_str(rest);
    code
}

/// `const char *path` is a type and a name.
fn named(text: &str) -> Named {
    let at = text.rfind([' ', '*']).unwrap_or_else(|| panic!("no name in {text}")) + 1;
    Named { of: text[..at].trim().to_owned(), name: text[at..].to_owned() }
}

/// The functions that the library has, in the header's order.
pub(crate) fn functions(code: &str) -> Vec<Function> {
    let body = code.split_once("extern \"C\" {").unwrap().1;
    let body = body.split_once('}').unwrap().0;
    let lines: Vec<&str> = body.lines().filter(|line| !line.starts_with('#')).collect();
    let mut all = Vec::new();
    for declaration in lines.join(" ").split(';') {
        let words: Vec<&str> = declaration.split_whitespace().collect();
        let Some((head, parameters)) = words
            .join(" ")
            .split_once('(')
            .map(|(head, rest)| (head.to_owned(), rest.trim_end_matches(')').to_owned()))
        else {
            assert!(words.is_empty(), "not understood: {declaration}");
            continue;
        };
        let Named { of: returns, name } = named(&head);
        let parameters = match parameters.as_str() {
            "void" => Vec::new(),
            list => list.split(", ").map(named).collect(),
        };
        all.push(Function { returns, name, parameters });
    }
    all
}

/// The fields of each struct.
pub(crate) fn structs(code: &str) -> BTreeMap<String, Vec<Named>> {
    let mut all = BTreeMap::new();
    for text in code.split("typedef struct {").skip(1) {
        let (fields, rest) = text.split_once('}').unwrap();
        let name = rest.split_once(';').unwrap().0.trim();
        let fields = fields.split(';').map(str::trim).filter(|f| !f.is_empty()).map(named);
        all.insert(name.to_owned(), fields.collect());
    }
    all
}
