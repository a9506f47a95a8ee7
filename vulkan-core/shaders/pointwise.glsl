// What all kernels over the elements of one shape share: each invocation makes one element of the
// result, or four that lie one after another. A kernel that includes this defines `INPUTS`, how many tensors
// it reads, and `compute`, the bits of element `i` from those of the inputs.

layout(local_size_x_id = 0) in;

layout(constant_id = 1) const uint OP = 0u;
// The types of the result and of the inputs.
layout(constant_id = 2) const uint T_OUT = 0u;
layout(constant_id = 3) const uint T_A = 0u;
layout(constant_id = 4) const uint T_B = 0u;
layout(constant_id = 5) const uint T_C = 0u;
// How many dimensions there are, 1 to 4.
layout(constant_id = 6) const uint DIMS = 1u;
// A bit for each tensor, the result first: its elements lie one after another.
layout(constant_id = 7) const uint LINEAR = 0u;
// How many elements an invocation makes: 4 only if the result is in FOURS, and if there are not just as
// many, has room for the rest of the last four that nobody looks at.
layout(constant_id = 8) const uint EACH = 1u;
// Whether a number takes the place of B or C.
layout(constant_id = 9) const uint SCALAR = 0u;
// A bit for each tensor: it is linear, and its first four elements begin where four may be read at once.
layout(constant_id = 10) const uint FOURS = 0u;

layout(push_constant) uniform Push {
    uint n;
    // Where each tensor begins, in elements from the start of what is bound.
    uint start[4];
    // The sizes, the outermost first, and each tensor's strides, in elements.
    uint size[4];
    uint stride[16];
    uint scalar[4];
} push;

// Each buffer is seen as words, and as pairs and fours of words.
#define BUFFER(BINDING, ACCESS, DATA)                                                             \
    layout(set = 0, binding = BINDING, std430) ACCESS buffer DATA##_words { uint DATA[]; };       \
    layout(set = 0, binding = BINDING, std430) ACCESS buffer DATA##_pairs { uvec2 DATA##2[]; };   \
    layout(set = 0, binding = BINDING, std430) ACCESS buffer DATA##_fours { uvec4 DATA##4[]; };

BUFFER(0, , data_out)
#if INPUTS >= 1
BUFFER(1, readonly, data_a)
#endif
#if INPUTS >= 2
BUFFER(2, readonly, data_b)
#endif
#if INPUTS >= 3
BUFFER(3, readonly, data_c)
#endif

#include "elements.glsl"

// Where element i of a tensor is.
uint place(uint tensor, uint i) {
    if ((LINEAR >> tensor & 1u) == 1u) return push.start[tensor] + i;
    uint at = push.start[tensor];
    uint left = i;
    if (DIMS > 3u) { uint up = left / push.size[3]; at += (left - up * push.size[3]) * push.stride[tensor * 4u + 3u]; left = up; }
    if (DIMS > 2u) { uint up = left / push.size[2]; at += (left - up * push.size[2]) * push.stride[tensor * 4u + 2u]; left = up; }
    if (DIMS > 1u) { uint up = left / push.size[1]; at += (left - up * push.size[1]) * push.stride[tensor * 4u + 1u]; left = up; }
    return at + left * push.stride[tensor * 4u];
}

// Element `at`, and four elements from `at` on, which is a multiple of 4.
#define LOADERS(NAME, DATA)                                                                       \
    uvec2 NAME(uint t, uint at) {                                                                 \
        if (t == I64) return DATA##2[at];                                                         \
        if (t >= U8) return uvec2((DATA[at >> 2] >> ((at & 3u) * 8u)) & 0xffu, 0u);               \
        if (t == F16 || t == BF16)                                                                \
            return uvec2((DATA[at >> 1] >> ((at & 1u) * 16u)) & 0xffffu, 0u);                     \
        return uvec2(DATA[at], 0u);                                                               \
    }                                                                                             \
    void NAME##4(uint t, uint at, out uvec2 v[4]) {                                               \
        if (t == I64) {                                                                           \
            uvec4 low = DATA##4[at >> 1], high = DATA##4[(at >> 1) + 1u];                         \
            v[0] = low.xy;                                                                        \
            v[1] = low.zw;                                                                        \
            v[2] = high.xy;                                                                       \
            v[3] = high.zw;                                                                       \
        } else {                                                                                  \
            uvec4 four;                                                                           \
            if (t >= U8) {                                                                        \
                four = (uvec4(DATA[at >> 2]) >> uvec4(0u, 8u, 16u, 24u)) & 0xffu;                 \
            } else if (t == F16 || t == BF16) {                                                   \
                uvec2 words = DATA##2[at >> 2];                                                   \
                four = (words.xxyy >> uvec4(0u, 16u, 0u, 16u)) & 0xffffu;                         \
            } else {                                                                              \
                four = DATA##4[at >> 2];                                                          \
            }                                                                                     \
            v[0] = uvec2(four.x, 0u);                                                             \
            v[1] = uvec2(four.y, 0u);                                                             \
            v[2] = uvec2(four.z, 0u);                                                             \
            v[3] = uvec2(four.w, 0u);                                                             \
        }                                                                                         \
    }

#if INPUTS >= 1
LOADERS(load_a, data_a)
#endif
#if INPUTS >= 2
LOADERS(load_b, data_b)
#endif
#if INPUTS >= 3
LOADERS(load_c, data_c)
#endif

// The elements of an input that an invocation needs. Of those beyond the end, what is read is of no matter.
#define LOAD(NAME, T, TENSOR, V)                                                                  \
    if (EACH == 4u && (FOURS >> TENSOR & 1u) == 1u) {                                             \
        NAME##4(T, push.start[TENSOR] + first, V);                                                \
    } else {                                                                                      \
        for (uint k = 0u; k < EACH; k++) V[k] = NAME(T, place(TENSOR, min(first + k, push.n - 1u))); \
    }

uvec2 compute(uint i, uvec2 a, uvec2 b, uvec2 c);

// Puts an element where others may lie in the same word.
void store(uint at, uvec2 bits) {
    if (T_OUT == I64) {
        data_out2[at] = bits;
    } else if (per_word(T_OUT) == 0u) {
        data_out[at] = bits.x;
    } else {
        uint shift = per_word(T_OUT);
        uint width = 32u >> shift;
        uint mask = (1u << width) - 1u;
        uint bit = (at & ((1u << shift) - 1u)) * width;
        atomicAnd(data_out[at >> shift], ~(mask << bit));
        atomicOr(data_out[at >> shift], bits.x << bit);
    }
}

// Puts four elements from `at` on, which is a multiple of 4.
void store4(uint at, uvec2 v[4]) {
    if (T_OUT == I64) {
        data_out4[at >> 1] = uvec4(v[0], v[1]);
        data_out4[(at >> 1) + 1u] = uvec4(v[2], v[3]);
    } else if (per_word(T_OUT) == 0u) {
        data_out4[at >> 2] = uvec4(v[0].x, v[1].x, v[2].x, v[3].x);
    } else if (per_word(T_OUT) == 1u) {
        data_out2[at >> 2] = uvec2(v[0].x | v[1].x << 16, v[2].x | v[3].x << 16);
    } else {
        data_out[at >> 2] = v[0].x | v[1].x << 8 | v[2].x << 16 | v[3].x << 24;
    }
}

void main() {
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint first = (group * gl_WorkGroupSize.x + gl_LocalInvocationID.x) * EACH;
    if (first >= push.n) return;
    uvec2 a[4], b[4], c[4], v[4];
#if INPUTS >= 1
    LOAD(load_a, T_A, 1u, a)
#endif
#if INPUTS >= 2
    if (!(SCALAR == 1u && INPUTS == 2)) { LOAD(load_b, T_B, 2u, b) }
#endif
#if INPUTS >= 3
    if (SCALAR != 1u) { LOAD(load_c, T_C, 3u, c) }
#endif
    for (uint k = 0u; k < EACH; k++) v[k] = compute(first + k, a[k], b[k], c[k]);
    if (EACH == 4u) store4(push.start[0] + first, v);
    else store(place(0u, first), v[0]);
}
