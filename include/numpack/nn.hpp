/* Tensors that compute, with gradients. */

#ifndef NUMPACK_NN_HPP
#define NUMPACK_NN_HPP

#include "device.hpp"
#include "dtype.hpp"
#include "handle.hpp"
#include "span.hpp"
#include "tensor.hpp"

NUMPACK_BEGIN
namespace nn {

/* Functions of each element; numpack.h says more of each. */
enum class unary : std::int32_t {
    neg = NUMPACK_NN_NEG,
    abs = NUMPACK_NN_ABS,
    exp = NUMPACK_NN_EXP,
    log = NUMPACK_NN_LOG,
    sqrt = NUMPACK_NN_SQRT,
    rsqrt = NUMPACK_NN_RSQRT,
    reciprocal = NUMPACK_NN_RECIPROCAL,
    square = NUMPACK_NN_SQUARE,
    sin = NUMPACK_NN_SIN,
    cos = NUMPACK_NN_COS,
    tanh = NUMPACK_NN_TANH,
    sigmoid = NUMPACK_NN_SIGMOID,
    relu = NUMPACK_NN_RELU,
    gelu = NUMPACK_NN_GELU,
    gelu_tanh = NUMPACK_NN_GELU_TANH,
    silu = NUMPACK_NN_SILU,
    logical_not = NUMPACK_NN_LOGICAL_NOT
};

/* Functions of each two elements. */
enum class binary : std::int32_t {
    add = NUMPACK_NN_ADD,
    sub = NUMPACK_NN_SUB,
    mul = NUMPACK_NN_MUL,
    div = NUMPACK_NN_DIV,
    pow = NUMPACK_NN_POW,
    maximum = NUMPACK_NN_MAXIMUM,
    minimum = NUMPACK_NN_MINIMUM,
    eq = NUMPACK_NN_EQ,
    ne = NUMPACK_NN_NE,
    lt = NUMPACK_NN_LT,
    le = NUMPACK_NN_LE,
    gt = NUMPACK_NN_GT,
    ge = NUMPACK_NN_GE,
    logical_and = NUMPACK_NN_LOGICAL_AND,
    logical_or = NUMPACK_NN_LOGICAL_OR,
    logical_xor = NUMPACK_NN_LOGICAL_XOR
};

/* One element of many. */
enum class reduce : std::int32_t {
    sum = NUMPACK_NN_SUM,
    mean = NUMPACK_NN_MEAN,
    amax = NUMPACK_NN_AMAX,
    amin = NUMPACK_NN_AMIN,
    argmax = NUMPACK_NN_ARGMAX,
    argmin = NUMPACK_NN_ARGMIN
};

/* Losses of two tensors of one shape. */
enum class loss : std::int32_t {
    mse = NUMPACK_NN_MSE,
    l1 = NUMPACK_NN_L1,
    bce_with_logits = NUMPACK_NN_BCE_WITH_LOGITS
};

/* What becomes of the losses of a batch. */
enum class reduction : std::int32_t {
    mean = NUMPACK_NN_REDUCTION_MEAN,
    sum = NUMPACK_NN_REDUCTION_SUM,
    none = NUMPACK_NN_REDUCTION_NONE
};

/* Begins the random numbers of the whole process anew. */
inline void manual_seed(std::uint64_t seed) noexcept { numpack_nn_manual_seed(seed); }

/* While it lives, what its thread computes wants no gradients. Of several the last one goes first. */
class no_grad {
  public:
    no_grad() noexcept { numpack_nn_set_grad_enabled(0, &before_); }
    ~no_grad() { numpack_nn_set_grad_enabled(before_, nullptr); }
    no_grad(const no_grad &) = delete;
    no_grad &operator=(const no_grad &) = delete;

  private:
    std::int32_t before_ = 1;
};

class tensor;

/* How a cross entropy is computed. */
struct cross_entropy_options {
    nn::reduction reduction = nn::reduction::mean;
    /* A weight for each class; null: 1 for each. */
    const tensor *weight = nullptr;
    /* A target index that counts for nothing. */
    std::int64_t ignore_index = -100;
    double label_smoothing = 0;
};

/* A tensor that computes, on the host or on a device; names and rules are PyTorch's. A copy is the
 * same tensor, `clone` has memory of its own. Any thread.
 *
 * Functions of elements throw, as operators do; without exceptions, `try_compute` is each of them.
 * Errors of all: `status::type`, `parameter`, `index`, `sharing` for tensors on two devices and for
 * what gradients forbid, `out_of_memory`, `device`. */
class tensor : public detail::shared_handle<numpack_nn_tensor, numpack_nn_tensor_retain,
                                            numpack_nn_tensor_free> {
  public:
    using shared_handle::shared_handle;

    /* == Made, on a device, or the host for an empty one ====================================== */

    /* Of a tensor in memory: a device's is the same memory, the host's is copied. */
    static result<tensor> try_from(const numpack::tensor &memory) {
        return detail::make<tensor>(numpack_nn_tensor_from_tensor, memory.c());
    }
    /* A copy of elements, in C order, on the host. */
    template <class R>
    static result<tensor> try_copy(const R &elements, shape_argument shape) {
        auto memory = numpack::tensor::try_copy(elements, shape);
        if (!memory) {
            return memory.failure();
        }
        return try_from(*memory);
    }
    static result<tensor> try_full(numpack::dtype type, shape_argument shape, scalar value,
                                   const device &where = {}) {
        return detail::make<tensor>(numpack_nn_tensor_full, static_cast<std::int32_t>(type),
                                    shape.size(), shape.data(), &value.c(), where.c());
    }
    /* Uniform numbers from 0 up to before 1. */
    static result<tensor> try_rand(shape_argument shape, const device &where = {},
                                   numpack::dtype type = numpack::dtype::float32) {
        return random(NUMPACK_NN_UNIFORM, shape, where, type);
    }
    /* Normal numbers of mean 0 and deviation 1. */
    static result<tensor> try_randn(shape_argument shape, const device &where = {},
                                    numpack::dtype type = numpack::dtype::float32) {
        return random(NUMPACK_NN_NORMAL, shape, where, type);
    }
    /* 0 to `end` - 1, of int64. */
    static result<tensor> try_arange(std::uint64_t end, const device &where = {}) {
        return detail::make<tensor>(numpack_nn_tensor_arange, end, where.c());
    }

    /* == Described, read, moved =============================================================== */

    tensor share() const { return *this; }
    /* All zero of an empty tensor, but for its type, which is none. */
    numpack_nn_tensor_info info() const noexcept {
        numpack_nn_tensor_info info{};
        info.struct_size = static_cast<std::uint32_t>(sizeof info);
        info.dtype = static_cast<std::int32_t>(numpack::dtype::none);
        numpack_nn_tensor_get_info(c(), &info);
        return info;
    }
    numpack::dtype dtype() const noexcept { return static_cast<numpack::dtype>(info().dtype); }
    span<const std::uint64_t> shape() const noexcept {
        const numpack_nn_tensor_info found = info();
        return {found.shape, found.ndim};
    }
    std::size_t ndim() const noexcept { return info().ndim; }
    std::uint64_t numel() const noexcept { return info().numel; }
    bool on_device() const noexcept { return info().on_device != 0; }
    bool requires_grad() const noexcept { return info().requires_grad != 0; }
    bool is_leaf() const noexcept { return info().is_leaf != 0; }

    /* Copies all elements in C order into `out`, which has their size; waits for a device. */
    template <class R>
    result<void> try_read(R &&out) const {
        auto memory = detail::elements(out);
        if (auto fit = detail::fits<detail::element_of<R>>(dtype()); !fit) {
            return fit;
        }
        return detail::call(numpack_nn_tensor_read, c(), memory.data(), memory.size_bytes());
    }
    template <class T>
    result<std::vector<T>> try_to_vector() const {
        std::vector<T> out(static_cast<std::size_t>(info().nbytes) / sizeof(T));
        auto done = try_read(out);
        if (!done) {
            return done.failure();
        }
        return out;
    }
    /* The only element. */
    result<double> try_item() const { return detail::ask<double>(numpack_nn_tensor_item, c()); }
    /* The elements in memory, to share, view and save. */
    result<numpack::tensor> try_to_tensor() const {
        return detail::make<numpack::tensor>(numpack_nn_tensor_to_tensor, c());
    }
    /* There, or on the host for an empty device; gradients come back. */
    result<tensor> try_to(const device &there) const {
        return detail::make<tensor>(numpack_nn_tensor_to_device, c(), there.c());
    }
    result<tensor> try_to(numpack::dtype type) const {
        return detail::make<tensor>(numpack_nn_tensor_to_dtype, c(),
                                    static_cast<std::int32_t>(type));
    }

    /* == Gradients, and changes in place ====================================================== */

    result<void> try_require_grad(bool requires_grad = true) const {
        return detail::call(numpack_nn_tensor_require_grad, c(),
                            static_cast<std::int32_t>(requires_grad));
    }
    /* Empty where there is none. */
    result<tensor> try_grad() const { return detail::make<tensor>(numpack_nn_tensor_grad, c()); }
    /* An empty one takes it away. */
    result<void> try_set_grad(const tensor &grad) const {
        return detail::call(numpack_nn_tensor_set_grad, c(), grad.c());
    }
    result<tensor> try_detach() const {
        return detail::make<tensor>(numpack_nn_tensor_detach, c());
    }
    /* With the gradient of this tensor; an empty one is 1, of one element. */
    result<void> try_backward(const tensor &grad, bool retain_graph = false) const {
        return detail::call(numpack_nn_tensor_backward, c(), grad.c(),
                            static_cast<std::int32_t>(retain_graph));
    }
    result<void> try_backward() const { return try_backward(tensor()); }
    result<void> try_copy_from(const tensor &from) const {
        return detail::call(numpack_nn_tensor_copy_from, c(), from.c());
    }
    /* Takes the elements of memory that it was made of, if they are others now; whether they were. */
    result<bool> try_refresh(const numpack::tensor &from) const {
        auto changed =
            detail::ask<std::int32_t>(numpack_nn_tensor_refresh, c(), from.c());
        if (!changed) {
            return changed.failure();
        }
        return *changed != 0;
    }
    /* Copies the elements into memory of the same type and shape. */
    result<void> try_write_to(const numpack::tensor &to) const {
        return detail::call(numpack_nn_tensor_write_to, c(), to.c());
    }
    /* The elements of another of its shape, of any type and device, take the place of its own. */
    result<void> try_set_data(const tensor &from) const {
        return detail::call(numpack_nn_tensor_set_data, c(), from.c());
    }
    result<void> try_fill(scalar value) const {
        return detail::call(numpack_nn_tensor_fill, c(), &value.c());
    }

    /* == What is computed of elements ========================================================= */

    result<tensor> try_compute(unary op) const {
        return detail::make<tensor>(numpack_nn_tensor_unary, c(), static_cast<std::int32_t>(op));
    }
    result<tensor> try_compute(binary op, const tensor &other) const {
        return detail::make<tensor>(numpack_nn_tensor_binary, c(), static_cast<std::int32_t>(op),
                                    other.c());
    }
    /* Of two tensors in memory that do not require grad. */
    static result<tensor> try_compute(const numpack::tensor &one, binary op,
                                      const numpack::tensor &other) {
        return detail::make<tensor>(numpack_nn_tensor_binary_in_memory, one.c(),
                                    static_cast<std::int32_t>(op), other.c());
    }
    /* With a number, which comes first if `reversed`. */
    result<tensor> try_compute(binary op, scalar other, bool reversed = false) const {
        return detail::make<tensor>(numpack_nn_tensor_binary_scalar, c(),
                                    static_cast<std::int32_t>(op), &other.c(),
                                    static_cast<std::int32_t>(reversed));
    }
    /* Along dimensions, or of all elements for none. */
    result<tensor> try_compute(reduce op, index_argument dims = {}, bool keepdim = false) const {
        return detail::make<tensor>(numpack_nn_tensor_reduce, c(), static_cast<std::int32_t>(op),
                                    dims.size(), dims.data(), static_cast<std::int32_t>(keepdim));
    }
    result<tensor> try_compute(nn::loss kind, const tensor &target,
                               nn::reduction reduction = nn::reduction::mean) const {
        return detail::make<tensor>(numpack_nn_tensor_loss, c(), static_cast<std::int32_t>(kind),
                                    target.c(), static_cast<std::int32_t>(reduction));
    }
    result<tensor> try_var(index_argument dims = {}, double correction = 1,
                           bool keepdim = false) const {
        return detail::make<tensor>(numpack_nn_tensor_var, c(), dims.size(), dims.data(),
                                    correction, static_cast<std::int32_t>(keepdim));
    }
    /* This where the condition is true, else the other. */
    result<tensor> try_where(const tensor &condition, const tensor &other) const {
        return detail::make<tensor>(numpack_nn_tensor_where, c(), condition.c(), other.c());
    }
    result<tensor> try_clamp(std::optional<double> min, std::optional<double> max) const {
        return detail::make<tensor>(numpack_nn_tensor_clamp, c(), min ? &*min : nullptr,
                                    max ? &*max : nullptr);
    }
    result<tensor> try_matmul(const tensor &other) const {
        return detail::make<tensor>(numpack_nn_tensor_matmul, c(), other.c());
    }
    /* An empty bias is none, nor is an empty weight of norms, below. */
    result<tensor> try_linear(const tensor &weight, const tensor &bias) const {
        return detail::make<tensor>(numpack_nn_tensor_linear, c(), weight.c(), bias.c());
    }
    /* And a function of each element of its result, such as `unary::relu`, in one. */
    result<tensor> try_linear(const tensor &weight, const tensor &bias, unary activation) const {
        return detail::make<tensor>(numpack_nn_tensor_linear_activation, c(), weight.c(), bias.c(),
                                    static_cast<std::int32_t>(activation));
    }
    result<tensor> try_softmax(std::int64_t dim) const {
        return detail::make<tensor>(numpack_nn_tensor_softmax, c(), dim, std::int32_t(0));
    }
    result<tensor> try_log_softmax(std::int64_t dim) const {
        return detail::make<tensor>(numpack_nn_tensor_softmax, c(), dim, std::int32_t(1));
    }
    result<tensor> try_layer_norm(shape_argument shape, const tensor &weight, const tensor &bias,
                                  double eps = 1e-5) const {
        return detail::make<tensor>(numpack_nn_tensor_layer_norm, c(), shape.size(), shape.data(),
                                    weight.c(), bias.c(), eps);
    }
    result<tensor> try_rms_norm(shape_argument shape, const tensor &weight,
                                std::optional<double> eps = {}) const {
        return detail::make<tensor>(numpack_nn_tensor_rms_norm, c(), shape.size(), shape.data(),
                                    weight.c(), eps ? &*eps : nullptr);
    }
    result<tensor> try_dropout(double p) const {
        return detail::make<tensor>(numpack_nn_tensor_dropout, c(), p);
    }
    result<tensor> try_cross_entropy(const tensor &target,
                                     const cross_entropy_options &options = {}) const {
        return entropy(numpack_nn_tensor_cross_entropy, target, options);
    }
    result<tensor> try_nll_loss(const tensor &target,
                                const cross_entropy_options &options = {}) const {
        return entropy(numpack_nn_tensor_nll_loss, target, options);
    }

    /* == Views, joining, picking ============================================================== */

    result<tensor> try_select(std::int64_t dim, std::int64_t index) const {
        return detail::make<tensor>(numpack_nn_tensor_select, c(), dim, index);
    }
    /* From or to the end, in place of a slice's `start` or `stop`. */
    static constexpr std::int64_t end = NUMPACK_SLICE_END;
    result<tensor> try_slice(std::int64_t dim, std::int64_t start, std::int64_t stop,
                             std::int64_t step = 1) const {
        return detail::make<tensor>(numpack_nn_tensor_slice, c(), dim, start, stop, step);
    }
    result<tensor> try_narrow(std::int64_t dim, std::uint64_t start, std::uint64_t length) const {
        return detail::make<tensor>(numpack_nn_tensor_narrow, c(), dim, start, length);
    }
    result<tensor> try_transpose(std::int64_t a, std::int64_t b) const {
        return detail::make<tensor>(numpack_nn_tensor_transpose, c(), a, b);
    }
    result<tensor> try_permute(index_argument dims) const {
        return detail::make<tensor>(numpack_nn_tensor_permute, c(), dims.size(), dims.data());
    }
    result<tensor> try_squeeze(std::int64_t dim) const {
        return detail::make<tensor>(numpack_nn_tensor_squeeze, c(), dim);
    }
    result<tensor> try_unsqueeze(std::int64_t dim) const {
        return detail::make<tensor>(numpack_nn_tensor_unsqueeze, c(), dim);
    }
    result<tensor> try_expand(index_argument sizes) const {
        return detail::make<tensor>(numpack_nn_tensor_expand, c(), sizes.size(), sizes.data());
    }
    result<tensor> try_reshape(index_argument sizes) const {
        return detail::make<tensor>(numpack_nn_tensor_reshape, c(), sizes.size(), sizes.data());
    }
    result<tensor> try_flatten(std::int64_t first = 0, std::int64_t last = -1) const {
        return detail::make<tensor>(numpack_nn_tensor_flatten, c(), first, last);
    }
    result<tensor> try_contiguous() const {
        return detail::make<tensor>(numpack_nn_tensor_contiguous, c());
    }
    result<tensor> try_clone() const { return detail::make<tensor>(numpack_nn_tensor_clone, c()); }
    static result<tensor> try_cat(const std::vector<tensor> &tensors, std::int64_t dim = 0) {
        const auto all = borrow(tensors);
        return detail::make<tensor>(numpack_nn_tensor_cat, all.data(), all.size(), dim);
    }
    static result<tensor> try_stack(const std::vector<tensor> &tensors, std::int64_t dim = 0) {
        const auto all = borrow(tensors);
        return detail::make<tensor>(numpack_nn_tensor_stack, all.data(), all.size(), dim);
    }
    result<tensor> try_index_select(std::int64_t dim, const tensor &index) const {
        return detail::make<tensor>(numpack_nn_tensor_index_select, c(), dim, index.c());
    }
    result<tensor> try_gather(std::int64_t dim, const tensor &index) const {
        return detail::make<tensor>(numpack_nn_tensor_gather, c(), dim, index.c());
    }
    /* The rows of this matrix that the index names; the row `padding_idx` has no gradient. */
    result<tensor> try_embedding(const tensor &index, std::int64_t padding_idx = -1) const {
        return detail::make<tensor>(numpack_nn_tensor_embedding, c(), index.c(), padding_idx);
    }

    /* The handles of several, borrowed. */
    static std::vector<const numpack_nn_tensor *> borrow(const std::vector<tensor> &tensors) {
        std::vector<const numpack_nn_tensor *> all;
        for (const tensor &one : tensors) {
            all.push_back(one.c());
        }
        return all;
    }

#if NUMPACK_EXCEPTIONS
    /* == The same, which throw ================================================================ */

    static tensor from(const numpack::tensor &memory) { return try_from(memory).value(); }
    template <class R>
    static tensor copy(const R &elements, shape_argument shape) {
        return try_copy(elements, shape).value();
    }
    static tensor full(numpack::dtype type, shape_argument shape, scalar value,
                       const device &where = {}) {
        return try_full(type, shape, value, where).value();
    }
    static tensor rand(shape_argument shape, const device &where = {},
                       numpack::dtype type = numpack::dtype::float32) {
        return try_rand(shape, where, type).value();
    }
    static tensor randn(shape_argument shape, const device &where = {},
                        numpack::dtype type = numpack::dtype::float32) {
        return try_randn(shape, where, type).value();
    }
    static tensor arange(std::uint64_t end, const device &where = {}) {
        return try_arange(end, where).value();
    }

    template <class R>
    void read(R &&out) const {
        try_read(out).value();
    }
    template <class T>
    std::vector<T> to_vector() const {
        return try_to_vector<T>().value();
    }
    double item() const { return try_item().value(); }
    numpack::tensor to_tensor() const { return try_to_tensor().value(); }
    tensor to(const device &there) const { return try_to(there).value(); }
    tensor to(numpack::dtype type) const { return try_to(type).value(); }
    tensor cpu() const { return try_to(device()).value(); }

    /* Of this leaf, which comes back. */
    const tensor &require_grad(bool requires_grad = true) const {
        try_require_grad(requires_grad).value();
        return *this;
    }
    tensor grad() const { return try_grad().value(); }
    void set_grad(const tensor &grad) const { try_set_grad(grad).value(); }
    void zero_grad() const { try_set_grad(tensor()).value(); }
    tensor detach() const { return try_detach().value(); }
    void backward() const { try_backward().value(); }
    void backward(const tensor &grad, bool retain_graph = false) const {
        try_backward(grad, retain_graph).value();
    }
    void copy_from(const tensor &from) const { try_copy_from(from).value(); }
    void fill(scalar value) const { try_fill(value).value(); }
    bool refresh(const numpack::tensor &from) const { return try_refresh(from).value(); }
    void write_to(const numpack::tensor &to) const { try_write_to(to).value(); }
    void set_data(const tensor &from) const { try_set_data(from).value(); }

    tensor neg() const { return try_compute(unary::neg).value(); }
    tensor abs() const { return try_compute(unary::abs).value(); }
    tensor exp() const { return try_compute(unary::exp).value(); }
    tensor log() const { return try_compute(unary::log).value(); }
    tensor sqrt() const { return try_compute(unary::sqrt).value(); }
    tensor rsqrt() const { return try_compute(unary::rsqrt).value(); }
    tensor reciprocal() const { return try_compute(unary::reciprocal).value(); }
    tensor square() const { return try_compute(unary::square).value(); }
    tensor sin() const { return try_compute(unary::sin).value(); }
    tensor cos() const { return try_compute(unary::cos).value(); }
    tensor tanh() const { return try_compute(unary::tanh).value(); }
    tensor sigmoid() const { return try_compute(unary::sigmoid).value(); }
    tensor relu() const { return try_compute(unary::relu).value(); }
    tensor gelu() const { return try_compute(unary::gelu).value(); }
    tensor silu() const { return try_compute(unary::silu).value(); }
    tensor logical_not() const { return try_compute(unary::logical_not).value(); }

    /* Of a tensor or a number. */
    template <class T> tensor pow(const T &other) const { return with(binary::pow, other); }
    template <class T> tensor maximum(const T &other) const { return with(binary::maximum, other); }
    template <class T> tensor minimum(const T &other) const { return with(binary::minimum, other); }
    template <class T> tensor eq(const T &other) const { return with(binary::eq, other); }
    template <class T> tensor ne(const T &other) const { return with(binary::ne, other); }
    template <class T> tensor lt(const T &other) const { return with(binary::lt, other); }
    template <class T> tensor le(const T &other) const { return with(binary::le, other); }
    template <class T> tensor gt(const T &other) const { return with(binary::gt, other); }
    template <class T> tensor ge(const T &other) const { return with(binary::ge, other); }
    tensor logical_and(const tensor &other) const { return with(binary::logical_and, other); }
    tensor logical_or(const tensor &other) const { return with(binary::logical_or, other); }
    tensor logical_xor(const tensor &other) const { return with(binary::logical_xor, other); }

    friend tensor operator-(const tensor &a) { return a.neg(); }
    friend tensor operator+(const tensor &a, const tensor &b) { return a.with(binary::add, b); }
    friend tensor operator+(const tensor &a, scalar b) { return a.with(binary::add, b); }
    friend tensor operator+(scalar a, const tensor &b) { return b.with(binary::add, a, true); }
    friend tensor operator-(const tensor &a, const tensor &b) { return a.with(binary::sub, b); }
    friend tensor operator-(const tensor &a, scalar b) { return a.with(binary::sub, b); }
    friend tensor operator-(scalar a, const tensor &b) { return b.with(binary::sub, a, true); }
    friend tensor operator*(const tensor &a, const tensor &b) { return a.with(binary::mul, b); }
    friend tensor operator*(const tensor &a, scalar b) { return a.with(binary::mul, b); }
    friend tensor operator*(scalar a, const tensor &b) { return b.with(binary::mul, a, true); }
    friend tensor operator/(const tensor &a, const tensor &b) { return a.with(binary::div, b); }
    friend tensor operator/(const tensor &a, scalar b) { return a.with(binary::div, b); }
    friend tensor operator/(scalar a, const tensor &b) { return b.with(binary::div, a, true); }

    tensor sum(index_argument dims = {}, bool keepdim = false) const {
        return try_compute(reduce::sum, dims, keepdim).value();
    }
    tensor mean(index_argument dims = {}, bool keepdim = false) const {
        return try_compute(reduce::mean, dims, keepdim).value();
    }
    tensor amax(index_argument dims = {}, bool keepdim = false) const {
        return try_compute(reduce::amax, dims, keepdim).value();
    }
    tensor amin(index_argument dims = {}, bool keepdim = false) const {
        return try_compute(reduce::amin, dims, keepdim).value();
    }
    /* Along one dimension, or among all elements for none. */
    tensor argmax(index_argument dim = {}, bool keepdim = false) const {
        return try_compute(reduce::argmax, dim, keepdim).value();
    }
    tensor argmin(index_argument dim = {}, bool keepdim = false) const {
        return try_compute(reduce::argmin, dim, keepdim).value();
    }
    tensor var(index_argument dims = {}, double correction = 1, bool keepdim = false) const {
        return try_var(dims, correction, keepdim).value();
    }
    tensor where(const tensor &condition, const tensor &other) const {
        return try_where(condition, other).value();
    }
    tensor clamp(std::optional<double> min, std::optional<double> max) const {
        return try_clamp(min, max).value();
    }
    tensor matmul(const tensor &other) const { return try_matmul(other).value(); }
    tensor linear(const tensor &weight, const tensor &bias) const {
        return try_linear(weight, bias).value();
    }
    tensor linear(const tensor &weight, const tensor &bias, unary activation) const {
        return try_linear(weight, bias, activation).value();
    }
    tensor softmax(std::int64_t dim) const { return try_softmax(dim).value(); }
    tensor log_softmax(std::int64_t dim) const { return try_log_softmax(dim).value(); }
    tensor layer_norm(shape_argument shape, const tensor &weight, const tensor &bias,
                      double eps = 1e-5) const {
        return try_layer_norm(shape, weight, bias, eps).value();
    }
    tensor rms_norm(shape_argument shape, const tensor &weight,
                    std::optional<double> eps = {}) const {
        return try_rms_norm(shape, weight, eps).value();
    }
    tensor dropout(double p) const { return try_dropout(p).value(); }
    tensor cross_entropy(const tensor &target, const cross_entropy_options &options = {}) const {
        return try_cross_entropy(target, options).value();
    }
    tensor nll_loss(const tensor &target, const cross_entropy_options &options = {}) const {
        return try_nll_loss(target, options).value();
    }
    tensor mse_loss(const tensor &target, nn::reduction reduction = nn::reduction::mean) const {
        return try_compute(loss::mse, target, reduction).value();
    }
    tensor l1_loss(const tensor &target, nn::reduction reduction = nn::reduction::mean) const {
        return try_compute(loss::l1, target, reduction).value();
    }

    tensor select(std::int64_t dim, std::int64_t index) const {
        return try_select(dim, index).value();
    }
    tensor slice(std::int64_t dim, std::int64_t start, std::int64_t stop,
                 std::int64_t step = 1) const {
        return try_slice(dim, start, stop, step).value();
    }
    tensor narrow(std::int64_t dim, std::uint64_t start, std::uint64_t length) const {
        return try_narrow(dim, start, length).value();
    }
    tensor transpose(std::int64_t a, std::int64_t b) const { return try_transpose(a, b).value(); }
    tensor permute(index_argument dims) const { return try_permute(dims).value(); }
    tensor squeeze(std::int64_t dim) const { return try_squeeze(dim).value(); }
    tensor unsqueeze(std::int64_t dim) const { return try_unsqueeze(dim).value(); }
    tensor expand(index_argument sizes) const { return try_expand(sizes).value(); }
    tensor reshape(index_argument sizes) const { return try_reshape(sizes).value(); }
    tensor flatten(std::int64_t first = 0, std::int64_t last = -1) const {
        return try_flatten(first, last).value();
    }
    tensor contiguous() const { return try_contiguous().value(); }
    tensor clone() const { return try_clone().value(); }
    static tensor cat(const std::vector<tensor> &tensors, std::int64_t dim = 0) {
        return try_cat(tensors, dim).value();
    }
    static tensor stack(const std::vector<tensor> &tensors, std::int64_t dim = 0) {
        return try_stack(tensors, dim).value();
    }
    tensor index_select(std::int64_t dim, const tensor &index) const {
        return try_index_select(dim, index).value();
    }
    tensor gather(std::int64_t dim, const tensor &index) const {
        return try_gather(dim, index).value();
    }
    tensor embedding(const tensor &index, std::int64_t padding_idx = -1) const {
        return try_embedding(index, padding_idx).value();
    }

  private:
    template <class T>
    tensor with(binary op, const T &other) const {
        return try_compute(op, other).value();
    }
    tensor with(binary op, scalar other, bool reversed) const {
        return try_compute(op, other, reversed).value();
    }
#endif

  private:
    static result<tensor> random(std::int32_t distribution, shape_argument shape,
                                 const device &where, numpack::dtype type) {
        return detail::make<tensor>(numpack_nn_tensor_random, distribution,
                                    static_cast<std::int32_t>(type), shape.size(), shape.data(),
                                    where.c());
    }

    template <class F>
    result<tensor> entropy(F function, const tensor &target,
                           const cross_entropy_options &options) const {
        numpack_nn_cross_entropy_options given{};
        given.struct_size = static_cast<std::uint32_t>(sizeof given);
        given.reduction = static_cast<std::int32_t>(options.reduction);
        given.weight = options.weight == nullptr ? nullptr : options.weight->c();
        given.ignore_index = &options.ignore_index;
        given.label_smoothing = options.label_smoothing;
        return detail::make<tensor>(function, c(), target.c(), &given);
    }
};

} // namespace nn
NUMPACK_END

#endif /* NUMPACK_NN_HPP */
