/* The tensors of a file: listed, read, mapped, loaded. */

#ifndef NUMPACK_CHECKPOINT_HPP
#define NUMPACK_CHECKPOINT_HPP

#include "callback.hpp"
#include "dtype.hpp"
#include "handle.hpp"
#include "tensor.hpp"
#include "tree.hpp"

#include <array>

NUMPACK_BEGIN

/* What to do about checksums. */
enum class crc : std::int32_t {
    refuse = NUMPACK_CRC_REFUSE,
    warn = NUMPACK_CRC_WARN,
    off = NUMPACK_CRC_OFF
};

/* What is said of one tensor of a file; numpack.h says more of each. Name, shape and strides are
 * borrowed from the checkpoint. */
struct tensor_info {
    /* The dotted path; empty for a tensor that is the whole object. */
    std::string_view name;
    numpack::dtype dtype = numpack::dtype::none;
    span<const std::uint64_t> shape;
    /* In elements, in the storage. */
    span<const std::uint64_t> strides;
    /* Tensors of one storage share memory. */
    std::uint32_t storage = 0;
    std::uint64_t offset = 0;
    std::uint64_t storage_nbytes = 0;
    std::uint64_t nbytes = 0;
    /* The same under each of the tensor's names. */
    std::uint32_t tensor = 0;
    bool requires_grad = false;
    bool parameter = false;
};

/* Which tensor of a file: by its place in the list, from 0, or by its name. Borrows the name. */
class place {
  public:
    template <class T, class = std::enable_if_t<std::is_integral_v<T>>>
    place(T index) noexcept : index_(static_cast<std::size_t>(index)) {}
    place(std::string_view name) noexcept : name_(name), by_name_(true) {}
    place(const std::string &name) noexcept : place(std::string_view(name)) {}
    place(const char *name) noexcept : place(std::string_view(name)) {}

    result<std::size_t> find(const numpack_checkpoint *checkpoint) const {
        if (!by_name_) {
            return index_;
        }
        return detail::ask<std::size_t>(numpack_checkpoint_find, checkpoint, name_);
    }

  private:
    std::size_t index_ = 0;
    std::string_view name_;
    bool by_name_ = false;
};

/* A file with tensors in it, open for reading: whatever numpack_checkpoint_open in numpack.h takes.
 * Nothing found in it is executed. Tensors are read when asked for. All functions may be called
 * from any thread at any time. */
class checkpoint : public detail::shared_handle<numpack_checkpoint, numpack_checkpoint_retain,
                                                numpack_checkpoint_free> {
  public:
    using shared_handle::shared_handle;
    using iterator = detail::place_iterator<checkpoint, tensor_info>;

    /* Opens a file or a folder, told apart by content. `status::io`, `format`, `unsupported`,
     * `limit`. */
    static result<checkpoint> try_open(std::string_view path, crc checksums = crc::refuse) {
        numpack_checkpoint_options options{};
        options.struct_size = static_cast<std::uint32_t>(sizeof options);
        options.crc = static_cast<std::int32_t>(checksums);
        return detail::make<checkpoint>(numpack_checkpoint_open, path, &options);
    }

    checkpoint share() const { return *this; }
    /* What kind of file it is, in words; borrowed from this checkpoint. */
    std::string_view format() const noexcept {
        const char *words = numpack_checkpoint_get_format(c());
        return words == nullptr ? std::string_view() : std::string_view(words);
    }

    /* How many tensors are listed: one under several names counts several times. */
    std::size_t size() const noexcept { return numpack_checkpoint_count(c()); }
    bool empty() const noexcept { return size() == 0; }
    /* Goes over the tensors; what it gives is borrowed from this checkpoint. */
    iterator begin() const { return {*this, 0}; }
    iterator end() const { return {*this, size()}; }

    /* What there is of a tensor. `status::not_found`; `status::parameter` past the last one; both
     * also of all the following. */
    result<tensor_info> try_get(place which) const {
        auto index = which.find(c());
        if (!index) {
            return index.failure();
        }
        auto c_info =
            detail::ask_struct<numpack_tensor_info>(numpack_checkpoint_get_info, c(), *index);
        if (!c_info) {
            return c_info.failure();
        }
        tensor_info info;
        info.name = {c_info->name, c_info->name_length};
        info.dtype = static_cast<numpack::dtype>(c_info->dtype);
        info.shape = {c_info->shape, c_info->ndim};
        info.strides = {c_info->strides, c_info->ndim};
        info.storage = c_info->storage;
        info.offset = c_info->offset;
        info.storage_nbytes = c_info->storage_nbytes;
        info.nbytes = c_info->nbytes;
        info.tensor = c_info->tensor;
        info.requires_grad = c_info->requires_grad != 0;
        info.parameter = c_info->parameter != 0;
        return info;
    }
    /* The place of a name in the list. */
    result<std::size_t> try_find(std::string_view name) const { return place(name).find(c()); }
    /* Tells what was odd about the file so far, though it can be read. */
    result<void> try_warnings(const warning_callback &warning) const {
        detail::listener heard;
        heard.warning = &warning;
        auto done = detail::call(numpack_checkpoint_warnings, c(), heard.on_warning, &heard);
        heard.caught.rethrow();
        return done;
    }

    /* Reads a tensor into `out`, which has its size: its elements in C order. `status::format` for
     * a wrong checksum, `io`, `limit`; after an error `out` may be filled in part. */
    template <class R>
    result<void> try_read(place which, R &&out) const {
        auto memory = detail::elements(out);
        return with<detail::element_of<R>>(which, [&](std::size_t index, const tensor_info &) {
            return detail::call(numpack_checkpoint_read, c(), index, memory.data(),
                                memory.size_bytes());
        });
    }
    /* The SHA-256 of the elements in C order. */
    result<std::array<std::uint8_t, 32>> try_sha256(place which) const {
        auto index = which.find(c());
        if (!index) {
            return index.failure();
        }
        std::array<std::uint8_t, 32> digest{};
        auto done = detail::call(numpack_checkpoint_sha256, c(), *index, digest.data());
        if (!done) {
            return done.failure();
        }
        return digest;
    }
    /* Reads `count` rows, which are the first dimension, from row `start` on. */
    template <class R>
    result<void> try_read_rows(place which, std::uint64_t start, std::uint64_t count,
                               R &&out) const {
        auto memory = detail::elements(out);
        return with<detail::element_of<R>>(which, [&](std::size_t index, const tensor_info &) {
            return detail::call(numpack_checkpoint_read_rows, c(), index, start, count,
                                memory.data(), memory.size_bytes());
        });
    }
    /* Reads a tensor into a vector. */
    template <class T>
    result<std::vector<T>> try_to_vector(place which) const {
        std::vector<T> out;
        auto done = with<T>(which, [&](std::size_t index, const tensor_info &info) {
            out.resize(static_cast<std::size_t>(info.nbytes) / sizeof(T));
            return detail::call(numpack_checkpoint_read, c(), index, out.data(),
                                out.size() * sizeof(T));
        });
        if (!done) {
            return done.failure();
        }
        return out;
    }
    /* The elements of a tensor in the file, as memory that is borrowed from this checkpoint. The
     * caller answers for the file: numpack_checkpoint_map in numpack.h says how. No checksum is
     * compared. `status::unsupported` where they do not lie in the file as they are read;
     * `status::sharing` where they are not aligned. */
    template <class T = std::byte>
    result<span<const T>> try_map(place which) const {
        const void *data = nullptr;
        std::size_t nbytes = 0;
        numpack::dtype type = numpack::dtype::none;
        auto done = with<T>(which, [&](std::size_t index, const tensor_info &info) {
            type = info.dtype;
            return detail::call(numpack_checkpoint_map, c(), index, &data, &nbytes);
        });
        if (!done) {
            return done.failure();
        }
        return detail::as_elements<const T>(data, nbytes, type);
    }
    /* Reads a tensor into memory of its own. `status::type` for a type no tensor in memory has. */
    result<tensor> try_load(place which) const {
        return loaded(numpack_checkpoint_load, which);
    }
    /* All of them, in order: those that show one storage in the file share memory here too. */
    result<std::vector<tensor>> try_load_all() const {
        std::vector<numpack_tensor *> handles(size());
        auto done = detail::call(numpack_checkpoint_load_all, c(), handles.data(), handles.size());
        if (!done) {
            return done.failure();
        }
        std::vector<tensor> all;
        all.reserve(handles.size());
        for (numpack_tensor *handle : handles) {
            all.push_back(tensor(handle));
        }
        return all;
    }
    /* A tensor whose memory is the file's, read-only; it outlives the checkpoint. The caller
     * answers for the file as with `map`. */
    result<tensor> try_load_mapped(place which) const {
        return loaded(numpack_checkpoint_load_mapped, which);
    }

    /* The node that is the whole object; borrowed from this checkpoint. */
    result<node> try_root() const {
        auto number = detail::ask<std::uint32_t>(numpack_checkpoint_get_root, c());
        if (!number) {
            return number.failure();
        }
        return node::try_of(c(), *number);
    }
    /* The node of a number. */
    result<node> try_node_of(std::uint32_t number) const { return node::try_of(c(), number); }

#if NUMPACK_EXCEPTIONS
    static checkpoint open(std::string_view path, crc checksums = crc::refuse) {
        return try_open(path, checksums).value();
    }
    tensor_info get(place which) const { return try_get(which).value(); }
    tensor_info operator[](place which) const { return get(which); }
    std::size_t find(std::string_view name) const { return try_find(name).value(); }
    void warnings(const warning_callback &warning) const { try_warnings(warning).value(); }
    template <class R>
    void read(place which, R &&out) const {
        try_read(which, out).value();
    }
    template <class R>
    void read_rows(place which, std::uint64_t start, std::uint64_t count, R &&out) const {
        try_read_rows(which, start, count, out).value();
    }
    template <class T>
    std::vector<T> to_vector(place which) const {
        return try_to_vector<T>(which).value();
    }
    template <class T = std::byte>
    span<const T> map(place which) const {
        return try_map<T>(which).value();
    }
    std::array<std::uint8_t, 32> sha256(place which) const { return try_sha256(which).value(); }
    tensor load(place which) const { return try_load(which).value(); }
    tensor load_mapped(place which) const { return try_load_mapped(which).value(); }
    std::vector<tensor> load_all() const { return try_load_all().value(); }
    node root() const { return try_root().value(); }
    node node_of(std::uint32_t number) const { return try_node_of(number).value(); }
#endif

  private:
    /* Does something with a tensor whose elements fit a type. */
    template <class T, class F>
    result<void> with(place which, F body) const {
        auto index = which.find(c());
        if (!index) {
            return index.failure();
        }
        auto info = try_get(*index);
        if (!info) {
            return info.failure();
        }
        if (auto fit = detail::fits<T>(info->dtype); !fit) {
            return fit;
        }
        return body(*index, *info);
    }

    template <class F>
    result<tensor> loaded(F function, place which) const {
        auto index = which.find(c());
        if (!index) {
            return index.failure();
        }
        return detail::make<tensor>(function, c(), *index);
    }
};

NUMPACK_END

#endif /* NUMPACK_CHECKPOINT_HPP */
