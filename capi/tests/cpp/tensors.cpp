/* Tensors in memory: made, viewed, converted, their elements. */
#include "parts.hpp"

#include "check.hpp"

#include <cmath>

using numpack::dtype;
using numpack::scalar;
using numpack::status;
using numpack::tensor;

static_assert(numpack::dtype_of<bool>() == dtype::bool_);
static_assert(numpack::dtype_of<std::uint8_t>() == dtype::uint8);
static_assert(numpack::dtype_of<const std::int16_t>() == dtype::int16);
static_assert(numpack::dtype_of<long long>() == dtype::int64);
static_assert(numpack::dtype_of<unsigned long>() == dtype::uint64);
static_assert(numpack::dtype_of<double>() == dtype::float64);
static_assert(numpack::dtype_of<std::complex<float>>() == dtype::complex64);
static_assert(!std::is_constructible_v<numpack::array_view, std::string>);
static_assert(!std::is_copy_constructible_v<numpack::writer>);
static_assert(!std::is_copy_constructible_v<numpack::rows_mut>);
static_assert(std::is_nothrow_move_constructible_v<tensor>);

static tensor counted() {
    return tensor::copy(std::vector<std::int32_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, {3, 4});
}

static void made() {
    CHECK(numpack::name(dtype::bfloat16) == "bfloat16" && numpack::size(dtype::complex128) == 16);
    CHECK(numpack::name(dtype::none).empty() && numpack::size(dtype::none) == 0);
    const tensor zeros = tensor::zeros(dtype::float64, {2, 3});
    CHECK(zeros.dtype() == dtype::float64 && equal(zeros.shape(), {2, 3}));
    CHECK(equal(zeros.strides(), {3, 1}) && zeros.ndim() == 2 && zeros.numel() == 6);
    CHECK(zeros.is_contiguous() && zeros.layout().nbytes == 48 && !zeros.layout().read_only);
    CHECK(zeros.to_vector<double>() == std::vector<double>(6));
    const tensor full = tensor::full(dtype::uint8, {2}, 200);
    CHECK((full.to_vector<std::uint8_t>() == std::vector<std::uint8_t>{200, 200}));
    CHECK(thrown_by([] { tensor::full(dtype::uint8, {2}, 256); }) == status::parameter);
    CHECK(thrown_by([] { tensor::zeros(dtype::qint8, {2}); }) == status::type);
    CHECK(thrown_by([] { tensor::zeros(dtype::none, {}); }) == status::parameter);
    CHECK(thrown_by([] { tensor::zeros(dtype::int8, {1ull << 62}); }) == status::out_of_memory);
    const tensor one = tensor::full(dtype::bfloat16, {}, 1.5);
    CHECK(one.item<float>() == 1.5f && one.ndim() == 0 && one.numel() == 1);

    const tensor empty;
    CHECK(!empty && empty.dtype() == dtype::none && empty.shape().empty() && empty.numel() == 0);
    CHECK(thrown_by([&] { empty.clone(); }) == status::parameter);
    CHECK(thrown_by([&] { empty.data<float>(); }) == status::parameter);
    CHECK(!empty.shares_memory(one));
}

static void viewed() {
    const tensor t = counted();
    using ints = std::vector<std::int32_t>;
    CHECK((t.select(0, -1).to_vector<std::int32_t>() == ints{8, 9, 10, 11}));
    CHECK((t.slice(1, 1, tensor::end, 2).to_vector<std::int32_t>() == ints{1, 3, 5, 7, 9, 11}));
    CHECK((t.narrow(0, 1, 1).to_vector<std::int32_t>() == ints{4, 5, 6, 7}));
    const tensor turned = t.transpose(0, 1);
    CHECK(equal(turned.shape(), {4, 3}) && equal(turned.strides(), {1, 4}));
    CHECK(t.is_shared() && turned.shares_memory(t) && turned.permute({1, 0}).is_contiguous());
    CHECK(equal(t.unsqueeze(-1).shape(), {3, 4, 1}) && t.unsqueeze(0).squeeze().ndim() == 2);
    CHECK(t.unsqueeze(0).unsqueeze(0).squeeze(0).ndim() == 3);
    CHECK(equal(t.view({2, -1}).shape(), {2, 6}) && equal(t.flatten().shape(), {12}));
    const tensor wide = t.select(1, 0).view({3, 1}).expand({-1, 2});
    CHECK((wide.to_vector<std::int32_t>() == ints{0, 0, 4, 4, 8, 8}));
    const tensor copied = turned.reshape({12});
    CHECK(!copied.shares_memory(t) && copied.get<int>({1}) == 4);
    CHECK(turned.contiguous().shares_memory(t) == false && t.contiguous().shares_memory(t));
    CHECK(!t.clone().shares_memory(t) && t.cpu().shares_memory(t));
    CHECK(thrown_by([&] { turned.view({12}); }) == status::parameter);
    CHECK(thrown_by([&] { t.select(2, 0); }) == status::parameter);
    CHECK(thrown_by([&] { t.view({5, -1}); }) == status::parameter);

    CHECK(thrown_by([&] { t.require_grad(); }) == status::type);
    const tensor floats = t.to(dtype::float32), wished = floats.require_grad();
    CHECK(wished.requires_grad() && !floats.requires_grad() && !wished.detach().requires_grad());
    CHECK(wished.shares_memory(floats) && floats.to(dtype::float32).shares_memory(floats));
    CHECK(thrown_by([&] { wished.numpy(); }) == status::sharing);
}

static void elements() {
    tensor t = counted();
    CHECK(t.get<std::int64_t>({1, -1}) == 7 && t.get<double>({2, 0}) == 8.0);
    CHECK((t.get<std::complex<float>>({2, 1}) == std::complex<float>(9)));
    CHECK(thrown_by([&] { (void)t.get({3, 0}); }) == status::parameter);
    CHECK(thrown_by([&] { (void)t.get({0}); }) == status::parameter);
    CHECK(thrown_by([&] { t.item<int>(); }) == status::parameter);
    CHECK(thrown_by([&] { t.get<bool>({0, 1}); }) == status::type);
    t.set({0, 0}, -300);
    CHECK(t.get<std::int16_t>({0, 0}) == -300);
    CHECK(thrown_by([&] { t.get<std::int8_t>({0, 0}); }) == status::parameter);
    CHECK(thrown_by([&] { t.get<std::uint64_t>({0, 0}); }) == status::parameter);
    CHECK(thrown_by([&] { t.set({0, 0}, 1ll << 40); }) == status::parameter);
    t.select(0, 1).fill(5);
    CHECK(t.data<std::int32_t>()[7] == 5);
    t.copy_from(tensor::copy(std::vector<double>{1.9, 2, 3, 4}, {4}));
    CHECK(t.get<int>({0, 0}) == 1 && t.get<int>({2, 3}) == 4);
    t.write(std::vector<std::int32_t>(12, 6));
    CHECK(t.get<int>({2, 2}) == 6);
    std::vector<std::int32_t> few(11);
    CHECK(thrown_by([&] { t.read(few); }) == status::parameter);
    CHECK(thrown_by([&] { t.write(std::vector<float>(12)); }) == status::type);
    CHECK(thrown_by([&] { t.data<float>(); }) == status::type);
    CHECK(thrown_by([&] { t.transpose(0, 1).data<std::int32_t>(); }) == status::sharing);
    CHECK(t.data<std::byte>().size() == 48);

    const std::uint64_t large = ~std::uint64_t(0);
    const tensor big = tensor::full(dtype::uint64, {1}, large);
    CHECK(big.item<std::uint64_t>() == large && big.item<double>() == 18446744073709551616.0);
    CHECK(thrown_by([&] { big.item<std::int64_t>(); }) == status::parameter);
    const tensor truth = tensor::full(dtype::bool_, {1}, true);
    CHECK(truth.item<bool>() && truth.item<int>() == 1);
    const tensor both = tensor::full(dtype::complex128, {1}, std::complex<double>(1, -2));
    CHECK((both.item<std::complex<double>>() == std::complex<double>(1, -2)));
    CHECK(thrown_by([&] { both.item<double>(); }) == status::type);
    CHECK(scalar(2.5).as<float>() == 2.5f);
    CHECK(thrown_by([] { (void)scalar(2.5).as<int>(); }) == status::type);
    CHECK(scalar(std::int8_t(-128)).as<std::int8_t>() == -128);
}

void tensors() {
    made();
    viewed();
    elements();
}
