/* Conversions of whole files, and tensors to a file or a store. */

#ifndef NUMPACK_CONVERT_HPP
#define NUMPACK_CONVERT_HPP

#include "callback.hpp"
#include "checkpoint.hpp"
#include "view.hpp"

NUMPACK_BEGIN

/* What to do about an output that is there already. */
enum class existing : std::int32_t {
    /* A store is added to, a file replaced. */
    usual = NUMPACK_EXISTING_DEFAULT,
    merge = NUMPACK_EXISTING_MERGE,
    replace = NUMPACK_EXISTING_REPLACE,
    refuse = NUMPACK_EXISTING_REFUSE
};

/* How `from_torch_file` converts. */
struct from_torch_options {
    numpack::existing existing = numpack::existing::usual;
    /* Convert only what stands at this key or dotted path; empty: everything. */
    std::string key;
    /* Upper bound of buffers in bytes; 0: 100 MiB. */
    std::uint64_t chunk_size = 0;
    numpack::crc crc = numpack::crc::refuse;
    /* Carry over objects of unknown classes as recipes. */
    bool keep_objects = false;
    /* Give each view an array of its own. */
    bool compact_views = false;
    progress_callback progress;
    warning_callback warning;
};

/* How `to_torch_file` converts. */
struct to_torch_options {
    /* A file cannot be merged into. */
    numpack::existing existing = numpack::existing::usual;
    /* Export only these arrays, as a flat dict in this order; absent: everything. */
    std::optional<std::vector<std::string>> array_names;
    /* Upper bound of buffers in bytes; 0: 100 MiB. */
    std::uint64_t chunk_size = 0;
    /* Alignment of each tensor's data in bytes; 0: 64; 4096 is the other choice. */
    std::uint32_t alignment = 0;
    progress_callback progress;
    warning_callback warning;
};

/* How `export_file` converts. */
struct export_options {
    /* A file cannot be merged into. */
    numpack::existing existing = numpack::existing::usual;
    /* Only what stands at this key or dotted path; empty: everything. */
    std::string key;
    /* Only these tensors; absent: all. */
    std::optional<std::vector<std::string>> array_names;
    /* Upper bound of buffers in bytes; 0: 100 MiB. */
    std::uint64_t chunk_size = 0;
    numpack::crc crc = numpack::crc::refuse;
    /* Tensors that show the same bytes are written once for each name, not refused. */
    bool copy_shared = false;
    progress_callback progress;
    warning_callback warning;
};

/* What was written: arrays, storages or tensors, and their bytes. */
struct converted {
    std::uint64_t tensors = 0;
    std::uint64_t bytes = 0;
};

/* Converts a `.pt` file to a store, streaming, in one commit; nothing in the file is executed. On
 * failure, and where `progress` cancels (`status::cancelled`) or throws, the output is as it was
 * before. */
inline result<converted> try_from_torch_file(std::string_view input, std::string_view output,
                                             const from_torch_options &options = {}) {
    if (!detail::is_whole(detail::text(options.key))) {
        return detail::nul_within();
    }
    detail::listener heard{&options.progress, &options.warning, {}};
    numpack_from_torch_options c_options{};
    c_options.struct_size = static_cast<std::uint32_t>(sizeof c_options);
    c_options.existing = static_cast<std::int32_t>(options.existing);
    c_options.key = options.key.empty() ? nullptr : options.key.c_str();
    c_options.chunk_size = options.chunk_size;
    c_options.crc = static_cast<std::int32_t>(options.crc);
    c_options.keep_objects = options.keep_objects;
    c_options.compact_views = options.compact_views;
    c_options.progress = options.progress ? heard.on_progress : nullptr;
    c_options.warning = heard.on_warning;
    c_options.user = &heard;
    converted made;
    auto done = detail::call(numpack_from_torch_file, input, output, &c_options, &made.tensors,
                             &made.bytes);
    heard.caught.rethrow();
    if (!done) {
        return done.failure();
    }
    return made;
}

/* Converts a store to a `.pt` file, streaming; it appears whole or not at all, else as
 * `try_from_torch_file`. */
inline result<converted> try_to_torch_file(std::string_view input, std::string_view output,
                                           const to_torch_options &options = {}) {
    const detail::c_names names(options.array_names.value_or(std::vector<std::string>()));
    if (!names.is_whole()) {
        return detail::nul_within();
    }
    /* A pointer that is not null, also where there are no names: that is an empty dict. */
    const char *const none[] = {nullptr};
    detail::listener heard{&options.progress, &options.warning, {}};
    numpack_to_torch_options c_options{};
    c_options.struct_size = static_cast<std::uint32_t>(sizeof c_options);
    c_options.existing = static_cast<std::int32_t>(options.existing);
    if (options.array_names) {
        c_options.array_names = names.size() == 0 ? none : names.names();
        c_options.array_count = names.size();
    }
    c_options.chunk_size = options.chunk_size;
    c_options.alignment = options.alignment;
    c_options.progress = options.progress ? heard.on_progress : nullptr;
    c_options.warning = heard.on_warning;
    c_options.user = &heard;
    converted made;
    auto done =
        detail::call(numpack_to_torch_file, input, output, &c_options, &made.tensors, &made.bytes);
    heard.caught.rethrow();
    if (!done) {
        return done.failure();
    }
    return made;
}

/* Converts any file with tensors to a `.safetensors`, `.npy` or `.npz` file, which the suffix of the
 * output chooses; else as `try_to_torch_file`. `status::unsupported` for what such a file cannot
 * hold. */
inline result<converted> try_export_file(std::string_view input, std::string_view output,
                                         const export_options &options = {}) {
    const detail::c_names names(options.array_names.value_or(std::vector<std::string>()));
    if (!names.is_whole() || !detail::is_whole(detail::text(options.key))) {
        return detail::nul_within();
    }
    const char *const none[] = {nullptr};
    detail::listener heard{&options.progress, &options.warning, {}};
    numpack_export_options c_options{};
    c_options.struct_size = static_cast<std::uint32_t>(sizeof c_options);
    c_options.existing = static_cast<std::int32_t>(options.existing);
    c_options.key = options.key.empty() ? nullptr : options.key.c_str();
    if (options.array_names) {
        c_options.array_names = names.size() == 0 ? none : names.names();
        c_options.array_count = names.size();
    }
    c_options.chunk_size = options.chunk_size;
    c_options.crc = static_cast<std::int32_t>(options.crc);
    c_options.copy_shared = options.copy_shared;
    c_options.progress = options.progress ? heard.on_progress : nullptr;
    c_options.warning = heard.on_warning;
    c_options.user = &heard;
    converted made;
    auto done =
        detail::call(numpack_export_file, input, output, &c_options, &made.tensors, &made.bytes);
    heard.caught.rethrow();
    if (!done) {
        return done.failure();
    }
    return made;
}

/* How `save_torch` and `save_tensors` write. */
struct save_options {
    /* An existing file is replaced; else it is `status::exists`. */
    bool overwrite = false;
    /* Alignment of each tensor's data in bytes; 0: 64; 4096 is the other choice. */
    std::uint32_t alignment = 0;
};

/* Writes a dict of tensors as a `.pt` file, which torch loads with `weights_only=True`; it appears
 * whole or not at all. `status::parameter` for names that are equal and strides that torch has
 * not; `exists`; `io`. */
inline result<void> try_save_torch(std::string_view path, span<const named_view> tensors,
                                   save_options options = {}) {
    const detail::c_views given(tensors.data(), tensors.size());
    if (!given.is_whole()) {
        return detail::nul_within();
    }
    numpack_save_options c_options{};
    c_options.struct_size = static_cast<std::uint32_t>(sizeof c_options);
    c_options.overwrite = options.overwrite;
    c_options.alignment = options.alignment;
    return detail::call(numpack_save_torch, path, given.names(), given.views(), given.size(),
                        &c_options);
}
inline result<void> try_save_torch(std::string_view path, std::initializer_list<named_view> tensors,
                                   save_options options = {}) {
    return try_save_torch(path, span<const named_view>(tensors.begin(), tensors.size()), options);
}

/* A tensor in memory and the name it is written under; both are borrowed. */
struct named_tensor {
    std::string_view name;
    const numpack::tensor &value;
};

namespace detail {

/* Several names and tensors as C takes them, for as long as a call lasts. */
class c_tensors {
  public:
    c_tensors(const named_tensor *items, std::size_t count) : names_(names_of(items, count)) {
        for (std::size_t i = 0; i < count; i++) {
            handles_.push_back(items[i].value.c());
        }
    }
    bool is_whole() const { return names_.is_whole(); }
    const char *const *names() const { return names_.names(); }
    const numpack_tensor *const *handles() const { return handles_.data(); }
    std::size_t size() const { return handles_.size(); }

  private:
    static c_names names_of(const named_tensor *items, std::size_t count) {
        std::vector<std::string_view> names;
        for (std::size_t i = 0; i < count; i++) {
            names.push_back(items[i].name);
        }
        return c_names(names);
    }

    c_names names_;
    std::vector<const numpack_tensor *> handles_;
};

} // namespace detail

/* Writes a dict of tensors in memory as a `.pt` file, as `try_save_torch` does: but tensors that show
 * one storage do so in the file, and which requires grad is kept. `status::in_use` for one that is
 * being written to, `sharing` for one on a device. */
inline result<void> try_save_tensors(std::string_view path, span<const named_tensor> tensors,
                                     save_options options = {}) {
    const detail::c_tensors given(tensors.data(), tensors.size());
    if (!given.is_whole()) {
        return detail::nul_within();
    }
    numpack_save_options c_options{};
    c_options.struct_size = static_cast<std::uint32_t>(sizeof c_options);
    c_options.overwrite = options.overwrite;
    c_options.alignment = options.alignment;
    return detail::call(numpack_save_tensors, path, given.names(), given.handles(), given.size(),
                        &c_options);
}
inline result<void> try_save_tensors(std::string_view path,
                                     std::initializer_list<named_tensor> tensors,
                                     save_options options = {}) {
    return try_save_tensors(path, span<const named_tensor>(tensors.begin(), tensors.size()),
                            options);
}

/* Writes tensors in memory as arrays of a store, in one commit: as `try_from_torch_file` does it from
 * a file with a dict of them. Fails as that and `try_save_tensors` do. */
inline result<void> try_from_torch(span<const named_tensor> tensors, std::string_view output,
                                   numpack::existing existing = numpack::existing::usual) {
    const detail::c_tensors given(tensors.data(), tensors.size());
    if (!given.is_whole()) {
        return detail::nul_within();
    }
    return detail::call(numpack_from_torch, given.names(), given.handles(), given.size(), output,
                        static_cast<std::int32_t>(existing));
}
inline result<void> try_from_torch(std::initializer_list<named_tensor> tensors,
                                   std::string_view output,
                                   numpack::existing existing = numpack::existing::usual) {
    return try_from_torch(span<const named_tensor>(tensors.begin(), tensors.size()), output,
                          existing);
}

#if NUMPACK_EXCEPTIONS
inline converted export_file(std::string_view input, std::string_view output,
                             const export_options &options = {}) {
    return try_export_file(input, output, options).value();
}
inline void save_tensors(std::string_view path, span<const named_tensor> tensors,
                         save_options options = {}) {
    try_save_tensors(path, tensors, options).value();
}
inline void save_tensors(std::string_view path, std::initializer_list<named_tensor> tensors,
                         save_options options = {}) {
    try_save_tensors(path, tensors, options).value();
}
inline void from_torch(span<const named_tensor> tensors, std::string_view output,
                       numpack::existing existing = numpack::existing::usual) {
    try_from_torch(tensors, output, existing).value();
}
inline void from_torch(std::initializer_list<named_tensor> tensors, std::string_view output,
                       numpack::existing existing = numpack::existing::usual) {
    try_from_torch(tensors, output, existing).value();
}
inline converted from_torch_file(std::string_view input, std::string_view output,
                                 const from_torch_options &options = {}) {
    return try_from_torch_file(input, output, options).value();
}
inline converted to_torch_file(std::string_view input, std::string_view output,
                               const to_torch_options &options = {}) {
    return try_to_torch_file(input, output, options).value();
}
inline void save_torch(std::string_view path, span<const named_view> tensors,
                       save_options options = {}) {
    try_save_torch(path, tensors, options).value();
}
inline void save_torch(std::string_view path, std::initializer_list<named_view> tensors,
                       save_options options = {}) {
    try_save_torch(path, tensors, options).value();
}
#endif

NUMPACK_END

#endif /* NUMPACK_CONVERT_HPP */
