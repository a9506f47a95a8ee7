/* Tensors in memory: made, shared, viewed, converted, their elements. */

#ifndef NUMPACK_TENSOR_HPP
#define NUMPACK_TENSOR_HPP

#include "dtype.hpp"
#include "handle.hpp"
#include "span.hpp"
#include "view.hpp"

NUMPACK_BEGIN

/* What is said of a tensor; numpack.h says more of each. Shape, strides and data are borrowed from
 * the tensor. Of an empty tensor there is nothing. */
struct tensor_layout {
    numpack::dtype dtype = numpack::dtype::none;
    span<const std::uint64_t> shape;
    /* In elements, also negative or 0. */
    span<const std::int64_t> strides;
    /* The first element; null on a device. */
    void *data = nullptr;
    std::uint64_t numel = 0;
    std::uint64_t nbytes = 0;
    std::uint64_t offset = 0;
    std::uint64_t storage_nbytes = 0;
    bool read_only = false;
    bool contiguous = false;
    bool requires_grad = false;
    bool on_device = false;
};

namespace detail {

/* Keeps what owns lent memory until the library gives the memory back. */
template <class Owner>
struct lender {
    Owner owner;

    static void give_back(void *self) noexcept { delete static_cast<lender *>(self); }
};

/* Calls the deleter that a struct of DLPack carries. */
struct dlpack_deleter {
    template <class M>
    void operator()(M *managed) const noexcept {
        if (managed->deleter != nullptr) {
            managed->deleter(managed);
        }
    }
};

} // namespace detail

class device;

/* Owns a DLManagedTensorVersioned or DLManagedTensor, which dlpack.h defines. */
template <class M>
using dlpack_ptr = std::unique_ptr<M, detail::dlpack_deleter>;

/* An array as NumPy describes it: where its first element is, the order, kind and size of one, such
 * as `<f4`, its shape, and its strides in bytes, null for C order. It borrows all of that. */
inline numpack_array_interface array_interface(void *data, const char *typestr,
                                               span<const std::uint64_t> shape,
                                               const std::int64_t *strides = nullptr,
                                               bool read_only = false) {
    numpack_array_interface array{};
    array.struct_size = static_cast<std::uint32_t>(sizeof array);
    array.read_only = read_only;
    array.data = data;
    array.typestr = typestr;
    array.shape = shape.data();
    array.strides = strides;
    array.ndim = static_cast<std::uint32_t>(shape.size());
    return array;
}

/* A tensor in memory, which it may share with others; the memory lives as long as any of them. A
 * copy is the same tensor, `clone` has memory of its own.
 *
 * All functions may be called from any thread at any time. One that writes while another uses the
 * same memory, or the other way round, is `status::in_use`; access through `data` is the caller's
 * to order. Errors of all: `status::parameter` for what is not there, `status::sharing` for memory
 * of a device. */
class tensor
    : public detail::shared_handle<numpack_tensor, numpack_tensor_retain, numpack_tensor_free> {
  public:
    using shared_handle::shared_handle;

    /* == Made ================================================================================= */

    /* New memory, all zero. `status::type` for a type no tensor in memory has; `out_of_memory`. */
    static result<tensor> try_zeros(numpack::dtype type, shape_argument shape) {
        return detail::make<tensor>(numpack_tensor_zeros, static_cast<std::int32_t>(type),
                                    shape.size(), shape.data());
    }
    /* New memory, all one value. `status::parameter` for a number that the type cannot hold. */
    static result<tensor> try_full(numpack::dtype type, shape_argument shape, scalar value) {
        return detail::make<tensor>(numpack_tensor_full, static_cast<std::int32_t>(type),
                                    shape.size(), shape.data(), &value.c());
    }
    /* A copy of elements, in C order. */
    static result<tensor> try_copy(const array_view &elements) {
        const numpack_view view = elements.c();
        return detail::make<tensor>(numpack_tensor_copy, &view);
    }
    template <class R>
    static result<tensor> try_copy(const R &elements, shape_argument shape) {
        return try_copy(array_view(elements, shape));
    }

    /* Shares memory that is not copied; memory of const elements is read-only. `owner` is anything
     * that keeps it: it is destroyed with the last tensor of the memory, on that thread, or at once
     * where this fails. Without one the memory must outlive all tensors of it. */
    template <class R, class Owner>
    static result<tensor> try_share(R &&memory, shape_argument shape, Owner owner) {
        static_assert(std::is_lvalue_reference_v<R> || is_span<R>::value,
                      "the memory would go at once: hand in a span, or `adopt` a vector");
        constexpr bool read_only = std::is_const_v<detail::element_of<R>>;
        return try_share_view(array_view(memory, shape), read_only, std::move(owner));
    }
    template <class R>
    static result<tensor> try_share(R &&memory, shape_argument shape) {
        return try_share(std::forward<R>(memory), shape, nullptr);
    }
    /* The same of elements of any type and strides. */
    template <class Owner>
    static result<tensor> try_share_view(const array_view &memory, bool read_only, Owner owner) {
        const numpack_view view = memory.c();
        return lend(hold(std::move(owner)), numpack_tensor_share, &view,
                    static_cast<std::int32_t>(read_only));
    }
    /* Takes a vector over, whose memory it shares. */
    template <class T>
    static result<tensor> try_adopt(std::vector<T> elements, shape_argument shape) {
        auto held = hold(std::move(elements));
        const array_view memory(held->owner, shape);
        const numpack_view view = memory.c();
        return lend(std::move(held), numpack_tensor_share, &view, std::int32_t(0));
    }

    /* Shares an array that NumPy describes, with an owner as `share` has it. `status::sharing` for
     * one that is read-only, in the other byte order, or with strides that stand against it. */
    template <class Owner>
    static result<tensor> try_from_numpy(const numpack_array_interface &array, Owner owner) {
        return lend(hold(std::move(owner)), numpack_tensor_from_numpy, &array);
    }
    /* Shares it where that is possible and `type` is the array's own or `none`; else copies it, and
     * destroys the owner before this returns. */
    template <class Owner>
    static result<tensor> try_as_tensor(const numpack_array_interface &array, numpack::dtype type,
                                        Owner owner) {
        return lend(hold(std::move(owner)), numpack_tensor_as_tensor, &array,
                    static_cast<std::int32_t>(type));
    }
    /* Copies it, always. */
    static result<tensor> try_copy_numpy(const numpack_array_interface &array,
                                         numpack::dtype type = numpack::dtype::none,
                                         bool requires_grad = false) {
        return detail::make<tensor>(numpack_tensor_copy_numpy, &array,
                                    static_cast<std::int32_t>(type),
                                    static_cast<std::int32_t>(requires_grad));
    }

    /* Takes what another library gives: `managed` is empty then, or as it was where this fails.
     * dlpack.h is to be included first. `status::sharing`, `type`. */
    template <class M>
    static result<tensor> try_from_dlpack(dlpack_ptr<M> &&managed) {
        result<tensor> taken = [&] {
            if constexpr (std::is_same_v<M, DLManagedTensorVersioned>) {
                return detail::make<tensor>(numpack_tensor_from_dlpack, managed.get());
            } else {
                return detail::make<tensor>(numpack_tensor_from_dlpack_legacy, managed.get());
            }
        }();
        if (taken) {
            managed.release();
        }
        return taken;
    }

    /* == Described ============================================================================ */

    tensor share() const { return *this; }
    tensor_layout layout() const noexcept {
        numpack_tensor_layout c_layout{};
        c_layout.struct_size = static_cast<std::uint32_t>(sizeof c_layout);
        tensor_layout layout;
        if (numpack_tensor_get_layout(c(), &c_layout) != NUMPACK_OK) {
            return layout;
        }
        layout.dtype = static_cast<numpack::dtype>(c_layout.dtype);
        layout.shape = {c_layout.shape, c_layout.ndim};
        layout.strides = {c_layout.strides, c_layout.ndim};
        layout.data = c_layout.data;
        layout.numel = c_layout.numel;
        layout.nbytes = c_layout.nbytes;
        layout.offset = c_layout.offset;
        layout.storage_nbytes = c_layout.storage_nbytes;
        layout.read_only = c_layout.read_only != 0;
        layout.contiguous = c_layout.contiguous != 0;
        layout.requires_grad = c_layout.requires_grad != 0;
        layout.on_device = c_layout.on_device != 0;
        return layout;
    }
    numpack::dtype dtype() const noexcept { return layout().dtype; }
    span<const std::uint64_t> shape() const noexcept { return layout().shape; }
    span<const std::int64_t> strides() const noexcept { return layout().strides; }
    std::size_t ndim() const noexcept { return layout().shape.size(); }
    std::uint64_t numel() const noexcept { return layout().numel; }
    bool is_contiguous() const noexcept { return layout().contiguous; }
    bool requires_grad() const noexcept { return layout().requires_grad; }

    /* Whether anybody else holds its memory: another tensor, or a library that it was given to. */
    bool is_shared() const noexcept {
        std::int32_t shared = 0;
        return numpack_tensor_is_shared(c(), &shared) == NUMPACK_OK && shared != 0;
    }
    /* Whether another tensor shows the same memory, or a part of it. */
    bool shares_memory(const tensor &other) const noexcept {
        std::int32_t same = 0;
        return numpack_tensor_shares(c(), other.c(), &same) == NUMPACK_OK && same != 0;
    }
    /* The memory as a view, for `store::save` and `save_torch`; borrowed from this tensor. */
    result<array_view> try_as_view() const {
        auto view = detail::ask_struct<numpack_view>(numpack_tensor_get_view, c());
        if (!view) {
            return view.failure();
        }
        return array_view(*view);
    }
    /* As NumPy describes an array; borrowed from this tensor, which is to live as long as the
     * array. `status::sharing` if it requires grad; `status::type`. */
    result<numpack_array_interface> try_numpy() const {
        return detail::ask_struct<numpack_array_interface>(numpack_tensor_numpy, c());
    }
    /* For another library, as a DLManagedTensorVersioned or DLManagedTensor; the memory stays until
     * its deleter is called. dlpack.h is to be included first. `status::sharing` if it requires
     * grad, and for read-only memory as a DLManagedTensor. */
    template <class M = DLManagedTensorVersioned>
    result<dlpack_ptr<M>> try_to_dlpack(bool copied = false) const {
        result<M *> managed = [&] {
            const auto copy = static_cast<std::int32_t>(copied);
            if constexpr (std::is_same_v<M, DLManagedTensorVersioned>) {
                return detail::ask<M *>(numpack_tensor_to_dlpack, c(), copy);
            } else {
                return detail::ask<M *>(numpack_tensor_to_dlpack_legacy, c(), copy);
            }
        }();
        if (!managed) {
            return managed.failure();
        }
        return dlpack_ptr<M>(*managed);
    }

    /* The elements in the memory, which lie one after another: borrowed from this tensor.
     * `status::type` for another type; `status::sharing` where they do not lie so (`contiguous`
     * helps), on a device, and for read-only memory unless T is const. */
    template <class T>
    result<span<T>> try_data() const {
        const tensor_layout layout = this->layout();
        if (!*this) {
            return failure{status::parameter, "the tensor is empty: make one first"};
        }
        if (layout.on_device) {
            return failure{status::sharing, "the tensor is on a device: copy it by `cpu`"};
        }
        if (!layout.contiguous) {
            return failure{status::sharing,
                           "the elements do not lie one after another: use `contiguous`"};
        }
        if (layout.read_only && !std::is_const_v<T>) {
            return failure{status::sharing,
                           "the memory is read-only: use const elements, or `clone`"};
        }
        return detail::as_elements<T>(layout.data, static_cast<std::size_t>(layout.nbytes),
                                      layout.dtype);
    }

    /* == Views and copies: each is a tensor of its own that shares the memory where it can ===== */

    /* One index of a dimension, which goes. Negative ones count from the end, here and below. */
    result<tensor> try_select(std::int64_t dim, std::int64_t index) const {
        return detail::make<tensor>(numpack_tensor_select, c(), dim, index);
    }
    /* In place of a slice's `start` or `stop`: from or to the end. */
    static constexpr std::int64_t end = NUMPACK_SLICE_END;
    /* Every `step`-th index of a dimension from `start` to before `stop`, as Python has it. */
    result<tensor> try_slice(std::int64_t dim, std::int64_t start, std::int64_t stop,
                             std::int64_t step = 1) const {
        return detail::make<tensor>(numpack_tensor_slice, c(), dim, start, stop, step);
    }
    result<tensor> try_narrow(std::int64_t dim, std::uint64_t start, std::uint64_t length) const {
        return detail::make<tensor>(numpack_tensor_narrow, c(), dim, start, length);
    }
    result<tensor> try_transpose(std::int64_t a, std::int64_t b) const {
        return detail::make<tensor>(numpack_tensor_transpose, c(), a, b);
    }
    result<tensor> try_permute(index_argument dims) const {
        return detail::make<tensor>(numpack_tensor_permute, c(), dims.size(), dims.data());
    }
    /* Without the dimension, or without all, of size 1. */
    result<tensor> try_squeeze(std::int64_t dim) const {
        return detail::make<tensor>(numpack_tensor_squeeze, c(), dim);
    }
    result<tensor> try_squeeze() const {
        return detail::make<tensor>(numpack_tensor_squeeze_all, c());
    }
    result<tensor> try_unsqueeze(std::int64_t dim) const {
        return detail::make<tensor>(numpack_tensor_unsqueeze, c(), dim);
    }
    /* Dimensions of size 1 become these sizes, new ones come in front, and -1 keeps a size. */
    result<tensor> try_expand(index_argument sizes) const {
        return detail::make<tensor>(numpack_tensor_expand, c(), sizes.size(), sizes.data());
    }
    /* Other sizes, of which one may be -1. `status::parameter` also where that takes a copy. */
    result<tensor> try_view(index_argument sizes) const {
        return detail::make<tensor>(numpack_tensor_view, c(), sizes.size(), sizes.data());
    }
    /* The same, but copied where that is needed. */
    result<tensor> try_reshape(index_argument sizes) const {
        return detail::make<tensor>(numpack_tensor_reshape, c(), sizes.size(), sizes.data());
    }
    /* One dimension in place of those from `first` to `last`, copied where that is needed. */
    result<tensor> try_flatten(std::int64_t first = 0, std::int64_t last = -1) const {
        return detail::make<tensor>(numpack_tensor_flatten, c(), first, last);
    }
    /* Without the wish for a gradient. */
    result<tensor> try_detach() const { return detail::make<tensor>(numpack_tensor_detach, c()); }
    /* With it, or without. This tensor stays as it is. `status::type` for integers. */
    result<tensor> try_require_grad(bool requires_grad = true) const {
        return detail::make<tensor>(numpack_tensor_require_grad, c(),
                                    static_cast<std::int32_t>(requires_grad));
    }
    /* A copy in memory of its own, in C order, writable. `status::out_of_memory`. */
    result<tensor> try_clone() const { return detail::make<tensor>(numpack_tensor_clone, c()); }
    /* The same memory if it is in C order, else a copy that is. */
    result<tensor> try_contiguous() const {
        return detail::make<tensor>(numpack_tensor_contiguous, c());
    }
    /* As another type: the same memory if it is that already, else a copy; numpack.h says how
     * numbers change. */
    result<tensor> try_to(numpack::dtype type) const {
        return detail::make<tensor>(numpack_tensor_to_dtype, c(), static_cast<std::int32_t>(type));
    }
    /* A copy on a device; the same memory if it is there already. device.hpp has it.
     * `status::device`, `out_of_memory`. */
    result<tensor> try_to(const device &there) const;
    /* The same memory if it is this process's, else a copy from the device. `status::device`. */
    result<tensor> try_cpu() const { return detail::make<tensor>(numpack_tensor_cpu, c()); }

    /* == Elements ============================================================================= */

    /* One element: an index for each dimension, none for a tensor of one element. */
    result<scalar> try_get(index_argument index) const {
        auto value =
            detail::ask_struct<numpack_scalar>(numpack_tensor_get, c(), index.size(), index.data());
        if (!value) {
            return value.failure();
        }
        return scalar(*value);
    }
    /* The same as a C++ type; `scalar::as` has the rules. */
    template <class T>
    result<T> try_get(index_argument index) const {
        auto value = try_get(index);
        if (!value) {
            return value.failure();
        }
        return value->template try_as<T>();
    }
    /* The only element. */
    template <class T>
    result<T> try_item() const {
        return try_get<T>({});
    }
    /* Writes one element. `status::parameter` for a number that the type cannot hold;
     * `status::sharing` for read-only memory. */
    result<void> try_set(index_argument index, scalar value) {
        return detail::call(numpack_tensor_set, c(), index.size(), index.data(), &value.c());
    }
    /* Writes a value to every element. */
    result<void> try_fill(scalar value) {
        return detail::call(numpack_tensor_fill, c(), &value.c());
    }
    /* Copies the elements of another tensor, converted as by `to` and expanded to this shape. */
    result<void> try_copy_from(const tensor &from) {
        return detail::call(numpack_tensor_copy_from, c(), from.c());
    }
    /* Copies all elements in C order into `out`, which has their size. */
    template <class R>
    result<void> try_read(R &&out) const {
        auto memory = detail::elements(out);
        if (auto fit = detail::fits<detail::element_of<R>>(dtype()); !fit) {
            return fit;
        }
        return detail::call(numpack_tensor_read, c(), memory.data(), memory.size_bytes());
    }
    template <class T>
    result<std::vector<T>> try_to_vector() const {
        std::vector<T> out(static_cast<std::size_t>(layout().nbytes) / sizeof(T));
        auto done = try_read(out);
        if (!done) {
            return done.failure();
        }
        return out;
    }
    /* Writes all elements in C order. */
    template <class R>
    result<void> try_write(const R &from) {
        auto memory = detail::elements(from);
        if (auto fit = detail::fits<detail::element_of<const R>>(dtype()); !fit) {
            return fit;
        }
        return detail::call(numpack_tensor_write, c(), memory.data(), memory.size_bytes());
    }

#if NUMPACK_EXCEPTIONS
    /* == The same, which throw ================================================================ */

    static tensor zeros(numpack::dtype type, shape_argument shape) {
        return try_zeros(type, shape).value();
    }
    static tensor full(numpack::dtype type, shape_argument shape, scalar value) {
        return try_full(type, shape, value).value();
    }
    static tensor copy(const array_view &elements) { return try_copy(elements).value(); }
    template <class R>
    static tensor copy(const R &elements, shape_argument shape) {
        return try_copy(elements, shape).value();
    }
    template <class R, class Owner>
    static tensor share(R &&memory, shape_argument shape, Owner owner) {
        return try_share(std::forward<R>(memory), shape, std::move(owner)).value();
    }
    template <class R>
    static tensor share(R &&memory, shape_argument shape) {
        return try_share(std::forward<R>(memory), shape).value();
    }
    template <class Owner>
    static tensor share_view(const array_view &memory, bool read_only, Owner owner) {
        return try_share_view(memory, read_only, std::move(owner)).value();
    }
    template <class T>
    static tensor adopt(std::vector<T> elements, shape_argument shape) {
        return try_adopt(std::move(elements), shape).value();
    }
    template <class Owner>
    static tensor from_numpy(const numpack_array_interface &array, Owner owner) {
        return try_from_numpy(array, std::move(owner)).value();
    }
    template <class Owner>
    static tensor as_tensor(const numpack_array_interface &array, numpack::dtype type,
                            Owner owner) {
        return try_as_tensor(array, type, std::move(owner)).value();
    }
    static tensor copy_numpy(const numpack_array_interface &array,
                             numpack::dtype type = numpack::dtype::none,
                             bool requires_grad = false) {
        return try_copy_numpy(array, type, requires_grad).value();
    }
    template <class M>
    static tensor from_dlpack(dlpack_ptr<M> &&managed) {
        return try_from_dlpack(std::move(managed)).value();
    }

    array_view as_view() const { return try_as_view().value(); }
    numpack_array_interface numpy() const { return try_numpy().value(); }
    template <class M = DLManagedTensorVersioned>
    dlpack_ptr<M> to_dlpack(bool copied = false) const {
        return try_to_dlpack<M>(copied).value();
    }
    template <class T>
    span<T> data() const {
        return try_data<T>().value();
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
    tensor squeeze() const { return try_squeeze().value(); }
    tensor unsqueeze(std::int64_t dim) const { return try_unsqueeze(dim).value(); }
    tensor expand(index_argument sizes) const { return try_expand(sizes).value(); }
    tensor view(index_argument sizes) const { return try_view(sizes).value(); }
    tensor reshape(index_argument sizes) const { return try_reshape(sizes).value(); }
    tensor flatten(std::int64_t first = 0, std::int64_t last = -1) const {
        return try_flatten(first, last).value();
    }
    tensor detach() const { return try_detach().value(); }
    tensor require_grad(bool requires_grad = true) const {
        return try_require_grad(requires_grad).value();
    }
    tensor clone() const { return try_clone().value(); }
    tensor contiguous() const { return try_contiguous().value(); }
    tensor to(numpack::dtype type) const { return try_to(type).value(); }
    tensor to(const device &there) const;
    tensor cpu() const { return try_cpu().value(); }

    scalar get(index_argument index) const { return try_get(index).value(); }
    template <class T>
    T get(index_argument index) const {
        return try_get<T>(index).value();
    }
    template <class T>
    T item() const {
        return try_item<T>().value();
    }
    void set(index_argument index, scalar value) { try_set(index, value).value(); }
    void fill(scalar value) { try_fill(value).value(); }
    void copy_from(const tensor &from) { try_copy_from(from).value(); }
    template <class R>
    void read(R &&out) const {
        try_read(out).value();
    }
    template <class T>
    std::vector<T> to_vector() const {
        return try_to_vector<T>().value();
    }
    template <class R>
    void write(const R &from) {
        try_write(from).value();
    }
#endif

  private:
    template <class R>
    struct is_span : std::false_type {};
    template <class T>
    struct is_span<span<T>> : std::true_type {};

    template <class Owner>
    static std::unique_ptr<detail::lender<Owner>> hold(Owner owner) {
        return std::unique_ptr<detail::lender<Owner>>(
            new detail::lender<Owner>{std::move(owner)});
    }

    /* Calls a C function that takes memory with what gives it back. Where that fails, the owner is
     * ours still, and goes here. */
    template <class Owner, class F, class... A>
    static result<tensor> lend(std::unique_ptr<detail::lender<Owner>> held, F function,
                               A... arguments) {
        auto made = detail::make<tensor>(function, arguments..., &detail::lender<Owner>::give_back,
                                         static_cast<void *>(held.get()));
        if (made) {
            held.release();
        }
        return made;
    }
};

/* A destructor for Python's PyCapsule_New, of a capsule that holds a tensor of DLPack. */
inline void dlpack_capsule_destructor(void *capsule) { numpack_dlpack_capsule_destructor(capsule); }

NUMPACK_END

#endif /* NUMPACK_TENSOR_HPP */
