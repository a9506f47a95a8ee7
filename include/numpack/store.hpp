/* Stores: opening, changes, many changes in one commit, verification. */

#ifndef NUMPACK_STORE_HPP
#define NUMPACK_STORE_HPP

#include "array.hpp"
#include "callback.hpp"
#include "handle.hpp"
#include "view.hpp"

NUMPACK_BEGIN

/* How a store is changed. */
struct store_options {
    /* Where another writer has the store, a change is `status::locked`, and does not wait. */
    bool no_wait = false;
    /* Rows are replaced in their place at once: faster, and not all or none. */
    bool in_place = false;

    /* The struct for functions of numpack.h. */
    numpack_store_options c() const noexcept {
        numpack_store_options options{};
        options.struct_size = static_cast<std::uint32_t>(sizeof options);
        options.no_wait = no_wait;
        options.in_place = in_place;
        return options;
    }
};

namespace detail {

/* The changes that a store makes one by one, and a writer many in one commit. `Self` has
 * `change`, which names the C functions. */
template <class Self>
class changes {
  public:
    /* Writes arrays, each in the place of one of its name: all or none, or, of a writer, those
     * before the one that failed. Errors of every change: `status::locked`, `forked`, `changed`,
     * `poisoned`, `io`. */
    result<void> try_save(std::initializer_list<named_view> arrays) {
        return views(Self::change::save, arrays.begin(), arrays.size());
    }
    result<void> try_save(span<const named_view> arrays) {
        return views(Self::change::save, arrays.data(), arrays.size());
    }
    result<void> try_save(std::string_view name, array_view array) {
        return try_save({named_view{name, std::move(array)}});
    }

    /* Adds rows at the end of arrays, all or none. `status::not_found`; `status::parameter` for
     * another element type or other dimensions. */
    result<void> try_append(std::initializer_list<named_view> arrays) {
        return views(Self::change::append, arrays.begin(), arrays.size());
    }
    result<void> try_append(span<const named_view> arrays) {
        return views(Self::change::append, arrays.data(), arrays.size());
    }
    result<void> try_append(std::string_view name, array_view array) {
        return try_append({named_view{name, std::move(array)}});
    }

    /* Replaces the chosen rows by those of a view, in the order of the choice. */
    result<void> try_replace_rows(std::string_view name, const rows &chosen,
                                  const array_view &array) {
        const numpack_rows c_rows = chosen.c();
        const numpack_view c_view = array.c();
        return call(Self::change::replace_rows, self(), name, &c_rows, &c_view);
    }
    /* Drops the chosen rows, and says how many those are. `compact` frees their room. */
    result<std::uint64_t> try_drop_rows(std::string_view name, const rows &chosen) {
        const numpack_rows c_rows = chosen.c();
        return ask<std::uint64_t>(Self::change::drop_rows, self(), name, &c_rows);
    }

    /* Takes arrays out, all or none. `status::not_found`. */
    result<void> try_remove_arrays(std::initializer_list<std::string_view> names) {
        return remove(c_names(names));
    }
    result<void> try_remove_arrays(span<const std::string> names) { return remove(c_names(names)); }
    /* Gives an array another name, which must be free. */
    result<void> try_rename_array(std::string_view from, std::string_view to) {
        return call(Self::change::rename_array, self(), from, to);
    }
    /* Makes an array of a data file of that name which no record names, with rows of that shape, and
     * says how many rows there are. `status::parameter`. */
    result<std::uint64_t> try_adopt_array(std::string_view name, std::string_view file, dtype type,
                                          span<const std::uint64_t> row) {
        return ask<std::uint64_t>(Self::change::adopt_array, self(), name, file,
                                  static_cast<std::int32_t>(type),
                                  static_cast<std::uint32_t>(row.size()), row.data());
    }
    /* Copies an array to another name, which must be free. */
    result<void> try_clone_array(std::string_view from, std::string_view to) {
        return call(Self::change::clone_array, self(), from, to);
    }
    /* Frees the room of dropped rows of one array, or of all, and says how many rows went. */
    result<std::uint64_t> try_compact(std::string_view name) {
        return ask<std::uint64_t>(Self::change::compact, self(), name);
    }
    result<std::uint64_t> try_compact() {
        return ask<std::uint64_t>(Self::change::compact, self(), nullptr);
    }
    /* Takes all arrays out, and what is known of the object they were part of. */
    result<void> try_reset() { return call(Self::change::reset, self()); }

#if NUMPACK_EXCEPTIONS
    void save(std::initializer_list<named_view> arrays) { try_save(arrays).value(); }
    void save(span<const named_view> arrays) { try_save(arrays).value(); }
    void save(std::string_view name, array_view array) {
        try_save(name, std::move(array)).value();
    }
    void append(std::initializer_list<named_view> arrays) { try_append(arrays).value(); }
    void append(span<const named_view> arrays) { try_append(arrays).value(); }
    void append(std::string_view name, array_view array) {
        try_append(name, std::move(array)).value();
    }
    void replace_rows(std::string_view name, const rows &chosen, const array_view &array) {
        try_replace_rows(name, chosen, array).value();
    }
    std::uint64_t drop_rows(std::string_view name, const rows &chosen) {
        return try_drop_rows(name, chosen).value();
    }
    void remove_arrays(std::initializer_list<std::string_view> names) {
        try_remove_arrays(names).value();
    }
    void remove_arrays(span<const std::string> names) { try_remove_arrays(names).value(); }
    void rename_array(std::string_view from, std::string_view to) {
        try_rename_array(from, to).value();
    }
    std::uint64_t adopt_array(std::string_view name, std::string_view file, dtype type,
                              span<const std::uint64_t> row) {
        return try_adopt_array(name, file, type, row).value();
    }
    void clone_array(std::string_view from, std::string_view to) {
        try_clone_array(from, to).value();
    }
    std::uint64_t compact(std::string_view name) { return try_compact(name).value(); }
    std::uint64_t compact() { return try_compact().value(); }
    void reset() { try_reset().value(); }
#endif

  private:
    auto *self() { return static_cast<Self *>(this)->c(); }

    template <class F>
    result<void> views(F function, const named_view *arrays, std::size_t count) {
        const c_views given(arrays, count);
        if (!given.is_whole()) {
            return nul_within();
        }
        return call(function, self(), given.names(), given.views(), given.size());
    }

    result<void> remove(const c_names &names) {
        if (!names.is_whole()) {
            return nul_within();
        }
        return call(Self::change::remove_arrays, self(), names.names(), names.size());
    }
};

} // namespace detail

/* Changes of a store that become visible and durable together, with `commit`, or not at all, when
 * this goes. It has the store locked: its thread must not change the store otherwise. One thread at
 * a time may use it. */
class writer : public detail::unique_handle<numpack_writer, numpack_writer_free>,
               public detail::changes<writer> {
  public:
    struct change {
        static constexpr auto save = numpack_writer_save;
        static constexpr auto append = numpack_writer_append;
        static constexpr auto replace_rows = numpack_writer_replace_rows;
        static constexpr auto drop_rows = numpack_writer_drop_rows;
        static constexpr auto remove_arrays = numpack_writer_remove_arrays;
        static constexpr auto rename_array = numpack_writer_rename_array;
        static constexpr auto adopt_array = numpack_writer_adopt_array;
        static constexpr auto clone_array = numpack_writer_clone_array;
        static constexpr auto compact = numpack_writer_compact;
        static constexpr auto reset = numpack_writer_reset;
    };
    using unique_handle::unique_handle;

    /* Begins a new store, which appears whole with the commit. `status::exists`. */
    static result<writer> try_create(std::string_view path, store_options options = {}) {
        const numpack_store_options c_options = options.c();
        return detail::make<writer>(numpack_writer_create, path, &c_options);
    }
    /* Begins a new store, which takes the place of the one at the path, damaged or not, with the
     * commit. `status::not_a_store`. */
    static result<writer> try_replace(std::string_view path, store_options options = {}) {
        const numpack_store_options c_options = options.c();
        return detail::make<writer>(numpack_writer_replace, path, &c_options);
    }

    /* Makes all changes durable and visible at once. The writer is empty then, whatever the result;
     * the store is as before or as after, also where `warning` throws. */
    result<void> try_commit(const warning_callback &warning = {}) {
        detail::listener heard;
        heard.warning = &warning;
        auto done = detail::call(numpack_writer_commit, release(), heard.on_warning, &heard);
        heard.caught.rethrow();
        return done;
    }
    /* An array as it will be after the commit. `status::not_found`. */
    result<numpack::array> try_array(std::string_view name) const {
        return detail::make<numpack::array>(numpack_writer_array, c(), name);
    }

#if NUMPACK_EXCEPTIONS
    static writer create(std::string_view path, store_options options = {}) {
        return try_create(path, options).value();
    }
    static writer replace(std::string_view path, store_options options = {}) {
        return try_replace(path, options).value();
    }
    void commit(const warning_callback &warning = {}) { try_commit(warning).value(); }
    numpack::array array(std::string_view name) const { return try_array(name).value(); }
#endif
};

/* A store. Each change is one commit, durable on return. It is locked only while a call or a writer
 * changes it. All its functions may be called from any thread at any time. */
class store
    : public detail::shared_handle<numpack_store, numpack_store_retain, numpack_store_free>,
      public detail::changes<store> {
  public:
    struct change {
        static constexpr auto save = numpack_store_save;
        static constexpr auto append = numpack_store_append;
        static constexpr auto replace_rows = numpack_store_replace_rows;
        static constexpr auto drop_rows = numpack_store_drop_rows;
        static constexpr auto remove_arrays = numpack_store_remove_arrays;
        static constexpr auto rename_array = numpack_store_rename_array;
        static constexpr auto adopt_array = numpack_store_adopt_array;
        static constexpr auto clone_array = numpack_store_clone_array;
        static constexpr auto compact = numpack_store_compact;
        static constexpr auto reset = numpack_store_reset;
    };
    using shared_handle::shared_handle;

    /* Opens the store at a path. `status::not_a_store`, `format`, `unsupported`, `limit`, `io`. */
    static result<store> try_open(std::string_view path, store_options options = {}) {
        const numpack_store_options c_options = options.c();
        return detail::make<store>(numpack_store_open, path, &c_options);
    }
    /* Makes a store without arrays. `status::exists`. */
    static result<store> try_create(std::string_view path, store_options options = {}) {
        const numpack_store_options c_options = options.c();
        return detail::make<store>(numpack_store_create, path, &c_options);
    }
    /* Opens the store, and makes it first if there is nothing. */
    static result<store> try_open_or_create(std::string_view path, store_options options = {}) {
        const numpack_store_options c_options = options.c();
        return detail::make<store>(numpack_store_open_or_create, path, &c_options);
    }

    store share() const { return *this; }
    /* Where it is, as an absolute path; borrowed from this store. */
    std::string_view path() const noexcept {
        const char *path = numpack_store_get_path(c());
        return path == nullptr ? std::string_view() : std::string_view(path);
    }

    /* The arrays as they are now, all in one state of the store. */
    result<numpack::list> try_list() const {
        return detail::make<numpack::list>(numpack_store_list, c());
    }
    /* Opens an array as it is now; none of its rows is read. `status::not_found`, `format`. */
    result<numpack::array> try_array(std::string_view name) const {
        return detail::make<numpack::array>(numpack_array_open, c(), name);
    }
    /* Begins many changes in one commit. Its options are the store's. Errors of every change. */
    result<writer> try_begin() {
        const numpack_store_options *same = nullptr;
        return detail::make<writer>(numpack_store_begin, c(), same);
    }
    result<writer> try_begin(store_options options) {
        const numpack_store_options c_options = options.c();
        return detail::make<writer>(numpack_store_begin, c(), &c_options);
    }
    /* An array as memory to work in, which locks the store. Errors of every change, and
     * `status::parameter` for an array with dropped rows or in segments: compact it first. */
    result<rows_mut> try_map_rows_mut(std::string_view name) {
        auto mapped = detail::make<rows_mut>(numpack_store_map_rows_mut, c(), name);
        if (!mapped) {
            return mapped;
        }
        /* The store is locked now, so this is the array that was mapped. */
        auto array = try_array(name);
        if (!array) {
            return array.failure();
        }
        auto info = array->try_info();
        if (!info) {
            return info.failure();
        }
        return rows_mut(mapped->release(), info->dtype);
    }

#if NUMPACK_EXCEPTIONS
    static store open(std::string_view path, store_options options = {}) {
        return try_open(path, options).value();
    }
    static store create(std::string_view path, store_options options = {}) {
        return try_create(path, options).value();
    }
    static store open_or_create(std::string_view path, store_options options = {}) {
        return try_open_or_create(path, options).value();
    }
    numpack::list list() const { return try_list().value(); }
    numpack::array array(std::string_view name) const { return try_array(name).value(); }
    writer begin() { return try_begin().value(); }
    writer begin(store_options options) { return try_begin(options).value(); }
    rows_mut map_rows_mut(std::string_view name) { return try_map_rows_mut(name).value(); }
#endif
};

/* What is wrong with a store. */
enum class fault_kind : std::int32_t {
    other = NUMPACK_FAULT_OTHER,
    metadata = NUMPACK_FAULT_METADATA,
    redo = NUMPACK_FAULT_REDO,
    data = NUMPACK_FAULT_DATA,
    bitmap = NUMPACK_FAULT_BITMAP,
    shared = NUMPACK_FAULT_SHARED,
    orphan = NUMPACK_FAULT_ORPHAN,
    side = NUMPACK_FAULT_SIDE,
    leftover = NUMPACK_FAULT_LEFTOVER,
    surplus = NUMPACK_FAULT_SURPLUS,
    modified = NUMPACK_FAULT_MODIFIED
};

/* One thing that was found. The texts are valid during the call. */
struct fault {
    fault_kind kind;
    /* No data is wrong or lost. */
    bool is_notice;
    std::string_view file;
    /* Empty where no array is concerned. */
    std::string_view array;
    std::string_view message;
};

/* Told each thing that was found. */
using fault_callback = stoppable<const fault &>;

/* How many things were found. */
struct verification {
    std::uint64_t faults = 0;
    std::uint64_t notices = 0;
    /* The first fault. */
    std::string message;
    bool is_sound() const noexcept { return faults == 0; }
};

namespace detail {

struct fault_listener {
    const fault_callback *callback;
    guard caught;

    static std::int32_t on_fault(std::int32_t kind, std::int32_t is_notice, const char *file,
                                 const char *array, const char *message, void *user) noexcept {
        auto &self = *static_cast<fault_listener *>(user);
        const bool goes_on = self.caught.run([&] {
            const auto view = [](const char *text) {
                return text == nullptr ? std::string_view() : std::string_view(text);
            };
            const fault found{static_cast<fault_kind>(kind), is_notice != 0, view(file),
                              view(array), view(message)};
            return !*self.callback || (*self.callback)(found);
        });
        return goes_on ? 0 : 1;
    }
};

} // namespace detail

/* Looks for everything that is wrong with the store at a path; writes nothing. Faults are a result,
 * not an error. `status::not_a_store`, `cancelled`, `changed`, `io`. */
inline result<verification> try_verify_store(std::string_view path,
                                             const fault_callback &callback = {}) {
    detail::fault_listener heard{&callback, {}};
    verification found;
    auto done = detail::call(numpack_store_verify, path, heard.on_fault, &heard, &found.faults,
                             &found.notices);
    heard.caught.rethrow();
    if (!done && (done.status() != status::format || found.faults == 0)) {
        return done.failure();
    }
    found.message = done.message();
    return found;
}

#if NUMPACK_EXCEPTIONS
inline verification verify_store(std::string_view path, const fault_callback &callback = {}) {
    return try_verify_store(path, callback).value();
}
#endif

NUMPACK_END

#endif /* NUMPACK_STORE_HPP */
