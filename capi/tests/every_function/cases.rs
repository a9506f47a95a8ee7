//! For each parameter of a function: a valid argument, bad ones, and what each is to lead to.

use std::collections::BTreeMap;

use crate::declarations::{Function, Named};

/// One argument that is not the valid one.
pub(crate) struct Case {
    pub(crate) what: String,
    /// Statements in C.
    pub(crate) set: String,
    /// An `enum expected` of `world.h`.
    pub(crate) expected: &'static str,
}

/// What a generated call does for one parameter.
pub(crate) struct Argument {
    /// Statements in C: a variable of the parameter's name, which has the valid value.
    pub(crate) declare: String,
    pub(crate) cases: Vec<Case>,
    /// The value that is NULL or 0.
    pub(crate) zero: &'static str,
    /// What NULL or 0 leads to.
    pub(crate) zero_expected: &'static str,
    /// Whether its memory stays as it is.
    pub(crate) is_input: bool,
    /// Statements in C after the call, where `status` is at hand.
    pub(crate) after: String,
}

type Structs = BTreeMap<String, Vec<Named>>;

/// The argument of parameter `i`; `None` for a type that is not known here.
pub(crate) fn argument(function: &Function, i: usize, structs: &Structs) -> Option<Argument> {
    let Named { of, name } = &function.parameters[i];
    let f = function.name.as_str();
    let target = of.trim_start_matches("const ").trim_end_matches([' ', '*']);
    let stars = of.matches('*').count();
    let is_const = of.starts_with("const ");
    match (target, stars) {
        ("int32_t" | "uint32_t" | "int64_t" | "uint64_t" | "size_t" | "double", 0) => {
            number(f, of, name)
        }
        ("numpack_warning_fn", 0) => Some(optional(of, name, "on_warning", true)),
        ("numpack_release_fn", 0) => Some(optional(of, name, "on_release", true)),
        ("numpack_nn_forward_fn", 0) => Some(required(of, name, "on_forward", true)),
        ("numpack_nn_loss_fn", 0) => Some(required(of, name, "on_loss", true)),
        ("numpack_fault_fn", 0) => Some(optional(of, name, "on_fault", true)),
        ("numpack_file_fault_fn", 0) => Some(optional(of, name, "on_file_fault", true)),
        ("numpack_scan_fn", 0) => Some(optional(of, name, "on_scan", true)),
        ("numpack_difference_fn", 0) => Some(optional(of, name, "on_difference", true)),
        ("numpack_tensor *const" | "numpack_nn_tensor *const" | "numpack_nn_module *const", 2) => {
            Some(handles(target.trim_end_matches(" *const"), of, i, name))
        }
        ("char", 1) if is_const => text(f, i, name),
        // Text and handles that are borrowed.
        ("char" | "numpack_nn_tensor", 2) if is_const => {
            Some(optional(of, name, &format!("slot({i})"), false))
        }
        ("double", 1) if is_const && f == "numpack_nn_tensor_clamp" => Some(Argument {
            zero_expected: "ANY",
            ..optional(of, name, &format!("real({i})"), true)
        }),
        ("double", 1) if is_const => Some(optional(of, name, &format!("real({i})"), true)),
        ("char *const", 2) => Some(texts(f, i, name)),
        ("int64_t" | "uint64_t", 1) if is_const => numbers(f, i, of, name),
        ("uint32_t", 1) if is_const => Some(node_numbers(i, of, name)),
        ("void", 1) if is_const => Some(required(of, name, &format!("slot({i})"), true)),
        ("void", 1) if name == "buffer" => Some(required(of, name, &format!("slot({i})"), false)),
        ("void", 1) if name == "user" => Some(optional(of, name, &format!("slot({i})"), true)),
        // Python's; a process without Python has none.
        ("void", 1) if name == "capsule" => Some(optional(of, name, "NULL", true)),
        ("char", 1) if name == "buffer" => Some(optional(of, name, &format!("slot({i})"), false)),
        ("int32_t" | "uint8_t" | "uint32_t" | "uint64_t" | "size_t" | "double", 1)
        | ("void", 2) => Some(optional(of, name, &format!("slot({i})"), false)),
        ("struct DLManagedTensorVersioned" | "struct DLManagedTensor", _) => {
            Some(managed(of, name, i, stars, target.ends_with("Tensor")))
        }
        (handle, 1) if MADE.contains(&handle) => Some(self::handle(function, of, name, handle)),
        (handle, 2) if MADE.contains(&handle) => {
            let mut argument = required(of, name, &format!("slot({i})"), false);
            argument.after = format!("if (status == NUMPACK_OK && {name}) {handle}_free(*{name});");
            Some(argument)
        }
        (of_struct, 1) => structs
            .get(of_struct)
            .and_then(|fields| structure(function, i, of_struct, fields, is_const)),
        _ => None,
    }
}

/// The handles: `world.h` has a `make_*` of each.
const MADE: [&str; 17] = [
    "numpack_array",
    "numpack_checkpoint",
    "numpack_device",
    "numpack_device_list",
    "numpack_list",
    "numpack_mapped_rows",
    "numpack_nn_module",
    "numpack_nn_optimizer",
    "numpack_nn_state",
    "numpack_nn_step",
    "numpack_nn_tensor",
    "numpack_object",
    "numpack_package",
    "numpack_rows_mut",
    "numpack_store",
    "numpack_tensor",
    "numpack_writer",
];

fn case(what: impl Into<String>, set: impl Into<String>, expected: &'static str) -> Case {
    Case { what: what.into(), set: set.into(), expected }
}

/// A pointer that may be NULL.
fn optional(of: &str, name: &str, valid: &str, is_input: bool) -> Argument {
    Argument {
        declare: format!("{of} {name} = {valid};"),
        cases: Vec::new(),
        zero: "NULL",
        zero_expected: "OK",
        is_input,
        after: String::new(),
    }
}

/// A pointer that may not.
fn required(of: &str, name: &str, valid: &str, is_input: bool) -> Argument {
    Argument { zero_expected: "PARAMETER", ..optional(of, name, valid, is_input) }
}

fn number(f: &str, of: &str, name: &str) -> Option<Argument> {
    let valid = match (of, name) {
        ("int32_t", "dtype") => "NUMPACK_DTYPE_FLOAT32",
        ("int32_t", "read_only" | "copied" | "requires_grad" | "existing" | "reduction") => "0",
        ("int32_t", "keepdim" | "logarithm" | "retain_graph" | "strict" | "overwrite") => "0",
        ("int32_t", "reversed" | "distribution" | "training" | "affine" | "parameter") => "0",
        ("int32_t", "bias" | "batch_first" | "enabled" | "ordered") => "1",
        ("int32_t", "kind") if f == "numpack_object_add_items" => "NUMPACK_NODE_LIST",
        ("int32_t", "kind" | "loss") => "NUMPACK_NN_MSE",
        ("int32_t", "op") => match f {
            "numpack_nn_tensor_unary" => "NUMPACK_NN_EXP",
            "numpack_nn_tensor_reduce" => "NUMPACK_NN_SUM",
            "numpack_nn_module_activation" | "numpack_nn_tensor_linear_activation" => {
                "NUMPACK_NN_RELU"
            }
            _ => "NUMPACK_NN_ADD",
        },
        ("double", "p" | "dropout") => "0.5",
        ("double", _) => "1",
        ("int64_t", "padding_idx") => "1",
        ("uint64_t", "seed" | "end" | "heads") => "2",
        ("uint64_t", "inputs" | "outputs" | "rows" | "columns" | "embed_dim") => "4",
        ("uint32_t", "count") if is_reduction(f) => "1",
        ("uint32_t", "ndim" | "count") => "2",
        ("uint32_t", "number") => "root_of(checkpoint)",
        ("uint32_t", "root") => "0",
        ("uint32_t", "attributes") => "NUMPACK_NO_NODE",
        ("uint64_t", "total") => "3",
        ("uint64_t", "start" | "offset" | "row") => "0",
        ("uint64_t", "count" | "length") => "1",
        ("int64_t", "dim" | "index" | "start" | "a" | "first") => "0",
        ("int64_t", "b" | "last" | "step") => "1",
        ("int64_t", "stop") => "2",
        ("size_t", "index" | "child" | "group") => "0",
        ("size_t", "count" | "limit") => "1",
        ("size_t", "size") => match f {
            "numpack_last_error" => "100",
            "numpack_array_read_rows" | "numpack_mapped_rows_gather" => "4",
            "numpack_package_read_rows" => "4",
            "numpack_array_read" | "numpack_array_read_bytes" | "numpack_array_gather" => "12",
            "numpack_package_read" | "numpack_checkpoint_read_rows" => "12",
            "numpack_checkpoint_read" | "numpack_tensor_read" | "numpack_tensor_write" => "24",
            "numpack_nn_tensor_read" => "24",
            _ => return None,
        },
        _ => return None,
    };
    let tried: &[(&str, &'static str)] = match (of, name) {
        ("int32_t", "dtype") => {
            &[("-1", "ANY"), ("99", FAILS), ("INT32_MAX", FAILS), ("INT32_MIN", FAILS)]
        }
        ("int32_t", "existing" | "kind" | "op" | "distribution" | "reduction") => {
            &[("-1", FAILS), ("99", FAILS), ("INT32_MAX", FAILS), ("INT32_MIN", FAILS)]
        }
        ("int32_t", _) => {
            &[("-1", "ANY"), ("99", "ANY"), ("INT32_MAX", "ANY"), ("INT32_MIN", "ANY")]
        }
        // As many as are in memory.
        ("uint32_t", "ndim" | "count") => {
            &[("1", "ANY"), ("3", "ANY"), ("64", "ANY"), ("65", "ANY"), ("NUMBERS", "ANY")]
        }
        ("uint32_t", "attributes") => &[("1", FAILS), ("99999", FAILS)],
        ("uint32_t", _) => &[("99999", FAILS), ("UINT32_MAX", FAILS)],
        ("int64_t", _) => &[
            ("-1", "ANY"),
            ("99", "ANY"),
            ("INT64_MAX", "ANY"),
            ("INT64_MIN", "ANY"),
            ("INT64_MIN + 1", "ANY"),
        ],
        ("double", _) => &[("NAN", "ANY"), ("HUGE_VAL", "ANY"), ("-1", "ANY"), ("1e300", "ANY")],
        // So much memory is not to be asked for, nor so many columns for each of few heads.
        ("uint64_t", "end" | "inputs" | "outputs" | "rows" | "columns" | "embed_dim") => {
            &[("1", "ANY"), ("INT64_MAX", FAILS), ("UINT64_MAX", FAILS)]
        }
        ("uint64_t", _) => &[
            ("1", "ANY"),
            ("99", "ANY"),
            ("(uint64_t)1 << 32", "ANY"),
            ("INT64_MAX", "ANY"),
            ("UINT64_MAX", "ANY"),
        ],
        ("size_t", "size") if matches!(f, "numpack_last_error" | "numpack_array_read_bytes") => {
            &[("1", "ANY"), ("4096", "ANY")]
        }
        ("size_t", "size") => &[
            ("1", "PARAMETER"),
            ("size - 1", "PARAMETER"),
            ("size + 1", "PARAMETER"),
            ("4096", "PARAMETER"),
        ],
        ("size_t", "count") => &[("2", "ANY"), ("4", "ANY")],
        ("size_t", "limit") => &[("2", "ANY"), ("SIZE_MAX", "ANY")],
        _ => &[("99", FAILS), ("(size_t)1 << 40", FAILS), ("SIZE_MAX", FAILS)],
    };
    let case_of = |&(value, expected): &(&str, &'static str)| {
        case(format!("{name} = {value}"), format!("{name} = {value};"), expected)
    };
    Some(Argument {
        cases: tried.iter().map(case_of).collect(),
        zero: "0",
        zero_expected: "ANY",
        ..optional(of, name, valid, true)
    })
}

const FAILS: &str = "FAILURE";

/// A text: a path or a name.
fn text(f: &str, i: usize, name: &str) -> Option<Argument> {
    let valid = match (f, name) {
        ("numpack_nn_module_save", "path") => {
            return Some(required("const char *", name, &format!("new_state_path({i})"), true));
        }
        ("numpack_nn_save_training", "path") => {
            return Some(required("const char *", name, &format!("new_state_path({i})"), true));
        }
        ("numpack_nn_optimizer_load", "path") => "\"training.pt\"",
        ("numpack_nn_optimizer_load", "key") => "\"optimizer\"",
        (_, "name") if f.ends_with("_setting") => "\"lr\"",
        ("numpack_nn_module_load", "path") => "\"state.pt\"",
        ("numpack_nn_module_load", "key") => "\"model\"",
        ("numpack_from_torch_file" | "numpack_export_file", "input")
        | ("numpack_checkpoint_open" | "numpack_scan" | "numpack_verify", "path") => "\"good.pt\"",
        ("numpack_export_file", "output") => "\"exported.safetensors\"",
        ("numpack_unpack", "package") | ("numpack_package_open", "path") => "\"good.npkg\"",
        ("numpack_to_torch_file", "input")
        | ("numpack_pack", "store")
        | (
            "numpack_store_open"
            | "numpack_store_open_or_create"
            | "numpack_writer_replace"
            | "numpack_store_verify",
            "path",
        ) => "store_path()",
        ("numpack_from_torch_file" | "numpack_to_torch_file" | "numpack_from_torch", "output")
        | ("numpack_pack", "package")
        | ("numpack_unpack", "store")
        | (
            "numpack_store_create"
            | "numpack_writer_create"
            | "numpack_save_torch"
            | "numpack_object_save"
            | "numpack_save_tensors",
            "path",
        ) => "",
        ("numpack_checkpoint_find", "name") => "\"t\"",
        ("numpack_store_adopt_array" | "numpack_writer_adopt_array", "name") => "\"orphan\"",
        (_, "file") => "\"data_orphan.npkd\"",
        (_, "name" | "from") => "\"a\"",
        (_, "to") => "\"b\"",
        _ => return None,
    };
    let is_new = valid.is_empty() || name == "to" || f == "numpack_store_open_or_create";
    let valid =
        if valid.is_empty() { format!("new_path({i})") } else { format!("text({i}, {valid})") };
    // A new name may be any text.
    let any_name = if name == "to" { "ANY" } else { FAILS };
    let mut cases = vec![
        case(
            format!("{name} is no UTF-8"),
            format!("{name} = text({i}, \"\\xff\\xfe\");"),
            "PARAMETER",
        ),
        case(format!("{name} is empty"), format!("{name} = text({i}, \"\");"), any_name),
        case(format!("{name} is long"), format!("{name} = long_text({i});"), any_name),
    ];
    let missing = format!("{name} = text({i}, \"no/such/thing\");");
    cases.push(case(format!("{name} is not there"), missing, if is_new { "ANY" } else { FAILS }));
    let base = if f.ends_with("_compact") || name == "key" { optional } else { required };
    let mut argument = base("const char *", name, &valid, true);
    if f == "numpack_nn_optimizer_load" && name == "key" {
        // Then it is to be the whole file.
        argument.zero_expected = FAILS;
    }
    Some(Argument { cases, ..argument })
}

fn texts(f: &str, i: usize, name: &str) -> Argument {
    let one = |text: &str| format!("texts({i}, {text})");
    let set = |text: &str| format!("{name} = {};", one(text));
    let cases = vec![
        case(format!("{name} of NULL"), set("NULL"), "PARAMETER"),
        case(format!("{name} of no UTF-8"), set("\"\\xff\\xfe\""), "PARAMETER"),
        case(format!("{name} of nothing"), set("\"\""), "ANY"),
        case(
            format!("{name} unknown"),
            set("\"no such\""),
            if makes_names(f) { "ANY" } else { FAILS },
        ),
    ];
    let valid = match f {
        "numpack_nn_optimizer_load_state" => "\"0.momentum_buffer\"",
        _ => "\"a\"",
    };
    Argument { cases, ..required("const char *const *", name, &one(valid), true) }
}

/// Whether new names are fine.
fn makes_names(f: &str) -> bool {
    f.ends_with("_save")
        || f.contains("_save_")
        || f == "numpack_from_torch"
        || f == "numpack_nn_module_load_state"
        || f == "numpack_nn_module_custom"
}

/// An array of numbers.
fn numbers(f: &str, i: usize, of: &str, name: &str) -> Option<Argument> {
    let valid = match (of, name) {
        ("const uint64_t *", "shape" | "row") => format!("unsigned_numbers({i}, 2, 3, 1)"),
        ("const int64_t *", "dims") => format!("numbers({i}, 1, 0, 0)"),
        ("const int64_t *", "sizes") if f.ends_with("tensor_expand") => {
            format!("numbers({i}, 2, 3, 1)")
        }
        ("const int64_t *", "sizes") => format!("numbers({i}, 3, 2, 1)"),
        ("const int64_t *", "index" | "rows") => format!("numbers({i}, 0, 0, 0)"),
        _ => return None,
    };
    // All of them, and only one.
    let mut cases = Vec::new();
    for value in ["-1", "99", "INT64_MAX", "INT64_MIN"] {
        for first in [value, "1"] {
            // So much memory is not to be asked for.
            if of.contains("uint") && value == "99" {
                continue;
            }
            let make = if of.contains("uint") { "unsigned_numbers" } else { "numbers" };
            cases.push(case(
                format!("{name} = {first}, {value}"),
                format!("{name} = {make}({i}, {first}, {value}, {value});"),
                "ANY",
            ));
        }
    }
    Some(Argument { cases, ..required(of, name, &valid, true) })
}

/// An array of numbers of nodes.
fn node_numbers(i: usize, of: &str, name: &str) -> Argument {
    let all = |number: &str| format!("unsigned_numbers({i}, {number}, {number}, {number})");
    // Two of 32 bits for each of 64.
    let of_all = |number: &str| format!("({of}){}", all(number));
    let set = |number: &str| format!("{name} = {};", of_all(number));
    let cases = vec![
        case(format!("{name} of 99"), set("99"), FAILS),
        case(format!("{name} of the largest"), set("UINT64_MAX"), FAILS),
    ];
    Argument { cases, ..required(of, name, &of_all("0"), true) }
}

/// Whether it takes dimensions that are reduced.
fn is_reduction(f: &str) -> bool {
    matches!(f, "numpack_nn_tensor_reduce" | "numpack_nn_tensor_var")
}

/// Whether it cannot work where there is no device.
pub(crate) fn wants_device(f: &str) -> bool {
    f.starts_with("numpack_device") || f == "numpack_tensor_to_device"
}

/// Whether a function does without this handle.
fn is_optional(f: &str, handle: &str, name: &str) -> bool {
    match handle {
        "numpack_device" => !wants_device(f),
        "numpack_nn_tensor" => match name {
            "bias" | "key_padding_mask" | "attn_mask" => true,
            "grad" => !f.ends_with("_free"),
            "weight" => f.ends_with("_norm"),
            _ => false,
        },
        _ => false,
    }
}

fn handle(function: &Function, of: &str, name: &str, handle: &str) -> Argument {
    let f = function.name.as_str();
    let kind = handle.trim_start_matches("numpack_");
    let ends = f == format!("{handle}_free") || f == "numpack_writer_commit";
    // What the call took is not freed again.
    let unless = if ends { format!("if ({name} == NULL) ") } else { String::new() };
    let mut after = format!("{unless}{handle}_free(made_{name});");
    let gives = |p: &Named| p.of.ends_with("**");
    let changes = handle == "numpack_store"
        && function.returns == "int32_t"
        && !function.parameters.iter().any(gives);
    if changes || f == "numpack_writer_commit" {
        after.push_str("\n        is_dirty |= status == NUMPACK_OK;");
    }
    // What it is depends on what it is for.
    let what = if kind == "nn_tensor" { format!("\"{name}\"") } else { String::new() };
    let base = if is_optional(f, handle, name) { optional } else { required };
    Argument {
        declare: format!("{handle} *made_{name} = make_{kind}({what}); {of} {name} = made_{name};"),
        after,
        ..base(of, name, "", true)
    }
}

/// An array of handles.
fn handles(handle: &str, of: &str, i: usize, name: &str) -> Argument {
    let kind = handle.trim_start_matches("numpack_");
    let what = if kind == "nn_tensor" { format!("\"{name}\"") } else { String::new() };
    let set = format!("{name} = ({of})handles({i}, NULL);");
    let cases = vec![case(format!("{name} of NULL"), set, "PARAMETER")];
    Argument {
        declare: format!(
            "{handle} *made_{name} = make_{kind}({what}); {of} {name} = ({of})handles({i}, made_{name});"
        ),
        cases,
        after: format!("{handle}_free(made_{name});"),
        ..required(of, name, "", true)
    }
}

/// A tensor of DLPack, in or out.
fn managed(of: &str, name: &str, i: usize, stars: usize, is_legacy: bool) -> Argument {
    if stars == 2 {
        let mut out = required(of, name, &format!("slot({i})"), false);
        out.after = format!("if (status == NUMPACK_OK && {name}) (*{name})->deleter(*{name});");
        return out;
    }
    let make = if is_legacy { "make_managed_legacy" } else { "make_managed" };
    Argument {
        declare: format!("{of} made_{name} = {make}(); {of} {name} = made_{name};"),
        after: format!(
            "if (status != NUMPACK_OK || {name} == NULL) made_{name}->deleter(made_{name});"
        ),
        ..required(of, name, "", true)
    }
}

/// A struct that begins with its size, in or out.
fn structure(
    function: &Function,
    i: usize,
    of: &str,
    fields: &[Named],
    is_input: bool,
) -> Option<Argument> {
    let name = &function.parameters[i].name;
    let it = format!("(({of} *)slot({i}))");
    let (valid, init) = match (of, is_input) {
        (_, false) => (format!("slot({i})"), format!("{it}->struct_size = sizeof({of});")),
        ("numpack_view", _) if name == "views" => (format!("valid_views({i})"), String::new()),
        ("numpack_view", _) => (format!("valid_view({i})"), String::new()),
        ("numpack_rows", _) => (format!("valid_rows({i})"), String::new()),
        ("numpack_scalar", _) => (format!("valid_scalar({i})"), String::new()),
        ("numpack_node", _) => (format!("valid_node({i})"), String::new()),
        ("numpack_array_interface", _) => (format!("valid_array_interface({i})"), String::new()),
        _ if name == "options" => {
            (format!("STRUCT({of}, {i})"), format!("{it}->struct_size = sizeof({of});"))
        }
        _ => return None,
    };
    let mut cases = Vec::new();
    for (size, expected) in [
        ("0", "PARAMETER"),
        ("4", "PARAMETER"),
        (&*format!("sizeof({of}) - 1"), "PARAMETER"),
        // A later version's, whose other fields are 0.
        ("4096", "OK"),
        ("UINT32_MAX", "PARAMETER"),
    ] {
        // Of several structs only the first is left.
        let rest = format!("memset({it} + 1, 0, SLOT_SIZE - sizeof({of}));");
        let rest = if is_input { rest } else { String::new() };
        let set = format!("{it}->struct_size = {size}; {rest}");
        cases.push(case(format!("{name}->struct_size = {size}"), set, expected));
    }
    if is_input {
        // And one that is not.
        let set = format!("{it}->struct_size = 4096; slots[{i}][4095] = 1;");
        cases.push(case(format!("{name} is unknown at its end"), set, "PARAMETER"));
        for field in &fields[1..] {
            for (set, expected) in field_values(of, field)? {
                let what = format!("{name}: {set}");
                let set = set.split(", ").map(|s| format!("{it}->{s};")).collect::<String>();
                cases.push(case(what, set, expected));
            }
        }
    }
    let base = if name == "options" { optional } else { required };
    let pointer = format!("{}{of} *", if is_input { "const " } else { "" });
    let mut argument = base(&pointer, name, &valid, is_input);
    argument.declare = format!("{} {init}", argument.declare);
    argument.cases = cases;
    Some(argument)
}

/// Assignments to a field of an input, each with what it leads to.
fn field_values(of: &str, field: &Named) -> Option<Vec<(String, &'static str)>> {
    let name = field.name.as_str();
    // What makes the field count.
    let counts = match (of, name) {
        ("numpack_rows", "list" | "count") => "kind = NUMPACK_ROWS_LIST, ",
        ("numpack_rows", "mask") => "kind = NUMPACK_ROWS_MASK, ",
        ("numpack_rows", "start" | "stop" | "step") => "kind = NUMPACK_ROWS_SLICE, ",
        ("numpack_node", "length") => "kind = NUMPACK_NODE_STR, ",
        ("numpack_node", "text") => "kind = NUMPACK_NODE_STR, length = 1, ",
        ("numpack_node", "name") => "kind = NUMPACK_NODE_GLOBAL, name_length = 1, ",
        ("numpack_node", "name_length") => "kind = NUMPACK_NODE_GLOBAL, ",
        ("numpack_scalar", "integer") => "kind = NUMPACK_SCALAR_INT, ",
        ("numpack_scalar", "imaginary") => "kind = NUMPACK_SCALAR_COMPLEX, ",
        // As many as are tried.
        (_, "ndim") => "shape = ones, ",
        _ => "",
    };
    let values: &[(&str, &'static str)] = match (field.of.as_str(), name) {
        ("int32_t", "reserved") => &[("1", "PARAMETER"), ("INT32_MIN", "PARAMETER")],
        ("int32_t", "activation") => &[("-1", FAILS), ("NUMPACK_NN_EXP", FAILS)],
        (
            "int32_t",
            "dtype" | "existing" | "crc" | "kind" | "compression" | "validation" | "reduction",
        ) => &[("-1", FAILS), ("99", FAILS), ("INT32_MAX", FAILS), ("INT32_MIN", FAILS)],
        ("int32_t", _) => {
            &[("-1", "ANY"), ("99", "ANY"), ("INT32_MAX", "ANY"), ("INT32_MIN", "ANY")]
        }
        ("uint32_t", "ndim") => &[("0", "ANY"), ("3", "ANY"), ("65", "ANY"), ("NUMBERS", "ANY")],
        ("uint32_t", _) => &[("1", "ANY"), ("3", "ANY"), ("UINT32_MAX", FAILS)],
        ("uint64_t", "dim_feedforward") => &[("1", "OK"), ("UINT64_MAX", FAILS)],
        ("uint64_t", _) => &[("1", "ANY"), ("INT64_MAX", "ANY"), ("UINT64_MAX", "ANY")],
        ("int64_t", "step") => {
            &[("0", "PARAMETER"), ("-1", "ANY"), ("INT64_MAX", "ANY"), ("INT64_MIN", "ANY")]
        }
        ("int64_t", _) => {
            &[("-1", "ANY"), ("99", "ANY"), ("INT64_MAX", "ANY"), ("INT64_MIN", "ANY")]
        }
        ("double", _) => &[("NAN", "ANY"), ("HUGE_VAL", "ANY"), ("-1e300", "ANY")],
        ("size_t", "length" | "name_length") => &[("1", "PARAMETER"), ("SIZE_MAX", "PARAMETER")],
        ("size_t", "index" | "children") => &[("SIZE_MAX", "OK")],
        ("const char *", "text" | "name") => &[("NULL", "PARAMETER"), ("\"\\xff\"", "PARAMETER")],
        ("size_t", "array_count") => &[("1", "PARAMETER"), ("SIZE_MAX", "PARAMETER")],
        ("size_t", "count") => &[("0", "ANY"), ("1", "ANY"), ("NUMBERS", "ANY")],
        ("size_t", "nbytes") => &[("0", FAILS), ("11", FAILS)],
        ("size_t", "offset") => &[("1", FAILS), ("(size_t)1 << 40", FAILS), ("SIZE_MAX", FAILS)],
        ("const char *", "typestr") => &[
            ("NULL", "PARAMETER"),
            ("\"\"", FAILS),
            ("\"\\xff\\xfe\"", "PARAMETER"),
            ("\"<f3\"", FAILS),
            ("\"|O8\"", FAILS),
            ("\"<f99999999999999999999\"", FAILS),
        ],
        ("const uint64_t *", "shape") => &[("NULL", "PARAMETER"), ("huge_shape", FAILS)],
        ("const int64_t *", "strides") => &[("huge_strides", FAILS)],
        ("const void *" | "void *", "data") => &[("NULL", "PARAMETER")],
        ("const int64_t *", "list") | ("const uint8_t *", "mask") => &[("NULL", "PARAMETER")],
        ("const int64_t *", "ignore_index") => &[("row_list", "OK")],
        ("const numpack_nn_tensor *", "weight") => &[("NULL", "OK")],
        ("const char *", "select") => &[("\"\\xff\\xfe\"", "PARAMETER"), ("\"no such\"", FAILS)],
        // Optional; zero stands for NULL already.
        ("const char *const *", "array_names") => &[],
        ("const char *", "key") => &[("\"\\xff\\xfe\"", "PARAMETER"), ("\"no.such\"", "PARAMETER")],
        ("numpack_progress_fn", _) => &[("on_progress", "OK")],
        ("numpack_warning_fn", _) => &[("on_warning", "OK")],
        ("void *", "user") => &[("NULL", "OK")],
        _ => return None,
    };
    Some(values.iter().map(|(v, e)| (format!("{counts}{name} = {v}"), *e)).collect())
}
