// What the products of matrices share: out = a b, for each of some matrices, and what is done with each
// element at the end. Elements are multiplied and summed as floats of 32 bits.

layout(constant_id = 3) const uint T_A = 0u;
layout(constant_id = 4) const uint T_B = 0u;
layout(constant_id = 5) const uint T_BIAS = 0u;
// How four elements of a matrix may be read at once: not, along the summed dimension, along the other.
layout(constant_id = 6) const uint READ_A = 0u;
layout(constant_id = 7) const uint READ_B = 0u;
layout(constant_id = 8) const uint HAS_BIAS = 0u;
layout(constant_id = 9) const uint ACTIVATION = 0u;
const uint SCALAR = 0u, SUMMED = 1u, ACROSS = 2u;

layout(push_constant) uniform Push {
    // Rows, columns, summed elements, and how many matrices there are along the inner of two dimensions.
    uint m;
    uint n;
    uint k;
    uint inner;
    // For each tensor: where it begins, from one row (or summed element) and column to the next, and from
    // one matrix to the next along both dimensions.
    uint start[3];
    uint a_row;
    uint a_k;
    uint b_k;
    uint b_column;
    uint a_matrix[2];
    uint b_matrix[2];
    // How many tiles, or elements, there are in all, and how many invocations each element has.
    uint count;
    uint parts;
} push;

layout(set = 0, binding = 0, std430) buffer Out { float data_out[]; };
layout(set = 0, binding = 0, std430) buffer Out4 { vec4 data_out4[]; };
layout(set = 0, binding = 1, std430) readonly buffer A { uint data_a[]; };
layout(set = 0, binding = 1, std430) readonly buffer A2 { uvec2 data_a2[]; };
layout(set = 0, binding = 1, std430) readonly buffer A4 { vec4 data_a4[]; };
layout(set = 0, binding = 2, std430) readonly buffer B { uint data_b[]; };
layout(set = 0, binding = 2, std430) readonly buffer B2 { uvec2 data_b2[]; };
layout(set = 0, binding = 2, std430) readonly buffer B4 { vec4 data_b4[]; };
layout(set = 0, binding = 3, std430) readonly buffer Bias { uint data_bias[]; };

#include "elements.glsl"
#include "math.glsl"

#define FLOATS(NAME, T, DATA)                                                                     \
    float NAME(uint at) {                                                                         \
        if (T == F32) return uintBitsToFloat(DATA[at]);                                           \
        uint bits = (DATA[at >> 1] >> ((at & 1u) * 16u)) & 0xffffu;                               \
        return T == F16 ? half_to_float(bits) : uintBitsToFloat(bits << 16);                      \
    }

FLOATS(load_a, T_A, data_a)
FLOATS(load_b, T_B, data_b)
FLOATS(load_bias, T_BIAS, data_bias)

// Four from `at` on, which is a multiple of 4.
#define FOURS(NAME, T, DATA)                                                                      \
    vec4 NAME(uint at) {                                                                          \
        if (T == F32) return DATA##4[at >> 2];                                                    \
        uvec2 words = DATA##2[at >> 2];                                                           \
        if (T == BF16) return uintBitsToFloat(uvec4(words.x << 16, words.x & 0xffff0000u,         \
                                                    words.y << 16, words.y & 0xffff0000u));       \
        return vec4(half_to_float(words.x & 0xffffu), half_to_float(words.x >> 16),               \
                    half_to_float(words.y & 0xffffu), half_to_float(words.y >> 16));              \
    }

FOURS(four_a, T_A, data_a)
FOURS(four_b, T_B, data_b)

// Where the matrices of a number begin.
uint matrix_a(uint i) {
    return push.start[0] + i / push.inner * push.a_matrix[0] + i % push.inner * push.a_matrix[1];
}
uint matrix_b(uint i) {
    return push.start[1] + i / push.inner * push.b_matrix[0] + i % push.inner * push.b_matrix[1];
}

// What becomes of a sum: a bias for its column is added, and an activation taken.
float finish(float sum, uint column) {
    float x = HAS_BIAS == 1u ? sum + load_bias(push.start[2] + column) : sum;
    if (ACTIVATION == 1u) return x > 0.0 || is_nan(x) ? x : 0.0;
    if (ACTIVATION == 2u) return gelu_(x);
    if (ACTIVATION == 3u) return gelu_tanh_(x);
    if (ACTIVATION == 4u) return silu_(x);
    if (ACTIVATION == 5u) return tanh_(x);
    if (ACTIVATION == 6u) return sigmoid_(x);
    return x;
}

// The same for a tile that was just written, one element after the other: with one copy of the code for
// all of them instead of one each, which takes drivers minutes to compile.
void finish_tile(uint at, uint column, uint rows, uint columns) {
    if (HAS_BIAS == 0u && ACTIVATION == 0u) return;
    for (uint i = 0u; i < rows * columns; i++) {
        uint r = i / columns, c = i % columns;
        uint place = at + r * push.n + c;
        data_out[place] = finish(data_out[place], column + c);
    }
}
