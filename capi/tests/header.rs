//! The committed header is what the sources say.

use std::path::Path;

/// The headings of the header, each with the line before whose comment it stands.
const SECTIONS: [(&str, &str); 47] = [
    ("#define NUMPACK_ABI_VERSION", "The version"),
    ("#define NUMPACK_OK", "Status codes"),
    ("#define NUMPACK_EXISTING_DEFAULT", "Conversions: constants"),
    ("#define NUMPACK_DTYPE_BOOL", "Element types"),
    ("#define NUMPACK_ROWS_ALL", "Choices of rows"),
    ("#define NUMPACK_COMPRESSION_NONE", "Packages: constants"),
    ("#define NUMPACK_FAULT_OTHER", "What can be wrong with a store"),
    ("#define NUMPACK_SLICE_END", "Tensors: constants"),
    ("#define NUMPACK_VALIDATION_OFF", "Devices: constants"),
    ("#define NUMPACK_NN_UNIFORM", "Computing: constants"),
    ("typedef struct numpack_array numpack_array;", "Handles"),
    ("typedef int32_t (*numpack_progress_fn)", "Callbacks and structs"),
    ("uint32_t numpack_abi_version(", "Versions and messages"),
    ("int32_t numpack_from_torch_file(", "Conversions"),
    ("size_t numpack_dtype_size(", "Element types and rows"),
    ("int32_t numpack_store_open(", "Stores"),
    ("int32_t numpack_store_save(", "Changes, each durable on return"),
    ("int32_t numpack_store_begin(", "Many changes in one commit"),
    ("int32_t numpack_store_list(", "What a store holds"),
    ("int32_t numpack_array_open(", "Reading arrays"),
    ("int32_t numpack_array_map(", "Arrays as memory"),
    ("int32_t numpack_store_map_rows_mut(", "Arrays as memory to work in"),
    ("int32_t numpack_pack(", "Packages: a store in one file"),
    ("int32_t numpack_checkpoint_open(", "Tensors in files"),
    ("int32_t numpack_tensor_zeros(", "Tensors in memory"),
    ("int32_t numpack_tensor_from_numpy(", "Sharing with NumPy, and with files"),
    ("int32_t numpack_tensor_select(", "Views and copies of tensors"),
    ("int32_t numpack_tensor_full(", "Elements of tensors"),
    ("int32_t numpack_tensor_to_dlpack(", "DLPack"),
    ("int32_t numpack_save_torch(", "Tensors to a file"),
    ("int32_t numpack_object_create(", "Objects to a file"),
    ("int32_t numpack_scan(", "What is in a file, and what is not the same in two"),
    ("int32_t numpack_store_verify(", "Verification"),
    ("int32_t numpack_devices(", "Devices"),
    ("int32_t numpack_nn_tensor_from_tensor(", "Tensors that compute"),
    ("int32_t numpack_nn_tensor_require_grad(", "Gradients, and changes in place"),
    ("int32_t numpack_nn_tensor_unary(", "What is computed of elements"),
    ("int32_t numpack_nn_tensor_select(", "Views, joining, picking"),
    ("int32_t numpack_nn_tensor_matmul(", "Products of matrices, softmax, norms, losses"),
    ("int32_t numpack_nn_module_forward(", "What modules do"),
    ("int32_t numpack_nn_module_linear(", "The kinds of modules"),
    ("size_t numpack_nn_state_count(", "Tensors by name"),
    ("int32_t numpack_nn_optimizer_sgd(", "Optimisers"),
    ("int32_t numpack_nn_step_create(", "Training steps, recorded once"),
    ("int32_t numpack_nn_module_custom(", "Modules and losses of one's own"),
    ("int32_t numpack_nn_optimizer_state(", "What optimisers keep, and their settings"),
    ("static inline numpack_rows numpack_rows_all(", "Structs at hand"),
];

/// The header, with its headings.
fn with_sections(mut header: String) -> String {
    for (item, title) in SECTIONS {
        let item = format!("\n{item}");
        let at = header.find(&item).unwrap_or_else(|| panic!("no {item} in the header"));
        let comment = header[..at].rfind("\n/*").unwrap();
        let line = "=".repeat(92 - title.len());
        header.insert_str(comment + 1, &format!("/* == {title} {line} */\n\n"));
    }
    header
}

#[test]
fn the_committed_header_is_current() {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let header = crate_dir.join("../include/numpack.h");
    let config = cbindgen::Config::from_file(crate_dir.join("cbindgen.toml")).unwrap();
    let mut generated = Vec::new();
    cbindgen::Builder::new()
        .with_crate(crate_dir)
        .with_config(config)
        .generate()
        .unwrap()
        .write(&mut generated);
    let generated = with_sections(String::from_utf8(generated).unwrap());
    // `cargo xtask header` runs this test with the variable set.
    if std::env::var_os("NUMPACK_WRITE_HEADER").is_some() {
        std::fs::write(&header, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&header).unwrap_or_default();
    assert!(generated == committed, "include/numpack.h is out of date; run `cargo xtask header`");
}
