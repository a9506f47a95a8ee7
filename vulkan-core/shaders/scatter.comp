// What an index along one dimension leads to an element is added to it, in the order of the indices; each
// element of the result has one invocation. CLASS 0 adds floats, CLASS 1 integers of 64 bits. C is the
// source where the number along the dimension is 0.
//
// SEGMENTS 0: all indices are looked at; A is the number of the result's slice, B the first index.
// SEGMENTS 1: `segments.comp` has made a list for each slice, from A to before B.
#define INPUTS 3
#include "pointwise.glsl"
#include "long.glsl"
#if SEGMENTS == 0
#define WATCH 4
#include "watch.glsl"
#else
layout(set = 0, binding = 4, std430) readonly buffer Order { uint data_order[]; };
#endif

#if CLASS == 0
float sum;
void add(uvec2 bits) {
    precise float next = sum + as_float(T_C, bits);
    sum = next;
}
#else
uvec2 sum;
void add(uvec2 bits) { sum = long_sum(sum, widen(T_C, bits)); }
#endif

uvec2 compute(uint i, uvec2 a, uvec2 b, uvec2 c) {
    if (i >= push.n) return uvec2(0u);
    uint from = place(3u, i);
#if CLASS == 0
    sum = uintBitsToFloat(data_out[place(0u, i)]);
#else
    sum = data_out2[place(0u, i)];
#endif
#if SEGMENTS == 0
    uint count = push.scalar[0], size = push.scalar[3];
    uint at = place(2u, i);
    for (uint k = 0u; k < count; k++) {
        uvec2 index = widen(T_B, load_b(T_B, at + k * push.scalar[1]));
        if (index == uvec2(a.x, 0u)) {
            add(load_c(T_C, from + k * push.scalar[2]));
        } else if (a.x == 0u && (index.y != 0u || index.x >= size)) {
            // The first slice's invocation tells.
            note(index, size);
        }
    }
#else
    for (uint p = a.x; p < b.x; p++) {
        uint k = data_order[p] - push.scalar[1];
        if (k < push.scalar[0]) add(load_c(T_C, from + k * push.scalar[2]));
    }
#endif
#if CLASS == 0
    return uvec2(floatBitsToUint(sum), 0u);
#else
    return sum;
#endif
}
