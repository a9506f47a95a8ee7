/* What the C++ test programs share. Each is called as PROGRAM CHECKPOINT FOLDER. */
#ifndef CHECK_HPP
#define CHECK_HPP

#include <numpack.hpp>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

inline int failures = 0;

#define CHECK(condition)                                                                     \
    do {                                                                                     \
        if (!(condition)) {                                                                  \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);             \
            failures++;                                                                      \
        }                                                                                    \
    } while (0)

inline std::string join(const std::string &folder, const char *name) { return folder + "/" + name; }

inline bool exists(const std::string &path) { return std::ifstream(path).good(); }

inline std::string read_file(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_file(const std::string &path, std::string_view bytes) {
    std::ofstream(path, std::ios::binary).write(bytes.data(), std::streamsize(bytes.size()));
}

template <class T>
bool equal(numpack::span<T> a, std::initializer_list<std::remove_const_t<T>> b) {
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin());
}

/* Counts how often it is destroyed, wherever it was moved to. */
class witness {
  public:
    explicit witness(int &count) : count_(&count) {}
    witness(witness &&other) noexcept : count_(other.count_) { other.count_ = nullptr; }
    ~witness() {
        if (count_ != nullptr) {
            ++*count_;
        }
    }

  private:
    int *count_;
};

#if NUMPACK_EXCEPTIONS
/* The status of the error that is thrown; ok for none. */
template <class F>
numpack::status thrown_by(F body) {
    try {
        body();
    } catch (const numpack::error &error) {
        CHECK(std::strlen(error.what()) > 10);
        return error.status();
    }
    return numpack::status::ok;
}
#endif

inline int finish() {
    if (failures == 0) {
        std::puts("all rules hold");
    }
    return failures == 0 ? 0 : 1;
}

#endif
