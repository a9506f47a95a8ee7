/* Callbacks: what they are told, that they can cancel, and what they throw. */
#include "parts.hpp"

#include "check.hpp"

#include <memory>

using numpack::status;

struct stopped {
    int value;
};

/* Whether the body throws just this. */
template <class F>
static bool stops(F body, int value) {
    try {
        body();
    } catch (const stopped &thrown) {
        return thrown.value == value;
    }
    return false;
}

static void progress(const std::string &checkpoint, const std::string &folder) {
    const std::string store = join(folder, "callbacks.npk"), file = join(folder, "callbacks.pt");
    const std::string metadata = store + "/metadata.npkm";
    numpack::from_torch_options options;
    int calls = 0;
    options.progress = [&](std::uint64_t, std::uint64_t) {
        calls++;
        return false;
    };
    CHECK(thrown_by([&] { numpack::from_torch_file(checkpoint, store, options); }) ==
          status::cancelled);
    CHECK(calls == 1 && !exists(metadata));

    options.progress = [&](std::uint64_t, std::uint64_t) -> bool {
        calls++;
        throw stopped{7};
    };
    CHECK(stops([&] { numpack::from_torch_file(checkpoint, store, options); }, 7));
    CHECK(calls == 2 && !exists(metadata));
    CHECK(stops([&] { (void)numpack::try_from_torch_file(checkpoint, store, options); }, 7));

    /* One that owns something and returns nothing. */
    auto owned = std::make_shared<std::uint64_t>(0);
    options.progress = [owned](std::uint64_t done, std::uint64_t total) {
        CHECK(done <= total && done >= *owned);
        *owned = done;
    };
    const auto made = numpack::from_torch_file(checkpoint, store, options);
    CHECK(*owned == made.bytes && exists(metadata));

    numpack::to_torch_options back;
    back.progress = [](std::uint64_t, std::uint64_t) -> bool { throw stopped{8}; };
    CHECK(stops([&] { numpack::to_torch_file(store, file, back); }, 8) && !exists(file));
}

/* A checkpoint one tensor of which was damaged, so that there is something to warn of. */
static std::string damaged(const std::string &checkpoint, const std::string &folder) {
    const auto bytes =
        numpack::checkpoint::open(checkpoint).to_vector<std::byte>("model.hidden.weight");
    const std::string_view part(reinterpret_cast<const char *>(bytes.data()), bytes.size());
    std::string whole = read_file(checkpoint);
    const std::size_t at = whole.find(part);
    CHECK(at != std::string::npos);
    whole[at] = char(whole[at] ^ 1);
    const std::string path = join(folder, "damaged.pt");
    write_file(path, whole);
    return path;
}

static void warnings(const std::string &checkpoint, const std::string &folder) {
    const std::string path = damaged(checkpoint, folder), store = join(folder, "damaged.npk");
    const auto strict = numpack::checkpoint::open(path);
    CHECK(thrown_by([&] { strict.load("model.hidden.weight"); }) == status::format);
    const auto mild = numpack::checkpoint::open(path, numpack::crc::warn);
    mild.load("model.hidden.weight");
    int heard = 0;
    mild.warnings([&](std::string_view message) {
        CHECK(message.size() > 10);
        heard++;
    });
    CHECK(heard == 1);
    CHECK(stops([&] { mild.warnings([](std::string_view) { throw stopped{9}; }); }, 9));

    numpack::from_torch_options options;
    CHECK(thrown_by([&] { numpack::from_torch_file(path, store, options); }) == status::format);
    options.crc = numpack::crc::warn;
    options.warning = [](std::string_view) { throw stopped{10}; };
    /* The work is done when it warns. */
    CHECK(stops([&] { numpack::from_torch_file(path, store, options); }, 10));
    CHECK(numpack::verify_store(store).is_sound());
    heard = 0;
    options.existing = numpack::existing::replace;
    options.warning = [&](std::string_view) { heard++; };
    numpack::from_torch_file(path, store, options);
    CHECK(heard == 1);

    /* A warning of a commit, which is done whatever the callback throws. */
    write_file(join(store, "stray.txt"), "");
    numpack::writer writer = numpack::writer::replace(store);
    writer.save("x", std::vector<float>{1});
    CHECK(stops([&] { writer.commit([](std::string_view) { throw stopped{11}; }); }, 11));
    CHECK(!writer && numpack::store::open(store).array("x").to_vector<float>()[0] == 1);
}

static void faults(const std::string &folder) {
    const std::string path = join(folder, "faults.npk");
    numpack::store::create(path).save("a", std::vector<float>{1});
    write_file(join(path, "data_a.npkd"), "");
    const auto stop = [](const numpack::fault &) { throw stopped{12}; };
    CHECK(stops([&] { numpack::verify_store(path, stop); }, 12));
    CHECK(stops([&] { (void)numpack::try_verify_store(path, stop); }, 12));
}

/* What is in a file, and what is not the same in two. */
static void scanning(const std::string &checkpoint, const std::string &folder) {
    const numpack::scanned good = numpack::scan(checkpoint);
    CHECK(good.verdict == numpack::verdict::clean && good.weights_only);
    const std::string bad = join(folder, "bad.pkl");
    write_file(bad, "cos\nsystem\n(S'id'\ntR.");
    int heard = 0;
    const numpack::scanned worse = numpack::scan(bad, [&](const numpack::finding &found) {
        heard += found.level == numpack::verdict::dangerous && found.what.substr(0, 9) == "os.system";
    });
    CHECK(worse.verdict == numpack::verdict::dangerous && !worse.weights_only && heard == 1);
    CHECK(stops([&] { numpack::scan(bad, [](const numpack::finding &) { throw stopped{13}; }); }, 13));
    CHECK(thrown_by([&] { numpack::scan(bad, [](const numpack::finding &) { return false; }); }) ==
          status::cancelled);
    CHECK(numpack::try_scan(join(folder, "missing")).status() == status::io);

    CHECK(numpack::verify(checkpoint).is_sound());
    const std::string broken = damaged(checkpoint, folder);
    heard = 0;
    CHECK(numpack::verify(broken, [&](bool is_notice, std::string_view) { heard += !is_notice; })
              .faults == 1);
    CHECK(heard == 1 && !numpack::verify(broken).message.empty());
    CHECK(stops([&] { numpack::verify(broken, [](bool, std::string_view) { throw stopped{15}; }); },
                15));
    CHECK(numpack::checkpoint::open(checkpoint).sha256(0) !=
          numpack::checkpoint::open(checkpoint).sha256(1));

    const numpack::tensor t = numpack::tensor::copy(std::vector<float>{1, 2, 3, 4}, {2, 2});
    const numpack::tensor turned = t.transpose(0, 1);
    const std::string first = join(folder, "a.pt"), store = join(folder, "a.npk");
    numpack::save_tensors(first, {{"t", t}, {"turned", turned}});
    numpack::from_torch({{"t", t}, {"turned", turned}}, store);
    CHECK(thrown_by([&] { numpack::save_tensors(first, {{"t", t}}); }) == status::exists);
    CHECK(thrown_by([&] { numpack::from_torch({{"t", t}}, store, numpack::existing::refuse); }) ==
          status::exists);
    const auto a = numpack::checkpoint::open(first), b = numpack::checkpoint::open(store);
    CHECK(a.get("turned").storage == a.get("t").storage);
    CHECK(numpack::diff(a, b) == 0);
    CHECK(numpack::store::open(store).array("t").load().get<float>({1, 0}) == 3);
    CHECK(thrown_by([&] { numpack::export_file(first, join(folder, "a.safetensors")); }) ==
          status::unsupported);
    numpack::export_options options;
    options.copy_shared = true;
    CHECK(numpack::export_file(first, join(folder, "a.safetensors"), options).tensors == 2);
    options.array_names = {"turned"};
    CHECK(numpack::export_file(first, join(folder, "a.npz"), options).bytes == 16);
    const auto c = numpack::checkpoint::open(join(folder, "a.npz"));
    CHECK(c.to_vector<float>("turned") == (std::vector<float>{1, 3, 2, 4}));
    heard = 0;
    CHECK(numpack::diff(a, c, [&](const numpack::difference &found) {
              heard++;
              CHECK(!found.what.empty());
          }) == std::size_t(heard));
    CHECK(heard > 0);
    CHECK(stops([&] { numpack::diff(a, c, [](const numpack::difference &) { throw stopped{14}; }); },
                14));
}

void callbacks(const std::string &checkpoint, const std::string &folder) {
    progress(checkpoint, folder);
    warnings(checkpoint, folder);
    faults(folder);
    scanning(checkpoint, folder);
}
