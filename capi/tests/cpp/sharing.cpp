/* Memory that is shared: with the program, as NumPy describes it, by DLPack; owners. */
#include "parts.hpp"

#include "dlpack.h"

#include "check.hpp"

using numpack::dtype;
using numpack::status;
using numpack::tensor;

static void with_the_program() {
    int released = 0;
    std::vector<float> memory = {1, 2, 3, 4, 5, 6};
    tensor view;
    {
        tensor t = tensor::share(memory, {2, 3}, witness(released));
        CHECK(t.data<float>().data() == memory.data() && t.layout().data == memory.data());
        t.set({0, 1}, 20);
        CHECK(memory[1] == 20);
        memory[2] = 30;
        CHECK(t.get<float>({0, 2}) == 30);
        view = t.select(0, 1);
    }
    CHECK(released == 0 && view.data<float>().data() == memory.data() + 3);
    const tensor again = view;
    view = {};
    CHECK(released == 0 && again.get<float>({0}) == 4);
    const_cast<tensor &>(again) = {};
    CHECK(released == 1);

    /* Memory of const elements is not written to. */
    const std::vector<double> fixed = {1, 2};
    tensor constant = tensor::share(fixed, {2});
    CHECK(constant.layout().read_only && constant.data<const double>().data() == fixed.data());
    CHECK(thrown_by([&] { constant.fill(0); }) == status::sharing);
    CHECK(thrown_by([&] { constant.data<double>(); }) == status::sharing);
    const tensor part = tensor::share(numpack::span<float>(memory.data() + 1, 2), {2});
    CHECK(part.get<float>({0}) == 20);

    /* Where it fails the owner goes at once, and once. */
    released = 0;
    CHECK(thrown_by([&] { tensor::share(memory, {7}, witness(released)); }) == status::parameter);
    CHECK(released == 1);

    std::vector<std::int64_t> given = {7, 8};
    const std::int64_t *where = given.data();
    const tensor adopted = tensor::adopt(std::move(given), {2, 1});
    CHECK(adopted.data<std::int64_t>().data() == where && adopted.get<int>({1, 0}) == 8);

    /* Every second column, by strides in bytes. */
    released = 0;
    {
        const numpack::array_view columns(dtype::float32, {2, 2}, memory, {12, 8}, 0);
        const tensor stepped = tensor::share_view(columns, false, witness(released));
        CHECK((stepped.to_vector<float>() == std::vector<float>{1, 30, 4, 6}));
        CHECK(equal(stepped.strides(), {3, 2}) && !stepped.is_contiguous());
    }
    CHECK(released == 1);
}

static void with_numpy() {
    int released = 0;
    float memory[] = {1, 2, 3, 4, 5, 6};
    const std::uint64_t shape[] = {2, 3};
    const std::int64_t fortran[] = {4, 8};
    const auto array = numpack::array_interface(memory, "<f4", shape, fortran);
    {
        tensor t = tensor::from_numpy(array, witness(released));
        CHECK(t.get<float>({1, 2}) == 6 && t.get<float>({0, 1}) == 3 && !t.is_contiguous());
        t.set({1, 0}, 20);
        CHECK(memory[1] == 20 && released == 0);
        const auto seen = t.numpy();
        CHECK(seen.data == memory && std::strcmp(seen.typestr, "<f4") == 0 && !seen.read_only);
        CHECK(seen.ndim == 2 && seen.shape[1] == 3 && seen.strides[1] == 8);
    }
    CHECK(released == 1);
    const tensor shared = tensor::as_tensor(array, dtype::none, witness(released));
    CHECK(released == 1 && shared.layout().data == memory);
    const tensor other = tensor::as_tensor(array, dtype::float64, witness(released));
    CHECK(released == 2 && other.dtype() == dtype::float64 && other.get<double>({1, 0}) == 20);
    CHECK(tensor::copy_numpy(array, dtype::float64, true).requires_grad());
    CHECK(!tensor::copy_numpy(array).shares_memory(shared));
    const auto swapped = numpack::array_interface(memory, ">f4", shape);
    CHECK(thrown_by([&] { tensor::from_numpy(swapped, witness(released)); }) == status::sharing);
    CHECK(released == 3);
    const auto words = numpack::array_interface(memory, "<U1", shape);
    CHECK(thrown_by([&] { tensor::copy_numpy(words); }) == status::type);
}

static int deleted = 0;

template <class M>
static M lent(float *memory, std::int64_t *shape) {
    M managed{};
    managed.dl_tensor.data = memory;
    managed.dl_tensor.device = {1, 0};
    managed.dl_tensor.ndim = 1;
    managed.dl_tensor.dtype = {2, 32, 1};
    managed.dl_tensor.shape = shape;
    managed.deleter = [](M *) { deleted++; };
    return managed;
}

template <class M>
static void by_dlpack(M managed) {
    auto *memory = static_cast<float *>(managed.dl_tensor.data);
    deleted = 0;
    {
        numpack::dlpack_ptr<M> pointer(&managed);
        tensor t = tensor::from_dlpack(std::move(pointer));
        CHECK(!pointer && t.layout().data == memory && equal(t.shape(), {3}));
        t.set({2}, 30);
        CHECK(memory[2] == 30 && deleted == 0);

        /* There and back: the same memory. */
        auto out = t.to_dlpack<M>();
        CHECK(out->dl_tensor.ndim == 1 && out->dl_tensor.shape[0] == 3);
        CHECK(static_cast<char *>(out->dl_tensor.data) + out->dl_tensor.byte_offset ==
              reinterpret_cast<char *>(memory));
        t = {};
        CHECK(deleted == 0);
        const tensor back = tensor::from_dlpack(std::move(out));
        CHECK(back.layout().data == memory && deleted == 0);
        auto copied = back.to_dlpack<M>(true);
        CHECK(copied->dl_tensor.data != memory);
    }
    CHECK(deleted == 1);

    /* Memory of a device is not taken: the pointer still has it. */
    managed.dl_tensor.device = {2, 0};
    {
        numpack::dlpack_ptr<M> pointer(&managed);
        CHECK(thrown_by([&] { tensor::from_dlpack(std::move(pointer)); }) == status::sharing);
        CHECK(pointer && deleted == 1);
    }
    CHECK(deleted == 2);
}

void sharing() {
    with_the_program();
    with_numpy();
    float memory[] = {1, 2, 3};
    std::int64_t shape[] = {3};
    auto versioned = lent<DLManagedTensorVersioned>(memory, shape);
    versioned.version = {1, 1};
    by_dlpack(versioned);
    by_dlpack(lent<DLManagedTensor>(memory, shape));
    const tensor wished = tensor::zeros(dtype::float32, {1}).require_grad();
    CHECK(thrown_by([&] { wished.to_dlpack(); }) == status::sharing);
    const std::vector<float> fixed = {1};
    const tensor constant = tensor::share(fixed, {1});
    CHECK(constant.to_dlpack()->flags == 1);
    CHECK(thrown_by([&] { constant.to_dlpack<DLManagedTensor>(); }) == status::sharing);
}
