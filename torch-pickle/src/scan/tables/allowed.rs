//! What `torch.load(weights_only=True)` accepts by default.
//!
//! From torch 2.15: `_get_allowed_globals` in `torch/_weights_only_unpickler.py`, with the lists it
//! is made of (`torch.storage._dtype_to_storage_type_map`, `torch._storage_classes`,
//! `torch._tensor_classes`), and the safe globals that `import torch` itself adds.

/// Storage and tensor classes: the modules they are in, and the kinds; the class is the kind with
/// `Storage` or `Tensor` behind it.
pub(in crate::scan) const CLASSES: &[(&str, &str, &[&str])] = &[
    (
        "torch",
        "Storage",
        &[
            "BFloat16",
            "Bool",
            "Byte",
            "Char",
            "ComplexDouble",
            "ComplexFloat",
            "Double",
            "Float",
            "Half",
            "Int",
            "Long",
            "QInt32",
            "QInt8",
            "QUInt2x4",
            "QUInt4x2",
            "QUInt8",
            "Short",
        ],
    ),
    (
        "torch",
        "Tensor",
        &[
            "BFloat16", "Bool", "Byte", "Char", "Double", "Float", "Half", "Int", "Long", "Short",
            "",
        ],
    ),
    (
        "torch.cuda",
        "Storage",
        &[
            "BFloat16",
            "Bool",
            "Byte",
            "Char",
            "ComplexDouble",
            "ComplexFloat",
            "Double",
            "Float",
            "Half",
            "Int",
            "Long",
            "Short",
        ],
    ),
    (
        "torch.cuda",
        "Tensor",
        &["BFloat16", "Bool", "Byte", "Char", "Double", "Float", "Half", "Int", "Long", "Short"],
    ),
    (
        "torch.cuda.sparse",
        "Tensor",
        &["BFloat16", "Byte", "Char", "Double", "Float", "Half", "Int", "Long", "Short"],
    ),
    (
        "torch.sparse",
        "Tensor",
        &["BFloat16", "Byte", "Char", "Double", "Float", "Half", "Int", "Long", "Short"],
    ),
];

/// All others, by module.
pub(in crate::scan) const NAMES: &[(&str, &[&str])] = &[
    ("_codecs", &["encode"]),
    ("builtins", &["bytearray", "complex", "set"]),
    ("collections", &["Counter", "OrderedDict"]),
    ("torch", &["Size", "device"]),
    // dtypes
    (
        "torch",
        &[
            "bcomplex32",
            "bfloat16",
            "bits16",
            "bits1x8",
            "bits2x4",
            "bits4x2",
            "bits8",
            "bool",
            "complex128",
            "complex32",
            "complex64",
            "float16",
            "float32",
            "float4_e2m1fn_x2",
            "float64",
            "float8_e4m3fn",
            "float8_e4m3fnuz",
            "float8_e5m2",
            "float8_e5m2fnuz",
            "float8_e8m0fnu",
            "int1",
            "int16",
            "int2",
            "int3",
            "int32",
            "int4",
            "int5",
            "int6",
            "int64",
            "int7",
            "int8",
            "qint32",
            "qint8",
            "quint2x4",
            "quint4x2",
            "quint8",
            "uint1",
            "uint16",
            "uint2",
            "uint3",
            "uint32",
            "uint4",
            "uint5",
            "uint6",
            "uint64",
            "uint7",
            "uint8",
        ],
    ),
    // schemes of quantisation
    (
        "torch",
        &[
            "per_channel_affine",
            "per_channel_affine_float_qparams",
            "per_channel_symmetric",
            "per_tensor_affine",
            "per_tensor_symmetric",
        ],
    ),
    ("torch._tensor", &["_rebuild_from_type_v2"]),
    (
        "torch._utils",
        &[
            "_rebuild_device_tensor_from_cpu_tensor",
            "_rebuild_device_tensor_from_numpy",
            "_rebuild_meta_tensor_no_storage",
            "_rebuild_parameter",
            "_rebuild_parameter_with_state",
            "_rebuild_qtensor",
            "_rebuild_sparse_tensor",
            "_rebuild_tensor",
            "_rebuild_tensor_v2",
            "_rebuild_tensor_v3",
            "_rebuild_wrapper_subclass",
        ],
    ),
    ("torch.distributed._mesh_layout", &["_FlatLayout", "_MeshLayout"]),
    ("torch.nn.parameter", &["Parameter"]),
    ("torch.serialization", &["_get_layout"]),
    ("torch.storage", &["TypedStorage", "UntypedStorage"]),
];

/// Modules that are never allowed, whatever is added to the list.
pub(in crate::scan) const BLOCKED: &[&str] = &["sys", "os", "posix", "nt"];

/// The Python 2 names that its unpickler understands: `IMPORT_MAPPING` and `NAME_MAPPING` in
/// `torch/_utils.py`, as far as they lead to an allowed name.
pub(in crate::scan) const ALIASES: &[(&str, &str)] = &[("__builtin__", "builtins")];
