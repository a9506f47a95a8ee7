// Elements by an index along one dimension: A where the index is 0, and B the indices. Of A only the slices
// from FIRST on may be seen; what others would bring is C, the result so far, or 0 if there is none yet.
#define INPUTS 3
#include "pointwise.glsl"
#define WATCH 4
#include "watch.glsl"

uvec2 compute(uint i, uvec2 a, uvec2 b, uvec2 c) {
    uint stride = push.scalar[0], size = push.scalar[1], first = push.scalar[2], count = push.scalar[3];
    // Beyond the end there is no index.
    if (i >= push.n) return uvec2(0u);
    uvec2 before = SCALAR == 1u ? uvec2(0u) : c;
    uvec2 index = T_B == I32 ? uvec2(b.x, int(b.x) < 0 ? 0xffffffffu : 0u) : b;
    if (index.y != 0u || index.x >= size) {
        if (SCALAR == 1u) note(index, size);
        return before;
    }
    uint at = index.x - first;
    if (at >= count) return before;
    return load_a(T_A, place(1u, i) + at * stride);
}
