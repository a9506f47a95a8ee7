/* libnumpack for C++17 and later: tensors in files, without PyTorch or Python. Headers only, over
 * numpack.h and the library it belongs to.
 *
 * - A handle is owned by an object. Copying one of a kind that numpack.h can `_retain` shares it,
 *   as `share()` does; the others only move. An object that was moved from, or made by its default
 *   constructor, is empty: its functions fail with `status::parameter`. `c()` is the handle itself,
 *   borrowed, for functions of numpack.h; `release()` gives its ownership away.
 * - A function that can fail throws `numpack::error`. The same one with `try_` in front returns a
 *   `numpack::result` instead, and is there without exceptions too (-fno-exceptions, -fno-rtti).
 * - Paths and names are UTF-8. One with a NUL within is `status::parameter`.
 * - Memory goes in and out as anything with std::data and std::size, of the C++ type of the
 *   elements (`dtype_of`), or as std::byte, which fits every type. Another type is `status::type`,
 *   another size `status::parameter`.
 * - A callback is anything that can be called. What it throws comes out of the call that it was
 *   handed to, also of a `try_` one, and cancels the work if the callback is one that can.
 * - Threads: a `const` function may be called by several threads on one object, and one that is not
 *   by one at a time, where its class says nothing else. Each thread may have a copy of its own.
 *
 * | part | holds |
 * |---|---|
 * | numpack/result.hpp | `status`, `error`, `result`, versions |
 * | numpack/span.hpp | `span`, and how lists of numbers and memory are handed in |
 * | numpack/dtype.hpp | `dtype`, `dtype_of`, `scalar` |
 * | numpack/handle.hpp | what owns a handle, and the iterator over what it lists |
 * | numpack/callback.hpp | `progress_callback`, `warning_callback` |
 * | numpack/view.hpp | `array_view`, `rows`: what goes in |
 * | numpack/array.hpp | `list`, `array`, `mapped_rows`, `rows_mut`: what a store holds |
 * | numpack/store.hpp | `store`, `writer`, `verify_store` |
 * | numpack/package.hpp | `package`, `pack`, `unpack` |
 * | numpack/tensor.hpp | `tensor`: tensors in memory |
 * | numpack/checkpoint.hpp | `checkpoint`: the tensors of a file |
 * | numpack/tree.hpp | `node`: the object they are part of |
 * | numpack/object.hpp | `object`: whole objects to a file |
 * | numpack/convert.hpp | `from_torch_file`, `to_torch_file`, `export_file`, `save_tensors`, `from_torch` |
 * | numpack/scan.hpp | `scan`, `verify`, `diff` |
 * | numpack/device.hpp | `device`, `device_list`: GPUs |
 * | numpack/nn.hpp | `nn::tensor`: tensors that compute, with gradients |
 * | numpack/nn_module.hpp | `nn::module`, `nn::optimizer`: layers and training |
 * | numpack/nn_custom.hpp | `nn::custom_module`, `nn::custom_step`: modules and losses of one's own |
 */

#ifndef NUMPACK_HPP
#define NUMPACK_HPP

#include "numpack/array.hpp"
#include "numpack/callback.hpp"
#include "numpack/checkpoint.hpp"
#include "numpack/convert.hpp"
#include "numpack/device.hpp"
#include "numpack/dtype.hpp"
#include "numpack/handle.hpp"
#include "numpack/nn.hpp"
#include "numpack/nn_custom.hpp"
#include "numpack/nn_module.hpp"
#include "numpack/object.hpp"
#include "numpack/package.hpp"
#include "numpack/result.hpp"
#include "numpack/scan.hpp"
#include "numpack/span.hpp"
#include "numpack/store.hpp"
#include "numpack/tensor.hpp"
#include "numpack/tree.hpp"
#include "numpack/view.hpp"

#endif /* NUMPACK_HPP */
