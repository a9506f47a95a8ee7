// What kernels over rows share. A tensor is seen as [outer, columns, inner], and a row is what lies along
// its columns. It is taken by one invocation, by PARTS of them whose findings a second dispatch puts
// together, or (GROUP) by a group with shared memory, a lane each: what one finds is its STATS, `mine`, two
// of which are put together by `combine`, always in the same order.

layout(local_size_x_id = 0) in;

layout(constant_id = 1) const uint OP = 0u;
layout(constant_id = 2) const uint T_OUT = 0u;
layout(constant_id = 3) const uint T_A = 0u;
layout(constant_id = 4) const uint T_B = 0u;
// Whether four columns may be read and written at once, in all three tensors.
layout(constant_id = 5) const uint FOURS = 0u;
layout(constant_id = 6) const uint STAGE = 0u;
const uint WHOLE = 0u, FIND = 1u, APPLY = 2u;

layout(push_constant) uniform Push {
    uint rows;
    uint columns;
    uint parts;
    uint inner;
    // Of the result and of both inputs: where they begin, and from one index to the next of each dimension.
    uint start[3];
    uint outer_stride[3];
    uint column_stride[3];
    uint inner_stride[3];
    uint more[16];
} push;

layout(set = 0, binding = 0, std430) buffer Out { uint data_out[]; };
layout(set = 0, binding = 0, std430) buffer Out2 { uvec2 data_out2[]; };
layout(set = 0, binding = 0, std430) buffer Out4 { uvec4 data_out4[]; };
layout(set = 0, binding = 1, std430) readonly buffer A { uint data_a[]; };
layout(set = 0, binding = 1, std430) readonly buffer A2 { uvec2 data_a2[]; };
layout(set = 0, binding = 1, std430) readonly buffer A4 { uvec4 data_a4[]; };
layout(set = 0, binding = 2, std430) readonly buffer B { uint data_b[]; };
layout(set = 0, binding = 2, std430) readonly buffer B2 { uvec2 data_b2[]; };
layout(set = 0, binding = 2, std430) readonly buffer B4 { uvec4 data_b4[]; };
// What each part of each row found.
layout(set = 0, binding = 3, std430) buffer Found { STATS data_found[]; };

#include "elements.glsl"
#include "math.glsl"

// A float, of the type T.
#define FLOATS(NAME, T, DATA)                                                                     \
    float NAME(uint at) {                                                                         \
        if (T == F32) return uintBitsToFloat(DATA[at]);                                           \
        uint bits = (DATA[at >> 1] >> ((at & 1u) * 16u)) & 0xffffu;                               \
        return T == F16 ? half_to_float(bits) : uintBitsToFloat(bits << 16);                      \
    }

// Four columns from `c` on; or one, four times: whoever counts takes the first alone (see `sum_of`).
#define COLUMNS(NAME, T, DATA, TENSOR)                                                            \
    FLOATS(NAME##_one, T, DATA)                                                                   \
    vec4 NAME(uint row_at, uint c) {                                                              \
        if (FOURS == 0u) return vec4(NAME##_one(row_at + c * push.column_stride[TENSOR]));        \
        uint at = row_at + c;                                                                     \
        if (T == F32) return uintBitsToFloat(DATA##4[at >> 2]);                                   \
        uvec2 words = DATA##2[at >> 2];                                                           \
        if (T == BF16) return uintBitsToFloat(uvec4(words.x << 16, words.x & 0xffff0000u,         \
                                                    words.y << 16, words.y & 0xffff0000u));       \
        return vec4(half_to_float(words.x & 0xffffu), half_to_float(words.x >> 16),               \
                    half_to_float(words.y & 0xffffu), half_to_float(words.y >> 16));              \
    }

COLUMNS(load_a, T_A, data_a, 1)
COLUMNS(load_b, T_B, data_b, 2)
COLUMNS(load_out, T_OUT, data_out, 0)

// Puts four columns, or the first of these.
void store_out(uint row_at, uint c, vec4 v) {
    uint at = row_at + c * (FOURS == 1u ? 1u : push.column_stride[0]);
    if (T_OUT == F32) {
        if (FOURS == 1u) data_out4[at >> 2] = floatBitsToUint(v);
        else data_out[at] = floatBitsToUint(v.x);
        return;
    }
    if (FOURS == 1u) {
        data_out2[at >> 2] = uvec2(from_float(T_OUT, v.x).x | from_float(T_OUT, v.y).x << 16,
                                   from_float(T_OUT, v.z).x | from_float(T_OUT, v.w).x << 16);
        return;
    }
    // Its neighbour in the word may be another row's.
    uint bit = (at & 1u) * 16u;
    atomicAnd(data_out[at >> 1], ~(0xffffu << bit));
    atomicOr(data_out[at >> 1], from_float(T_OUT, v.x).x << bit);
}

float sum_of(vec4 v) { return FOURS == 1u ? (v.x + v.y) + (v.z + v.w) : v.x; }
float max_of(vec4 v) { return max(max(v.x, v.y), max(v.z, v.w)); }

// A sum that keeps the digits it would lose (Kahan's).
struct Sum { vec4 total; vec4 lost; };
const Sum NO_SUM = Sum(vec4(0.0), vec4(0.0));
void add(inout Sum sum, vec4 value) {
    precise vec4 summand = value - sum.lost;
    precise vec4 total = sum.total + summand;
    sum.lost = (total - sum.total) - summand;
    sum.total = total;
}
float total_of(Sum sum) { return sum_of(sum.total - sum.lost); }

// e^x of numbers that are not above 0, as exp_; what is too small to be normal is 0.
vec4 exp_below(vec4 x) {
    vec4 within = max(x, -104.0);
    vec4 n = floor(within * 1.44269504 + 0.5);
    precise vec4 r = (within - n * 0.693145751953125) - n * 1.4286067653e-6;
    vec4 p = (((0.0013942159712314606 * r + 0.008363775908946991) * r + 0.041666362434625626) * r
        + 0.16666573286056519) * r + 0.5;
    precise vec4 y = r + r * r * p;
    vec4 result = (1.0 + y) * uintBitsToFloat(uvec4(max(ivec4(n) + 127, 0)) << 23);
    return mix(result, x, greaterThan(floatBitsToUint(x) & 0x7fffffffu, uvec4(0x7f800000u)));
}
float exp_below_one(float x) { return exp_below(vec4(x)).x; }

STATS combine(STATS a, STATS b);

#ifdef GROUP
shared STATS pool[256];
#endif

// Which row, which of its columns, and where it is in each tensor.
uint row, lane, lanes;
uint out_row, a_row, b_row;
// From one step to the next.
uint first_column, column_step;

bool has_row() {
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
#ifdef GROUP
    // The whole group goes, or stays.
    if (group >= push.rows) return false;
    row = group;
    lane = gl_LocalInvocationID.x;
    lanes = gl_WorkGroupSize.x;
#else
    uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    lanes = STAGE == WHOLE ? 1u : push.parts;
    if (i >= push.rows * lanes) return false;
    row = STAGE == WHOLE ? i : i / lanes;
    lane = i - row * lanes;
#endif
    uint outer = push.inner == 1u ? row : row / push.inner;
    uint inner = row - outer * push.inner;
    out_row = push.start[0] + outer * push.outer_stride[0] + inner * push.inner_stride[0];
    a_row = push.start[1] + outer * push.outer_stride[1] + inner * push.inner_stride[1];
    b_row = push.start[2] + outer * push.outer_stride[2] + inner * push.inner_stride[2];
    first_column = FOURS == 1u ? 4u * lane : lane;
    column_step = FOURS == 1u ? 4u * lanes : lanes;
    return true;
}

// What all who take the row found. With FIND, it is noted for the second dispatch.
STATS all_found(STATS mine) {
#ifdef GROUP
    pool[lane] = mine;
    for (uint part = lanes / 2u; part > 0u; part /= 2u) {
        barrier();
        if (lane < part) pool[lane] = combine(pool[lane], pool[lane + part]);
    }
    barrier();
    return pool[0];
#else
    if (STAGE == FIND) data_found[row * lanes + lane] = mine;
    if (STAGE != APPLY) return mine;
    STATS all = data_found[row * lanes];
    for (uint part = 1u; part < lanes; part++) all = combine(all, data_found[row * lanes + part]);
    return all;
#endif
}

#define EACH_COLUMN(C) for (uint C = first_column; C < push.columns; C += column_step)
