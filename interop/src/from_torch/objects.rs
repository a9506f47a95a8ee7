//! Which objects of a checkpoint are carried over as what they are.
//!
//! Plain values of Python's own library, of NumPy and of torch are. An object of any other class
//! would need that class to be loaded again: it is left out unless the caller asks to keep it, and
//! the tensors inside it are kept under their names.

use torch_pickle::{Construct, Global, Node, NodeId, Object, Tree};

/// Classes and functions whose objects are plain values, by module.
const KNOWN: &[(&str, &[&str])] = &[
    ("_codecs", &["encode"]),
    ("argparse", &["Namespace"]),
    ("builtins", &["complex", "range", "slice"]),
    ("collections", &["Counter", "defaultdict", "deque"]),
    ("datetime", &["date", "datetime", "time", "timedelta", "timezone"]),
    ("decimal", &["Decimal"]),
    ("fractions", &["Fraction"]),
    (
        "pathlib",
        &["Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"],
    ),
    ("types", &["SimpleNamespace"]),
    ("uuid", &["SafeUUID", "UUID"]),
    ("torch", &["Size", "device"]),
    (
        "torch._utils",
        &[
            "_rebuild_device_tensor_from_cpu_tensor",
            "_rebuild_device_tensor_from_numpy",
            "_rebuild_meta_tensor_no_storage",
            "_rebuild_nested_tensor",
            "_rebuild_sparse_csr_tensor",
            "_rebuild_sparse_tensor",
            "_rebuild_xla_tensor",
        ],
    ),
    ("torch.serialization", &["_get_layout"]),
];

/// Functions by which NumPy's arrays, scalars and types are rebuilt.
const NUMPY: &[&str] = &["_reconstruct", "_frombuffer", "scalar", "dtype", "ndarray"];

/// The classes of NumPy's scalars, which name an element type.
const NUMPY_TYPES: &[&str] = &[
    "bool",
    "bool_",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
    "str_",
    "bytes_",
];

/// What becomes of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// It is carried over.
    Keep,
    /// It is of a class that is not known.
    Unknown,
    /// It stands for something outside the file, which nothing can write again.
    Never,
}

/// Decides on one node, without looking into it.
pub(super) fn fate(tree: &Tree, id: NodeId) -> Fate {
    let known = match tree.node(id) {
        Node::Global(global) => is_known(global) || is_torch_constant(global),
        Node::Object(object) if object.construct == Construct::PersistentId => {
            return Fate::Never;
        }
        Node::Object(object) => match tree.node(object.callable) {
            Node::Global(global) => is_known(global),
            _ => false,
        },
        _ => true,
    };
    if known { Fate::Keep } else { Fate::Unknown }
}

/// The class of an object, for a message.
pub(super) fn class_of(tree: &Tree, object: &Object) -> String {
    match tree.node(object.callable) {
        Node::Global(global) => global.to_string(),
        _ => "an object outside the file".to_owned(),
    }
}

fn is_known(global: &Global) -> bool {
    let (module, name) = (&*global.module, &*global.name);
    let numpy = module == "numpy" || module.starts_with("numpy.");
    (numpy && NUMPY.contains(&name))
        || (module == "numpy" && NUMPY_TYPES.contains(&name))
        || KNOWN.iter().any(|(m, names)| *m == module && names.contains(&name))
        || (module == "builtins"
            && [
                "Ellipsis",
                "NotImplemented",
                "int",
                "float",
                "str",
                "bytes",
                "bool",
                "list",
                "dict",
                "tuple",
                "set",
            ]
            .contains(&name))
        || (module == "collections" && name == "OrderedDict")
}

/// `torch.float32`, `torch.strided`, `torch.per_tensor_affine` and the like: values, though they
/// are written as names.
fn is_torch_constant(global: &Global) -> bool {
    const OTHERS: &[&str] = &[
        "strided",
        "sparse_coo",
        "sparse_csr",
        "sparse_csc",
        "sparse_bsr",
        "sparse_bsc",
        "per_tensor_affine",
        "per_channel_affine",
        "per_tensor_symmetric",
        "per_channel_symmetric",
        "per_channel_affine_float_qparams",
        "contiguous_format",
        "channels_last",
        "channels_last_3d",
        "preserve_format",
        "Tensor",
        "Size",
        "device",
    ];
    &*global.module == "torch"
        && (torch_pickle::DType::from_name(&global.name).is_some()
            || OTHERS.contains(&&*global.name))
        || (&*global.module == "torch.nn.parameter" && &*global.name == "Parameter")
}
