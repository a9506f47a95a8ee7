/* Checkpoints: listing, reading, mapping, walking the object, writing. */
#include "check.h"

static uint8_t *read_all(const numpack_checkpoint *checkpoint, size_t index, uint64_t *size) {
    numpack_tensor_info info;
    info.struct_size = sizeof info;
    CHECK(numpack_checkpoint_get_info(checkpoint, index, &info) == NUMPACK_OK);
    uint8_t *bytes = malloc((size_t)info.nbytes + 1);
    *size = info.nbytes;
    CHECK(numpack_checkpoint_read(checkpoint, index, bytes, (size_t)info.nbytes) == NUMPACK_OK);
    return bytes;
}

static void listing(const numpack_checkpoint *checkpoint) {
    numpack_tensor_info info;
    size_t index = 99, other = 0;
    info.struct_size = sizeof info;
    CHECK(numpack_checkpoint_count(checkpoint) == 44 && numpack_checkpoint_count(NULL) == 0);
    CHECK(strcmp(numpack_checkpoint_get_format(checkpoint), "zip archive of torch, version 3") == 0);
    CHECK(numpack_checkpoint_get_format(NULL) == NULL);
    CHECK(numpack_checkpoint_get_info(checkpoint, 1, &info) == NUMPACK_OK);
    CHECK(strcmp(info.name, "model.embedding.weight") == 0 && info.name_length == 22);
    CHECK(info.dtype == NUMPACK_DTYPE_FLOAT32 && info.ndim == 2 && info.nbytes == 192 * 48 * 4);
    CHECK(info.shape[0] == 192 && info.shape[1] == 48 && info.strides[0] == 48);
    CHECK(info.requires_grad == 0 && info.parameter == 0 && info.reserved == 0);
    CHECK(numpack_checkpoint_find(checkpoint, "model.output.weight", &other) == NUMPACK_OK);
    uint32_t storage = info.storage;
    CHECK(numpack_checkpoint_get_info(checkpoint, other, &info) == NUMPACK_OK);
    CHECK(info.storage == storage);
    CHECK(numpack_checkpoint_find(checkpoint, "model_bf16.norm.bias", &index) == NUMPACK_OK);
    CHECK(numpack_checkpoint_get_info(checkpoint, index, &info) == NUMPACK_OK);
    CHECK(info.dtype == NUMPACK_DTYPE_BFLOAT16 && numpack_dtype_size(info.dtype) == 2);
    CHECK(strcmp(numpack_dtype_name(info.dtype), "bfloat16") == 0);
    CHECK(numpack_checkpoint_find(checkpoint, "none", &index) == NUMPACK_NOT_FOUND);
    CHECK(numpack_checkpoint_find(checkpoint, NULL, &index) == NUMPACK_PARAMETER);
    CHECK(numpack_checkpoint_find(NULL, "none", &index) == NUMPACK_PARAMETER);
    CHECK(numpack_checkpoint_get_info(checkpoint, 44, &info) == NUMPACK_PARAMETER);
    CHECK(numpack_checkpoint_get_info(NULL, 0, &info) == NUMPACK_PARAMETER);
    CHECK(numpack_checkpoint_get_info(checkpoint, 0, NULL) == NUMPACK_PARAMETER);
    info.struct_size = 3;
    CHECK(numpack_checkpoint_get_info(checkpoint, 0, &info) == NUMPACK_PARAMETER);
    CHECK(numpack_checkpoint_warnings(checkpoint, NULL, NULL) == NUMPACK_OK);
    CHECK(numpack_checkpoint_warnings(NULL, NULL, NULL) == NUMPACK_PARAMETER);
}

static void reading(const numpack_checkpoint *checkpoint) {
    size_t index = 0, size = 0;
    uint64_t nbytes = 0;
    uint8_t rows[2 * 192];
    const void *data = NULL;
    CHECK(numpack_checkpoint_find(checkpoint, "model.embedding.weight", &index) == NUMPACK_OK);
    uint8_t *all = read_all(checkpoint, index, &nbytes);
    CHECK(numpack_checkpoint_read(checkpoint, index, all, (size_t)nbytes - 1) == NUMPACK_PARAMETER);
    CHECK(numpack_checkpoint_read(checkpoint, index, NULL, (size_t)nbytes) == NUMPACK_PARAMETER);
    CHECK(numpack_checkpoint_read(checkpoint, 44, all, (size_t)nbytes) == NUMPACK_PARAMETER);
    CHECK(numpack_checkpoint_read(NULL, index, all, (size_t)nbytes) == NUMPACK_PARAMETER);
    CHECK(numpack_checkpoint_read_rows(checkpoint, index, 190, 2, rows, sizeof rows) == NUMPACK_OK);
    CHECK(memcmp(rows, all + 190 * 192, sizeof rows) == 0);
    CHECK(numpack_checkpoint_read_rows(checkpoint, index, 192, 0, NULL, 0) == NUMPACK_OK);
    CHECK(numpack_checkpoint_read_rows(checkpoint, index, 191, 2, rows, sizeof rows) ==
          NUMPACK_PARAMETER);
    CHECK(numpack_checkpoint_read_rows(checkpoint, index, 0, 2, rows, 5) == NUMPACK_PARAMETER);
    CHECK(numpack_checkpoint_read_rows(checkpoint, index, 1, UINT64_MAX, rows, sizeof rows) ==
          NUMPACK_PARAMETER);
    CHECK(numpack_checkpoint_read_rows(NULL, index, 0, 2, rows, sizeof rows) == NUMPACK_PARAMETER);
    CHECK(numpack_checkpoint_map(checkpoint, index, &data, &size) == NUMPACK_OK);
    CHECK(size == nbytes && memcmp(data, all, size) == 0);
    CHECK(numpack_checkpoint_map(checkpoint, 44, &data, &size) == NUMPACK_PARAMETER);
    CHECK(numpack_checkpoint_map(NULL, index, &data, &size) == NUMPACK_PARAMETER);
    free(all);
}

/* The value of a key in a dict, by the functions that walk. */
static uint32_t at(const numpack_checkpoint *checkpoint, uint32_t dict, const char *wanted) {
    numpack_node node, key;
    uint32_t key_number = 0, value = NUMPACK_NO_NODE;
    node.struct_size = key.struct_size = sizeof node;
    CHECK(numpack_checkpoint_get_node(checkpoint, dict, &node) == NUMPACK_OK);
    for (size_t i = 0; i < node.children; i++) {
        CHECK(numpack_checkpoint_get_child(checkpoint, dict, i, &key_number, &value) == NUMPACK_OK);
        CHECK(numpack_checkpoint_get_node(checkpoint, key_number, &key) == NUMPACK_OK);
        if (key.kind == NUMPACK_NODE_STR && key.length == strlen(wanted) &&
            memcmp(key.text, wanted, key.length) == 0) {
            return value;
        }
    }
    CHECK(!"a key is missing");
    return NUMPACK_NO_NODE;
}

static void walking(const numpack_checkpoint *checkpoint) {
    numpack_node node;
    numpack_tensor_info info;
    uint32_t root = 0, found = 0;
    node.struct_size = sizeof node;
    info.struct_size = sizeof info;
    CHECK(numpack_checkpoint_get_root(NULL, &root) == NUMPACK_PARAMETER);
    CHECK(numpack_checkpoint_get_root(checkpoint, &root) == NUMPACK_OK);
    CHECK(numpack_checkpoint_get_node(checkpoint, root, &node) == NUMPACK_OK);
    CHECK(node.kind == NUMPACK_NODE_DICT && node.children > 3);
    found = at(checkpoint, at(checkpoint, root, "model"), "hidden.bias");
    CHECK(numpack_checkpoint_get_node(checkpoint, found, &node) == NUMPACK_OK);
    CHECK(node.kind == NUMPACK_NODE_TENSOR && node.children == 0);
    CHECK(numpack_checkpoint_get_info(checkpoint, node.index, &info) == NUMPACK_OK);
    CHECK(strcmp(info.name, "model.hidden.bias") == 0 && node.integer == (int64_t)info.tensor);
    found = at(checkpoint, at(checkpoint, root, "optimizer"), "param_groups");
    CHECK(numpack_checkpoint_get_child(checkpoint, found, 0, NULL, &found) == NUMPACK_OK);
    found = at(checkpoint, found, "lr");
    CHECK(numpack_checkpoint_get_node(checkpoint, found, &node) == NUMPACK_OK);
    CHECK(node.kind == NUMPACK_NODE_FLOAT && node.real > 0 && node.real < 1);
    CHECK(numpack_checkpoint_get_child(checkpoint, found, 0, NULL, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_checkpoint_get_child(checkpoint, NUMPACK_NO_NODE, 0, NULL, NULL) ==
          NUMPACK_PARAMETER);
    CHECK(numpack_checkpoint_get_child(NULL, root, 0, NULL, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_checkpoint_get_node(checkpoint, NUMPACK_NO_NODE, &node) == NUMPACK_PARAMETER);
    CHECK(numpack_checkpoint_get_node(checkpoint, root, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_checkpoint_get_node(NULL, root, &node) == NUMPACK_PARAMETER);
}

static void writing(const char *folder) {
    char path[512];
    numpack_checkpoint *back = NULL;
    numpack_tensor_info info;
    uint64_t size = 0;
    size_t index = 0;
    const uint16_t half[] = {1, 2, 3, 4, 5, 6};
    const uint64_t shape[] = {3, 2}, flat[] = {6}, none[] = {0, 7};
    const int64_t turned[] = {2, 6}, backwards[] = {-4, 2}, odd[] = {4, 1};
    const char *names[] = {"turned", "flat", "none", "scalar"};
    numpack_view views[4];
    info.struct_size = sizeof info;
    views[0] = numpack_view_of(NUMPACK_DTYPE_BFLOAT16, 2, shape, half, sizeof half);
    views[0].strides = turned;
    views[1] = numpack_view_of(NUMPACK_DTYPE_FLOAT16, 1, flat, half, sizeof half);
    views[2] = numpack_view_of(NUMPACK_DTYPE_FLOAT64, 2, none, NULL, 0);
    views[3] = numpack_view_of(NUMPACK_DTYPE_INT16, 0, NULL, half, sizeof half);
    views[3].offset = 4;
    join(path, sizeof path, folder, "written.pt");
    CHECK(numpack_save_torch(path, names, views, 4, NULL) == NUMPACK_OK);
    CHECK(numpack_save_torch(path, names, views, 4, NULL) == NUMPACK_EXISTS);
    numpack_save_options options = {0};
    options.struct_size = sizeof options;
    options.overwrite = 1;
    options.alignment = 4096;
    CHECK(numpack_save_torch(path, names, views, 4, &options) == NUMPACK_OK);
    options.alignment = 3;
    CHECK(numpack_save_torch(path, names, views, 4, &options) == NUMPACK_PARAMETER);
    CHECK(numpack_checkpoint_open(path, NULL, &back) == NUMPACK_OK);
    CHECK(numpack_checkpoint_count(back) == 4);
    uint8_t *bytes = read_all(back, 0, &size);
    const uint16_t expected[] = {1, 4, 2, 5, 3, 6};
    CHECK(size == sizeof expected && memcmp(bytes, expected, sizeof expected) == 0);
    free(bytes);
    bytes = read_all(back, 2, &size);
    CHECK(size == 0);
    free(bytes);
    const void *data = &size;
    size_t length = 1;
    CHECK(numpack_checkpoint_map(back, 2, &data, &length) == NUMPACK_OK);
    CHECK(data == NULL && length == 0);
    CHECK(numpack_checkpoint_find(back, "scalar", &index) == NUMPACK_OK && index == 3);
    CHECK(numpack_checkpoint_get_info(back, 3, &info) == NUMPACK_OK);
    CHECK(info.ndim == 0 && info.nbytes == 2 && info.dtype == NUMPACK_DTYPE_INT16);
    bytes = read_all(back, 3, &size);
    CHECK(size == 2 && bytes[0] == 3 && bytes[1] == 0);
    free(bytes);
    numpack_checkpoint_free(back);

    join(path, sizeof path, folder, "refused.pt");
    views[0].strides = backwards;
    CHECK(numpack_save_torch(path, names, views, 1, NULL) == NUMPACK_PARAMETER);
    views[0].strides = odd;
    CHECK(numpack_save_torch(path, names, views, 1, NULL) == NUMPACK_PARAMETER);
    views[0].strides = NULL;
    views[0].nbytes = 11;
    CHECK(numpack_save_torch(path, names, views, 1, NULL) == NUMPACK_PARAMETER);
    views[0].nbytes = 12;
    views[0].dtype = 999;
    CHECK(numpack_save_torch(path, names, views, 1, NULL) == NUMPACK_PARAMETER);
    names[1] = names[0];
    views[0].dtype = NUMPACK_DTYPE_UINT16;
    CHECK(numpack_save_torch(path, names, views, 2, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_save_torch(NULL, names, views, 1, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_save_torch(path, NULL, views, 1, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_save_torch(path, names, NULL, 1, NULL) == NUMPACK_PARAMETER);
    CHECK(!exists(path));
}

/* What is found in a file: how much of each level, and the last place. */
struct found {
    int levels[3];
    char what[256], part[64];
    int64_t offset;
};

static int32_t note(int32_t level, const char *what, const char *part, int64_t offset, void *user) {
    struct found *found = user;
    found->levels[level]++;
    if (level == NUMPACK_SCAN_DANGEROUS) {
        snprintf(found->what, sizeof found->what, "%s", what);
        snprintf(found->part, sizeof found->part, "%s", part);
        found->offset = offset;
    }
    return 0;
}

static int32_t no_more(int32_t level, const char *what, const char *part, int64_t offset,
                       void *user) {
    (void)level, (void)what, (void)part, (void)offset, (void)user;
    return 1;
}

static void scanning(const char *checkpoint, const char *folder) {
    int32_t verdict = -1, weights_only = -1;
    struct found found;
    memset(&found, 0, sizeof found);
    CHECK(numpack_scan(checkpoint, note, &found, &verdict, &weights_only) == NUMPACK_OK);
    CHECK(verdict == NUMPACK_SCAN_CLEAN && weights_only == 1);
    CHECK(found.levels[1] == 0 && found.levels[2] == 0);

    /* os.system('id'), never run. */
    char path[1024];
    join(path, sizeof path, folder, "bad.pkl");
    FILE *file = fopen(path, "wb");
    CHECK(file && fputs("cos\nsystem\n(S'id'\ntR.", file) >= 0 && fclose(file) == 0);
    CHECK(numpack_scan(path, note, &found, &verdict, &weights_only) == NUMPACK_OK);
    CHECK(verdict == NUMPACK_SCAN_DANGEROUS && weights_only == 0 && found.levels[2] > 0);
    CHECK(strncmp(found.what, "os.system", 9) == 0 && found.offset == 0);
    CHECK(numpack_scan(path, NULL, NULL, NULL, NULL) == NUMPACK_OK);
    verdict = -1;
    CHECK(numpack_scan(path, no_more, NULL, &verdict, NULL) == NUMPACK_CANCELLED && verdict == -1);
    CHECK(numpack_scan(NULL, NULL, NULL, NULL, NULL) == NUMPACK_PARAMETER);
}

/* What is wrong with a file, and what its tensors' bytes add up to. */
static int32_t count_faults(int32_t is_notice, const char *message, void *user) {
    CHECK(message[0] != 0);
    ((int *)user)[is_notice != 0]++;
    return 0;
}

static void verifying(const char *checkpoint, const char *folder) {
    uint64_t faults = 9, notices = 9;
    int heard[2] = {0, 0};
    CHECK(numpack_verify(checkpoint, count_faults, heard, &faults, &notices) == NUMPACK_OK);
    CHECK(faults == 0 && heard[0] == 0 && (uint64_t)heard[1] == notices);

    const uint64_t shape[] = {3};
    const char *name = "a";
    numpack_view view = numpack_view_of(NUMPACK_DTYPE_UINT8, 1, shape, "abc", 3);
    char path[1024];
    join(path, sizeof path, folder, "sum.pt");
    CHECK(numpack_save_torch(path, &name, &view, 1, NULL) == NUMPACK_OK);
    numpack_checkpoint *c = NULL;
    unsigned char digest[32];
    CHECK(numpack_checkpoint_open(path, NULL, &c) == NUMPACK_OK);
    CHECK(numpack_checkpoint_sha256(c, 0, digest) == NUMPACK_OK);
    /* FIPS 180's example. */
    const unsigned char abc[] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea};
    CHECK(memcmp(digest, abc, sizeof abc) == 0);
    CHECK(numpack_checkpoint_sha256(c, 1, digest) == NUMPACK_PARAMETER);
    numpack_checkpoint_free(c);

    /* One byte of it changed. */
    FILE *file = fopen(path, "r+b");
    char bytes[4096];
    size_t size = fread(bytes, 1, sizeof bytes, file), at = 0;
    while (at + 3 < size && memcmp(bytes + at, "abc", 3) != 0) {
        at++;
    }
    CHECK(fseek(file, (long)at, SEEK_SET) == 0 && fputc('A', file) == 'A' && fclose(file) == 0);
    heard[0] = heard[1] = 0;
    CHECK(numpack_verify(path, count_faults, heard, &faults, &notices) == NUMPACK_FORMAT);
    CHECK(faults == 1 && heard[0] == 1 && numpack_last_error(NULL, 0) > 20);
    CHECK(numpack_verify(folder, NULL, NULL, NULL, NULL) != NUMPACK_OK);
}

static int32_t count_differences(const char *path, const char *what, void *user) {
    CHECK(path[0] != 0 && what[0] != 0);
    ++*(int *)user;
    return 0;
}

static void exporting(const char *checkpoint, const char *folder) {
    const uint64_t shape[] = {2};
    const float data[] = {1, 2}, others[] = {1, 3};
    const char *names[] = {"a", "b"};
    numpack_view views[] = {numpack_view_of(NUMPACK_DTYPE_FLOAT32, 1, shape, data, sizeof data),
                            numpack_view_of(NUMPACK_DTYPE_FLOAT32, 1, shape, data, sizeof data)};
    char first[1024], second[1024], exported[1024];
    join(first, sizeof first, folder, "first.pt");
    join(second, sizeof second, folder, "second.pt");
    CHECK(numpack_save_torch(first, names, views, 2, NULL) == NUMPACK_OK);
    views[1].data = others;
    CHECK(numpack_save_torch(second, names, views, 2, NULL) == NUMPACK_OK);

    const char *const suffixes[] = {"out.safetensors", "out.npz"};
    for (int i = 0; i < 2; i++) {
        uint64_t tensors = 0, bytes = 0;
        join(exported, sizeof exported, folder, suffixes[i]);
        CHECK(numpack_export_file(first, exported, NULL, &tensors, &bytes) == NUMPACK_OK);
        CHECK(tensors == 2 && bytes == 16);
        numpack_checkpoint *a = NULL, *b = NULL, *c = NULL;
        CHECK(numpack_checkpoint_open(first, NULL, &a) == NUMPACK_OK);
        CHECK(numpack_checkpoint_open(exported, NULL, &b) == NUMPACK_OK);
        CHECK(numpack_checkpoint_open(second, NULL, &c) == NUMPACK_OK);
        size_t count = 9;
        int called = 0;
        CHECK(numpack_diff(a, b, 10, count_differences, &called, &count) == NUMPACK_OK);
        CHECK(count == 0 && called == 0);
        CHECK(numpack_diff(c, b, 10, count_differences, &called, &count) == NUMPACK_OK);
        CHECK(count == 1 && called == 1);
        CHECK(numpack_diff(a, NULL, 10, NULL, NULL, &count) == NUMPACK_PARAMETER && count == 1);
        numpack_checkpoint_free(a);
        numpack_checkpoint_free(b);
        numpack_checkpoint_free(c);
    }
    numpack_export_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.existing = NUMPACK_EXISTING_REFUSE;
    CHECK(numpack_export_file(first, exported, &options, NULL, NULL) == NUMPACK_EXISTS);
    options.existing = NUMPACK_EXISTING_DEFAULT;
    options.array_names = names;
    options.array_count = 1;
    uint64_t tensors = 0;
    CHECK(numpack_export_file(first, exported, &options, &tensors, NULL) == NUMPACK_OK);
    CHECK(tensors == 1);
    options.array_names = NULL;
    options.array_count = 0;
    options.key = "nothing";
    CHECK(numpack_export_file(first, exported, &options, NULL, NULL) == NUMPACK_PARAMETER);
    join(exported, sizeof exported, folder, "out.what");
    CHECK(numpack_export_file(checkpoint, exported, NULL, NULL, NULL) == NUMPACK_PARAMETER);
}

int main(int argc, char **argv) {
    numpack_checkpoint *checkpoint = NULL;
    numpack_checkpoint_options options = {0};
    char path[512];
    if (argc != 3) {
        return 2;
    }
    options.struct_size = sizeof options;
    options.crc = NUMPACK_CRC_WARN;
    CHECK(numpack_checkpoint_open(argv[1], &options, &checkpoint) == NUMPACK_OK);
    listing(checkpoint);
    reading(checkpoint);
    walking(checkpoint);
    writing(argv[2]);

    /* The same calls on a store that holds the same. */
    numpack_checkpoint *store = NULL;
    join(path, sizeof path, argv[2], "checkpoint.npk");
    CHECK(numpack_from_torch_file(argv[1], path, NULL, NULL, NULL) == NUMPACK_OK);
    CHECK(numpack_checkpoint_open(path, NULL, &store) == NUMPACK_OK);
    CHECK(numpack_checkpoint_count(store) == 44);
    for (size_t i = 0; i < 44; i++) {
        uint64_t size = 0, other = 1;
        uint8_t *a = read_all(checkpoint, i, &size), *b = read_all(store, i, &other);
        CHECK(size == other && memcmp(a, b, (size_t)size) == 0);
        free(a);
        free(b);
    }
    const void *data = NULL;
    CHECK(numpack_checkpoint_map(store, 0, &data, NULL) == NUMPACK_UNSUPPORTED);
    numpack_checkpoint_free(store);

    numpack_checkpoint *again = numpack_checkpoint_retain(checkpoint);
    numpack_checkpoint_free(checkpoint);
    CHECK(numpack_checkpoint_count(again) == 44);
    numpack_checkpoint_free(again);
    numpack_checkpoint_free(NULL);
    CHECK(numpack_checkpoint_retain(NULL) == NULL);

    checkpoint = NULL;
    options.crc = 9;
    CHECK(numpack_checkpoint_open(argv[1], &options, &checkpoint) == NUMPACK_PARAMETER);
    CHECK(numpack_checkpoint_open(argv[1], NULL, NULL) == NUMPACK_PARAMETER);
    CHECK(numpack_checkpoint_open(NULL, NULL, &checkpoint) == NUMPACK_PARAMETER);
    CHECK(numpack_checkpoint_open("no/such/file", NULL, &checkpoint) == NUMPACK_IO);
    join(path, sizeof path, argv[2], "other.pt");
    FILE *file = fopen(path, "wb");
    CHECK(file && fputs("GGUF and more", file) >= 0 && fclose(file) == 0);
    CHECK(numpack_checkpoint_open(path, NULL, &checkpoint) == NUMPACK_UNSUPPORTED);
    CHECK(checkpoint == NULL);
    scanning(argv[1], argv[2]);
    exporting(argv[1], argv[2]);
    verifying(argv[1], argv[2]);
    return finish();
}
