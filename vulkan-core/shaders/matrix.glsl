// What the products of matrices share: out = a b, for each of some matrices, and what is done with each
// element at the end. Elements are multiplied and summed as floats of 32 bits. Of one matrix, the sums of
// the rows of a may be taken beside it.

layout(constant_id = 3) const uint T_A = 0u;
layout(constant_id = 4) const uint T_B = 0u;
layout(constant_id = 5) const uint T_BESIDE = 0u;
// How four elements of a matrix may be read at once: not, along the summed dimension, along the other.
layout(constant_id = 6) const uint READ_A = 0u;
layout(constant_id = 7) const uint READ_B = 0u;
layout(constant_id = 8) const uint HAS_BIAS = 0u;
layout(constant_id = 9) const uint ACTIVATION = 0u;
// Whether the product, which is then left as it is, and the sums are added to what is there.
layout(constant_id = 10) const uint ADDS = 0u;
layout(constant_id = 11) const uint SUMS = 0u;
const uint SCALAR = 0u, SUMMED = 1u, ACROSS = 2u;

layout(push_constant) uniform Push {
    // Rows, columns, summed elements, and how many matrices there are along the inner of two dimensions.
    uint m;
    uint n;
    uint k;
    uint inner;
    // For each tensor: where it begins, from one row (or summed element) and column to the next, and from
    // one matrix to the next along both dimensions.
    uint start[5];
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
layout(set = 0, binding = 1, std430) readonly buffer A { uint data_a[]; };
layout(set = 0, binding = 1, std430) readonly buffer A2 { uvec2 data_a2[]; };
layout(set = 0, binding = 1, std430) readonly buffer A4 { vec4 data_a4[]; };
layout(set = 0, binding = 2, std430) readonly buffer B { uint data_b[]; };
layout(set = 0, binding = 2, std430) readonly buffer B2 { uvec2 data_b2[]; };
layout(set = 0, binding = 2, std430) readonly buffer B4 { vec4 data_b4[]; };
// A bias, or what the activation before the product gave, in the order of the result.
layout(set = 0, binding = 3, std430) readonly buffer Beside { uint data_beside[]; };
layout(set = 0, binding = 4, std430) buffer Sums { float data_sums[]; };

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
FLOATS(load_beside, T_BESIDE, data_beside)

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

// Whether the activation is so short that it may stand in many places.
const bool IS_SHORT = ACTIVATION < 2u || ACTIVATION > 6u;

// What an activation makes of an element at a place of the result, or its derivative.
float activate(float x, uint place) {
    if (ACTIVATION == 1u) return x > 0.0 || is_nan(x) ? x : 0.0;
    if (ACTIVATION == 2u) return gelu_(x);
    if (ACTIVATION == 3u) return gelu_tanh_(x);
    if (ACTIVATION == 4u) return silu_(x);
    if (ACTIVATION == 5u) return tanh_(x);
    if (ACTIVATION == 6u) return sigmoid_(x);
    if (ACTIVATION == 0u) return x;
    // As `backward.comp` has them.
    float y = load_beside(push.start[2] + place);
    if (ACTIVATION == 7u) return y > 0.0 || is_nan(y) ? x : 0.0;
    if (ACTIVATION == 8u) return x * (1.0 - y) * (1.0 + y);
    return x * (1.0 - y) * y;
}

// What becomes of a sum: a bias for its column is added, and an activation taken, or it is multiplied with
// the derivative of one.
float finish(float sum, uint place, uint column) {
    return activate(HAS_BIAS == 1u ? sum + load_beside(push.start[2] + column) : sum, place);
}

// Writes an element of the product.
void put(uint place, float sum) {
    uint at = push.start[3] + place;
    data_out[at] = ADDS == 1u ? data_out[at] + sum : sum;
}

// The same as `finish` for a tile that was just written, one element after the other: with one copy of the
// code for all of them instead of one each, which takes drivers minutes to compile.
void finish_tile(uint place, uint column, uint rows, uint columns) {
    if (HAS_BIAS == 0u && ACTIVATION == 0u) return;
    for (uint i = 0u; i < rows * columns; i++) {
        uint r = i / columns, c = i % columns;
        uint at = push.start[3] + place + r * push.n + c;
        data_out[at] = finish(data_out[at], place + r * push.n + c, column + c);
    }
}

// A sum that keeps the digits it would lose (Kahan's).
struct Total { float total; float lost; };
void add(inout Total sum, float value) {
    precise float summand = value - sum.lost;
    precise float total = sum.total + summand;
    sum.lost = (total - sum.total) - summand;
    sum.total = total;
}

// Writes the sum of a row of the one matrix a.
void put_sum(uint row, Total sum) {
    uint at = push.start[4] + row;
    precise float total = sum.total - sum.lost;
    data_sums[at] = ADDS == 1u ? data_sums[at] + total : total;
}

void sum_row(uint row) {
    if (SUMS == 0u || row >= push.m) return;
    uint at = push.start[0] + row * push.a_row;
    Total sum = Total(0.0, 0.0);
    for (uint k = 0u; k < push.k; k++) add(sum, load_a(at + k * push.a_k));
    put_sum(row, sum);
}
