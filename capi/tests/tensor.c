/* Tensors in memory: who shares, who copies, what is refused. Usage: tensor CHECKPOINT FOLDER */
#include "check.h"



/* The structs as dlpack.h 1.1 describes them. */
typedef struct {
    void *data;
    struct {
        int32_t device_type, device_id;
    } device;
    int32_t ndim;
    struct {
        uint8_t code, bits;
        uint16_t lanes;
    } dtype;
    int64_t *shape, *strides;
    uint64_t byte_offset;
} dl_tensor;

struct DLManagedTensor {
    dl_tensor tensor;
    void *manager_ctx;
    void (*deleter)(struct DLManagedTensor *);
};

struct DLManagedTensorVersioned {
    struct {
        uint32_t major, minor;
    } version;
    void *manager_ctx;
    void (*deleter)(struct DLManagedTensorVersioned *);
    uint64_t flags;
    dl_tensor tensor;
};

/* Counts how often memory was given back. */
static void released(void *user) {
    ++*(int *)user;
}

static numpack_tensor_layout layout_of(const numpack_tensor *tensor) {
    numpack_tensor_layout layout;
    memset(&layout, 0, sizeof layout);
    layout.struct_size = sizeof layout;
    CHECK(numpack_tensor_get_layout(tensor, &layout) == NUMPACK_OK);
    return layout;
}

static int shares(const numpack_tensor *a, const numpack_tensor *b) {
    int32_t same = -1;
    CHECK(numpack_tensor_shares(a, b, &same) == NUMPACK_OK);
    return same;
}

static int is_shared(const numpack_tensor *tensor) {
    int32_t shared = -1;
    CHECK(numpack_tensor_is_shared(tensor, &shared) == NUMPACK_OK);
    return shared;
}

/* Whether the elements of a float tensor are these, in C order. */
static int floats_are(const numpack_tensor *tensor, const float *expected, size_t count) {
    float values[64];
    return numpack_tensor_read(tensor, values, count * sizeof *values) == NUMPACK_OK &&
           memcmp(values, expected, count * sizeof *values) == 0;
}

static int says(const char *end) {
    char text[512];
    size_t length = numpack_last_error(text, sizeof text);
    return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

static numpack_array_interface array_of(void *data, const char *typestr, uint32_t ndim,
                                        const uint64_t *shape, const int64_t *strides) {
    numpack_array_interface array;
    memset(&array, 0, sizeof array);
    array.struct_size = sizeof array;
    array.data = data;
    array.typestr = typestr;
    array.ndim = ndim;
    array.shape = shape;
    array.strides = strides;
    return array;
}

/* from_numpy shares; both sides see changes; the memory stays until the last view is freed. */
static void sharing(void) {
    float data[] = {1, 2, 3, 4, 5, 6};
    const uint64_t shape[] = {2, 3};
    int count = 0;
    numpack_array_interface array = array_of(data, "<f4", 2, shape, NULL);
    numpack_tensor *t = NULL, *row = NULL, *same = NULL;
    CHECK(numpack_tensor_from_numpy(&array, released, &count, &t) == NUMPACK_OK);
    numpack_tensor_layout layout = layout_of(t);
    CHECK(layout.data == data && layout.dtype == NUMPACK_DTYPE_FLOAT32);
    CHECK(layout.ndim == 2 && layout.shape[1] == 3 && layout.strides[0] == 3);
    CHECK(layout.contiguous && !layout.read_only && !layout.requires_grad && !layout.on_device);
    CHECK(layout.numel == 6 && layout.nbytes == 24 && layout.offset == 0);

    data[0] = 99;
    CHECK(floats_are(t, data, 6));
    const int64_t last[] = {-1, -1};
    numpack_scalar seven = numpack_scalar_int(7);
    CHECK(numpack_tensor_set(t, 2, last, &seven) == NUMPACK_OK && data[5] == 7);

    CHECK(numpack_tensor_select(t, 0, 1, &row) == NUMPACK_OK);
    same = numpack_tensor_retain(row);
    CHECK(same == row && shares(row, t));
    numpack_tensor_free(t);
    numpack_tensor_free(row);
    CHECK(count == 0);
    numpack_scalar half = numpack_scalar_float(0.5);
    CHECK(numpack_tensor_fill(same, &half) == NUMPACK_OK);
    CHECK(data[2] == 3 && data[3] == 0.5f && data[5] == 0.5f);
    numpack_tensor_free(same);
    CHECK(count == 1);
}

/* What from_numpy refuses, with what to do; as_tensor copies it, tensor always copies. */
static void refusals(void) {
    double data[] = {1, 2, 3, 4};
    const uint64_t four[] = {4};
    const int64_t back[] = {-8}, odd[] = {12};
    int count = 0;
    numpack_tensor *t = NULL;
    numpack_array_interface plain = array_of(data, "<f8", 1, four, NULL);
    numpack_array_interface read_only = plain, swapped = plain, misaligned = plain;
    read_only.read_only = 1;
    swapped.typestr = ">f8";
    misaligned.data = (char *)data + 4;
    const uint64_t two[] = {2};
    misaligned.shape = two;
    numpack_array_interface reversed = array_of(data + 3, "<f8", 1, four, back);
    numpack_array_interface uneven = array_of(data, "<f8", 1, two, odd);
    const numpack_array_interface *refused[] = {&read_only, &swapped, &misaligned, &reversed,
                                                &uneven};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        CHECK(numpack_tensor_from_numpy(refused[i], released, &count, &t) == NUMPACK_SHARING);
        CHECK(says("; copy it with tensor(), or let as_tensor() choose"));
        CHECK(t == NULL && count == 0);
        CHECK(numpack_tensor_as_tensor(refused[i], -1, released, &count, &t) == NUMPACK_OK);
        CHECK(count == 1);
        numpack_tensor_layout layout = layout_of(t);
        CHECK(layout.data != refused[i]->data && layout.contiguous && !layout.read_only);
        numpack_tensor_free(t);
        t = NULL;
        count = 0;
    }
    const char *const others[] = {"|O", "<U5", "|S3", "<M8[ns]", "|V2", "f", ""};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        numpack_array_interface other = plain;
        other.typestr = others[i];
        CHECK(numpack_tensor_from_numpy(&other, released, &count, &t) == NUMPACK_TYPE);
        CHECK(numpack_tensor_as_tensor(&other, -1, released, &count, &t) == NUMPACK_TYPE);
        CHECK(numpack_tensor_copy_numpy(&other, -1, 0, &t) == NUMPACK_TYPE);
    }
    CHECK(t == NULL && count == 0);

    /* as_tensor shares where it can, and copies for another type. */
    CHECK(numpack_tensor_as_tensor(&plain, NUMPACK_DTYPE_FLOAT64, released, &count, &t) ==
          NUMPACK_OK);
    CHECK(layout_of(t).data == data && count == 0);
    numpack_tensor_free(t);
    CHECK(count == 1);
    CHECK(numpack_tensor_as_tensor(&plain, NUMPACK_DTYPE_FLOAT32, released, &count, &t) ==
          NUMPACK_OK);
    const float singles[] = {1, 2, 3, 4};
    data[0] = 5;
    CHECK(count == 2 && floats_are(t, singles, 4));
    numpack_tensor_free(t);

    /* tensor is independent. */
    CHECK(numpack_tensor_copy_numpy(&plain, -1, 1, &t) == NUMPACK_OK);
    data[0] = 6;
    const int64_t first[] = {0};
    numpack_scalar value;
    value.struct_size = sizeof value;
    CHECK(numpack_tensor_get(t, 1, first, &value) == NUMPACK_OK);
    CHECK(value.kind == NUMPACK_SCALAR_FLOAT && value.real == 5);
    numpack_tensor_layout layout = layout_of(t);
    CHECK(layout.dtype == NUMPACK_DTYPE_FLOAT64 && layout.requires_grad);

    /* What requires grad is no array until it is detached. */
    numpack_array_interface out;
    memset(&out, 0, sizeof out);
    out.struct_size = sizeof out;
    CHECK(numpack_tensor_numpy(t, &out) == NUMPACK_SHARING && says("; call .detach() first"));
    CHECK(out.data == NULL);
    struct DLManagedTensorVersioned *managed = NULL;
    CHECK(numpack_tensor_to_dlpack(t, 0, &managed) == NUMPACK_SHARING && managed == NULL);
    numpack_tensor *detached = NULL;
    CHECK(numpack_tensor_detach(t, &detached) == NUMPACK_OK && shares(t, detached));
    CHECK(numpack_tensor_numpy(detached, &out) == NUMPACK_OK);
    CHECK(out.data == layout.data && strcmp(out.typestr, "<f8") == 0 && out.strides[0] == 8);
    numpack_tensor_free(detached);
    numpack_tensor_free(t);
}

/* Views show the same memory, copies have their own. */
static void views(void) {
    const uint64_t shape[] = {2, 3};
    const float data[] = {0, 1, 2, 3, 4, 5};
    numpack_view view = numpack_view_of(NUMPACK_DTYPE_FLOAT32, 2, shape, data, sizeof data);
    numpack_tensor *t = NULL, *v = NULL, *w = NULL;
    CHECK(numpack_tensor_copy(&view, &t) == NUMPACK_OK);

    CHECK(numpack_tensor_transpose(t, 0, 1, &v) == NUMPACK_OK);
    const float turned[] = {0, 3, 1, 4, 2, 5};
    CHECK(floats_are(v, turned, 6) && shares(t, v) && !layout_of(v).contiguous);
    const int64_t flat[] = {-1};
    CHECK(numpack_tensor_view(v, 1, flat, &w) == NUMPACK_PARAMETER && says("use reshape"));
    CHECK(numpack_tensor_reshape(v, 1, flat, &w) == NUMPACK_OK && !shares(v, w));
    CHECK(floats_are(w, turned, 6));
    numpack_tensor_free(w);
    CHECK(numpack_tensor_contiguous(v, &w) == NUMPACK_OK && layout_of(w).contiguous);
    CHECK(!shares(v, w));
    numpack_tensor_free(w);
    numpack_tensor_free(v);

    CHECK(numpack_tensor_view(t, 1, flat, &v) == NUMPACK_OK && shares(t, v));
    CHECK(numpack_tensor_slice(v, 0, 1, NUMPACK_SLICE_END, 2, &w) == NUMPACK_OK);
    const float odd[] = {1, 3, 5};
    CHECK(floats_are(w, odd, 3));
    numpack_tensor_free(w);
    CHECK(numpack_tensor_narrow(v, 0, 4, 2, &w) == NUMPACK_OK && floats_are(w, data + 4, 2));
    numpack_tensor_free(w);
    CHECK(numpack_tensor_narrow(v, 0, UINT64_MAX, 2, &w) == NUMPACK_PARAMETER);
    CHECK(numpack_tensor_unsqueeze(v, 0, &w) == NUMPACK_OK && layout_of(w).ndim == 2);
    numpack_tensor_free(v);
    const int64_t sizes[] = {3, -1};
    CHECK(numpack_tensor_expand(w, 2, sizes, &v) == NUMPACK_OK);
    numpack_tensor_layout layout = layout_of(v);
    CHECK(layout.shape[0] == 3 && layout.strides[0] == 0 && layout.numel == 18);
    numpack_scalar one = numpack_scalar_bool(1);
    CHECK(numpack_tensor_fill(v, &one) == NUMPACK_PARAMETER);
    numpack_tensor_free(v);
    CHECK(numpack_tensor_squeeze(w, 0, &v) == NUMPACK_OK && layout_of(v).ndim == 1);
    numpack_tensor_free(v);
    CHECK(numpack_tensor_squeeze_all(w, &v) == NUMPACK_OK && layout_of(v).ndim == 1);
    numpack_tensor_free(v);
    numpack_tensor_free(w);

    const int64_t order[] = {1, 0}, twice[] = {0, 0};
    CHECK(numpack_tensor_permute(t, 2, order, &v) == NUMPACK_OK && floats_are(v, turned, 6));
    CHECK(numpack_tensor_flatten(v, 0, -1, &w) == NUMPACK_OK && floats_are(w, turned, 6));
    numpack_tensor_free(w);
    numpack_tensor_free(v);
    CHECK(numpack_tensor_permute(t, 2, twice, &v) == NUMPACK_PARAMETER);
    CHECK(numpack_tensor_permute(t, UINT32_MAX, order, &v) == NUMPACK_PARAMETER);

    CHECK(numpack_tensor_clone(t, &v) == NUMPACK_OK && !shares(t, v));
    CHECK(!is_shared(v) && numpack_tensor_detach(v, &w) == NUMPACK_OK && is_shared(v));
    numpack_tensor_free(w);
    CHECK(!is_shared(v));
    numpack_scalar nine = numpack_scalar_float(9.75);
    CHECK(numpack_tensor_fill(t, &nine) == NUMPACK_OK && floats_are(v, data, 6));
    CHECK(numpack_tensor_to_dtype(t, NUMPACK_DTYPE_INT8, &w) == NUMPACK_OK);
    int8_t bytes[6];
    CHECK(numpack_tensor_read(w, bytes, 6) == NUMPACK_OK && bytes[5] == 9);
    CHECK(numpack_tensor_read(w, bytes, 5) == NUMPACK_PARAMETER);
    CHECK(numpack_tensor_write(w, "abcdef", 6) == NUMPACK_OK);
    CHECK(numpack_tensor_copy_from(t, w) == NUMPACK_OK);
    const float letters[] = {97, 98, 99, 100, 101, 102};
    CHECK(floats_are(t, letters, 6));
    numpack_scalar many = numpack_scalar_int(128);
    CHECK(numpack_tensor_fill(w, &many) == NUMPACK_PARAMETER);
    numpack_tensor_free(w);
    CHECK(numpack_tensor_require_grad(v, 1, &w) == NUMPACK_OK && shares(v, w));
    CHECK(layout_of(w).requires_grad && !layout_of(v).requires_grad);
    numpack_tensor_free(w);
    w = NULL;
    CHECK(numpack_tensor_to_dtype(t, NUMPACK_DTYPE_QINT8, &w) == NUMPACK_TYPE && w == NULL);
    CHECK(numpack_tensor_cpu(t, &w) == NUMPACK_OK && shares(t, w));
    numpack_tensor_free(w);
    numpack_tensor_free(v);
    numpack_tensor_free(t);
}

/* New tensors, of every type, and single elements. */
static void values(void) {
    const uint64_t none[] = {3, 0}, huge[] = {UINT64_MAX / 4, 1}, too_huge[] = {UINT64_MAX, 3};
    numpack_tensor *t = NULL;
    for (int32_t dtype = 0; dtype <= 50; dtype++) {
        if (numpack_dtype_size(dtype) == 0) {
            continue;
        }
        int32_t status = numpack_tensor_zeros(dtype, 2, none, &t);
        CHECK(status == NUMPACK_OK || status == NUMPACK_TYPE);
        if (status == NUMPACK_OK) {
            numpack_tensor_layout layout = layout_of(t);
            CHECK(layout.dtype == dtype && layout.numel == 0 && layout.contiguous);
            numpack_tensor_free(t);
            CHECK(numpack_tensor_zeros(dtype, 0, NULL, &t) == NUMPACK_OK);
            CHECK((uintptr_t)layout_of(t).data % 64 == 0);
            numpack_tensor_free(t);
        }
    }
    CHECK(numpack_tensor_zeros(-1, 0, NULL, &t) == NUMPACK_PARAMETER);
    CHECK(numpack_tensor_zeros(NUMPACK_DTYPE_INT8, 2, huge, &t) == NUMPACK_OUT_OF_MEMORY);
    CHECK(numpack_tensor_zeros(NUMPACK_DTYPE_INT8, 2, too_huge, &t) == NUMPACK_PARAMETER);
    CHECK(numpack_tensor_zeros(NUMPACK_DTYPE_INT8, 2, NULL, &t) == NUMPACK_PARAMETER);

    numpack_scalar most = numpack_scalar_uint(UINT64_MAX), found;
    found.struct_size = sizeof found;
    CHECK(numpack_tensor_full(NUMPACK_DTYPE_UINT64, 0, NULL, &most, &t) == NUMPACK_OK);
    CHECK(numpack_tensor_get(t, 0, NULL, &found) == NUMPACK_OK);
    CHECK(found.kind == NUMPACK_SCALAR_UINT && (uint64_t)found.integer == UINT64_MAX);
    numpack_scalar five = numpack_scalar_int(5);
    CHECK(numpack_tensor_set(t, 0, NULL, &five) == NUMPACK_OK);
    CHECK(numpack_tensor_get(t, 0, NULL, &found) == NUMPACK_OK && found.integer == 5);
    five.kind = 99;
    CHECK(numpack_tensor_set(t, 0, NULL, &five) == NUMPACK_PARAMETER);
    numpack_tensor_free(t);

    const uint64_t two[] = {2};
    numpack_scalar pair = numpack_scalar_complex(1, -2);
    CHECK(numpack_tensor_full(NUMPACK_DTYPE_COMPLEX64, 1, two, &pair, &t) == NUMPACK_OK);
    CHECK(numpack_tensor_get(t, 0, NULL, &found) == NUMPACK_PARAMETER);
    const int64_t one[] = {1}, two_of_two[] = {2};
    CHECK(numpack_tensor_get(t, 1, one, &found) == NUMPACK_OK);
    CHECK(found.kind == NUMPACK_SCALAR_COMPLEX && found.real == 1 && found.imaginary == -2);
    CHECK(numpack_tensor_get(t, 1, two_of_two, &found) == NUMPACK_PARAMETER);
    numpack_tensor_free(t);
}

/* Memory of any type, read-only too, is shared by view. */
static void memory(void) {
    uint16_t data[] = {0x3f80, 0x4000, 0x4040};
    const uint64_t shape[] = {3};
    const int64_t back[] = {-2};
    int count = 0;
    numpack_view view = numpack_view_of(NUMPACK_DTYPE_BFLOAT16, 1, shape, data, sizeof data);
    view.strides = back;
    view.offset = 4;
    numpack_tensor *t = NULL, *wide = NULL;
    CHECK(numpack_tensor_share(&view, 1, released, &count, &t) == NUMPACK_OK);
    CHECK(numpack_tensor_to_dtype(t, NUMPACK_DTYPE_FLOAT32, &wide) == NUMPACK_OK);
    const float expected[] = {3, 2, 1};
    CHECK(floats_are(wide, expected, 3));
    numpack_scalar zero = numpack_scalar_int(0);
    CHECK(numpack_tensor_fill(t, &zero) == NUMPACK_SHARING && says("clone it, and write to the copy"));
    CHECK(layout_of(t).read_only && data[0] == 0x3f80);
    numpack_array_interface out;
    out.struct_size = sizeof out;
    CHECK(numpack_tensor_numpy(t, &out) == NUMPACK_TYPE && says("to float32 for instance"));
    numpack_tensor_free(wide);
    numpack_tensor_free(t);
    CHECK(count == 1);
    view.offset = 0;
    t = NULL;
    CHECK(numpack_tensor_share(&view, 0, released, &count, &t) == NUMPACK_PARAMETER);
    CHECK(t == NULL && count == 1);
    CHECK(numpack_tensor_share(&view, 0, NULL, NULL, NULL) == NUMPACK_PARAMETER);
}

/* DLPack: the structs, and to ourselves by both of them. */
static void dlpack(void) {
    int64_t data[] = {1, 2, 3};
    const uint64_t shape[] = {3};
    int count = 0;
    numpack_array_interface array = array_of(data, "<i8", 1, shape, NULL);
    numpack_tensor *t = NULL, *taken = NULL;
    struct DLManagedTensorVersioned *managed = NULL;
    struct DLManagedTensor *legacy = NULL;
    CHECK(numpack_tensor_from_numpy(&array, released, &count, &t) == NUMPACK_OK);
    CHECK(!is_shared(t) && numpack_tensor_to_dlpack(t, 0, &managed) == NUMPACK_OK && is_shared(t));
    CHECK(numpack_tensor_to_dlpack_legacy(t, 1, &legacy) == NUMPACK_OK);
    CHECK(sizeof(dl_tensor) == 48 && sizeof *legacy == 64 && sizeof *managed == 80);
    CHECK(managed->version.major == 1 && managed->version.minor == 1 && managed->flags == 0);
    const dl_tensor *given[] = {&managed->tensor, &legacy->tensor};
    for (int i = 0; i < 2; i++) {
        CHECK(given[i]->device.device_type == 1 && given[i]->device.device_id == 0);
        CHECK(given[i]->ndim == 1 && given[i]->shape[0] == 3 && given[i]->strides[0] == 1);
        CHECK(given[i]->dtype.code == 0 && given[i]->dtype.bits == 64);
        CHECK(given[i]->dtype.lanes == 1 && given[i]->byte_offset == 0);
    }
    CHECK(managed->tensor.data == data && legacy->tensor.data != data);
    CHECK(((int64_t *)legacy->tensor.data)[2] == 3);

    /* A consumer that drops it at once, and read-only memory. */
    struct DLManagedTensorVersioned *dropped = NULL;
    CHECK(numpack_tensor_to_dlpack(t, 1, &dropped) == NUMPACK_OK && dropped->flags == 2);
    dropped->deleter(dropped);
    numpack_view lent = numpack_view_of(NUMPACK_DTYPE_INT64, 1, shape, data, sizeof data);
    numpack_tensor *fixed = NULL;
    CHECK(numpack_tensor_share(&lent, 1, NULL, NULL, &fixed) == NUMPACK_OK);
    CHECK(numpack_tensor_to_dlpack(fixed, 0, &dropped) == NUMPACK_OK && dropped->flags == 1);
    numpack_tensor_free(fixed);
    CHECK(numpack_tensor_from_dlpack(dropped, &fixed) == NUMPACK_OK);
    CHECK(layout_of(fixed).read_only);
    struct DLManagedTensor *no = NULL;
    CHECK(numpack_tensor_to_dlpack_legacy(fixed, 0, &no) == NUMPACK_SHARING && no == NULL);
    numpack_tensor_free(fixed);
    numpack_tensor_free(t);
    CHECK(numpack_tensor_from_dlpack(managed, &taken) == NUMPACK_OK);
    CHECK(layout_of(taken).data == data && count == 0);
    numpack_tensor_free(taken);
    CHECK(count == 1);
    CHECK(numpack_tensor_from_dlpack_legacy(legacy, &taken) == NUMPACK_OK);
    CHECK(layout_of(taken).data != data && layout_of(taken).numel == 3);
    numpack_tensor_free(taken);
    CHECK(numpack_tensor_from_dlpack(NULL, &taken) == NUMPACK_PARAMETER);
    CHECK(numpack_tensor_from_dlpack_legacy(NULL, &taken) == NUMPACK_PARAMETER);
}

/* From a file into memory and back into one. */
static void files(const char *checkpoint, const char *folder) {
    char path[1024];
    numpack_checkpoint *c = NULL;
    CHECK(numpack_checkpoint_open(checkpoint, NULL, &c) == NUMPACK_OK);
    size_t count = numpack_checkpoint_count(c);
    CHECK(count > 3);
    numpack_tensor *tensors[64];
    const char *names[64];
    numpack_view views[64];
    size_t kept = 0;
    for (size_t i = 0; i < count && i < 64; i++) {
        numpack_tensor_info info;
        info.struct_size = sizeof info;
        CHECK(numpack_checkpoint_get_info(c, i, &info) == NUMPACK_OK);
        CHECK(numpack_checkpoint_load(c, i, &tensors[kept]) == NUMPACK_OK);
        numpack_tensor_layout layout = layout_of(tensors[kept]);
        CHECK(layout.dtype == info.dtype && layout.nbytes == info.nbytes && !layout.read_only);
        CHECK(layout.contiguous && layout.requires_grad == info.requires_grad);
        void *bytes = malloc(info.nbytes + 1);
        CHECK(numpack_checkpoint_read(c, i, bytes, info.nbytes) == NUMPACK_OK);
        CHECK(memcmp(bytes, layout.data, info.nbytes) == 0);

        numpack_tensor *mapped = NULL;
        CHECK(numpack_checkpoint_load_mapped(c, i, &mapped) == NUMPACK_OK);
        CHECK(layout_of(mapped).read_only);
        void *again = malloc(info.nbytes + 1);
        CHECK(numpack_tensor_read(mapped, again, info.nbytes) == NUMPACK_OK);
        CHECK(memcmp(bytes, again, info.nbytes) == 0);
        numpack_tensor_free(mapped);
        free(again);
        free(bytes);
        views[kept].struct_size = sizeof views[kept];
        CHECK(numpack_tensor_get_view(tensors[kept], &views[kept]) == NUMPACK_OK);
        names[kept++] = info.name;
    }
    CHECK(numpack_checkpoint_load(c, count, &tensors[kept]) == NUMPACK_PARAMETER);

    /* All at once: those of one storage in the file share memory here. */
    numpack_tensor **all = calloc(count + 1, sizeof *all);
    CHECK(numpack_checkpoint_load_all(c, all, count + 1) == NUMPACK_PARAMETER && all[0] == NULL);
    CHECK(numpack_checkpoint_load_all(c, all, count) == NUMPACK_OK);
    size_t sharing = 0;
    for (size_t i = 0; i < count; i++) {
        numpack_tensor_info info, other;
        info.struct_size = other.struct_size = sizeof info;
        CHECK(numpack_checkpoint_get_info(c, i, &info) == NUMPACK_OK);
        void *bytes = malloc(info.nbytes + 1), *there = malloc(info.nbytes + 1);
        CHECK(numpack_checkpoint_read(c, i, bytes, info.nbytes) == NUMPACK_OK);
        CHECK(numpack_tensor_read(all[i], there, info.nbytes) == NUMPACK_OK);
        CHECK(memcmp(bytes, there, info.nbytes) == 0);
        free(bytes);
        free(there);
        for (size_t k = 0; k < i; k++) {
            int32_t same = 0;
            CHECK(numpack_checkpoint_get_info(c, k, &other) == NUMPACK_OK);
            CHECK(numpack_tensor_shares(all[i], all[k], &same) == NUMPACK_OK);
            CHECK(same == (info.storage == other.storage));
            sharing += (size_t)same;
        }
    }
    CHECK(sharing > 0);
    for (size_t i = 0; i < count; i++) {
        numpack_tensor_free(all[i]);
    }
    free(all);

    join(path, sizeof path, folder, "again.pt");
    CHECK(numpack_save_torch(path, names, views, kept, NULL) == NUMPACK_OK);
    numpack_checkpoint *again = NULL;
    CHECK(numpack_checkpoint_open(path, NULL, &again) == NUMPACK_OK);
    for (size_t i = 0; i < kept; i++) {
        size_t at = count;
        CHECK(numpack_checkpoint_find(again, names[i], &at) == NUMPACK_OK);
        numpack_tensor *loaded = NULL;
        CHECK(numpack_checkpoint_load(again, at, &loaded) == NUMPACK_OK);
        numpack_tensor_layout a = layout_of(tensors[i]), b = layout_of(loaded);
        CHECK(a.nbytes == b.nbytes && memcmp(a.data, b.data, a.nbytes) == 0);
        /* It outlives the file's handle. */
        numpack_tensor_free(tensors[i]);
        tensors[i] = loaded;
    }
    numpack_checkpoint_free(again);
    numpack_checkpoint_free(c);
    for (size_t i = 0; i < kept; i++) {
        CHECK(layout_of(tensors[i]).data != NULL);
        numpack_tensor_free(tensors[i]);
    }

    /* Tensors that share memory do so in a file; a store takes types that it lacks, too. */
    const uint64_t two[] = {2};
    const uint16_t brains[] = {0x3f80, 0xc040};
    numpack_view pair = numpack_view_of(NUMPACK_DTYPE_BFLOAT16, 1, two, brains, sizeof brains);
    numpack_tensor *both[2];
    const char *both_names[] = {"all", "last"};
    CHECK(numpack_tensor_copy(&pair, &both[0]) == NUMPACK_OK);
    CHECK(numpack_tensor_narrow(both[0], 0, 1, 1, &both[1]) == NUMPACK_OK);
    const numpack_tensor *const handles[] = {both[0], both[1]};
    for (int i = 0; i < 2; i++) {
        join(path, sizeof path, folder, i == 0 ? "both.pt" : "both.npk");
        CHECK((i == 0 ? numpack_save_tensors(path, both_names, handles, 2, NULL)
                      : numpack_from_torch(both_names, handles, 2, path, 0)) == NUMPACK_OK);
        CHECK(numpack_checkpoint_open(path, NULL, &again) == NUMPACK_OK);
        numpack_tensor_info a, b;
        a.struct_size = b.struct_size = sizeof a;
        CHECK(numpack_checkpoint_get_info(again, 0, &a) == NUMPACK_OK);
        CHECK(numpack_checkpoint_get_info(again, 1, &b) == NUMPACK_OK);
        CHECK(a.dtype == NUMPACK_DTYPE_BFLOAT16 && a.storage == b.storage && b.offset == 1);
        uint16_t value = 0;
        CHECK(numpack_checkpoint_read(again, 1, &value, sizeof value) == NUMPACK_OK);
        CHECK(value == brains[1]);
        numpack_checkpoint_free(again);
    }
    CHECK(numpack_from_torch(both_names, handles, 2, path, NUMPACK_EXISTING_REFUSE) ==
          NUMPACK_EXISTS);
    join(path, sizeof path, folder, "both.pt");
    CHECK(numpack_save_tensors(path, both_names, handles, 2, NULL) == NUMPACK_EXISTS);
    CHECK(numpack_save_tensors(path, both_names, NULL, 2, NULL) == NUMPACK_PARAMETER);
    numpack_tensor_free(both[0]);
    numpack_tensor_free(both[1]);

    /* A view of a tensor, into a store. */
    const uint64_t shape[] = {2, 3};
    const uint8_t bytes[] = {1, 2, 3, 4, 5, 6}, turned[] = {1, 4, 2, 5, 3, 6};
    numpack_view view = numpack_view_of(NUMPACK_DTYPE_UINT8, 2, shape, bytes, sizeof bytes);
    numpack_tensor *t = NULL, *v = NULL;
    CHECK(numpack_tensor_copy(&view, &t) == NUMPACK_OK);
    CHECK(numpack_tensor_transpose(t, 0, 1, &v) == NUMPACK_OK);
    CHECK(numpack_tensor_get_view(v, &view) == NUMPACK_OK);
    numpack_store *store = NULL;
    const char *name = "turned";
    join(path, sizeof path, folder, "tensor.npk");
    CHECK(numpack_store_create(path, NULL, &store) == NUMPACK_OK);
    CHECK(numpack_store_save(store, &name, &view, 1) == NUMPACK_OK);
    CHECK(holds(store, name, turned, sizeof turned));
    numpack_array *array = NULL;
    numpack_tensor *loaded = NULL;
    CHECK(numpack_array_open(store, name, &array) == NUMPACK_OK);
    CHECK(numpack_array_load(array, &loaded) == NUMPACK_OK);
    numpack_array_free(array);
    CHECK(layout_of(loaded).dtype == NUMPACK_DTYPE_UINT8 && layout_of(loaded).shape[0] == 3);
    CHECK(memcmp(layout_of(loaded).data, turned, sizeof turned) == 0);
    numpack_tensor_free(loaded);
    numpack_store_free(store);
    numpack_tensor_free(v);
    numpack_tensor_free(t);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        return 2;
    }
    sharing();
    refusals();
    views();
    values();
    memory();
    dlpack();
    files(argv[1], argv[2]);
    return finish();
}
