// One value out of many elements, for each row: CLASS 0 as floats, CLASS 1 as integers of 64 bits.
//
// A row's elements are given to several invocations, each of which takes every so manieth, or on
// processors, which read best what lies in a row, so many one after another; what they find is reduced
// again by another dispatch. Which elements come together depends on the shape and the kind of device
// alone, so the result is the same from run to run.

layout(local_size_x_id = 0) in;

layout(constant_id = 1) const uint OP = 0u;
layout(constant_id = 2) const uint T_OUT = 0u;
layout(constant_id = 3) const uint T_A = 0u;
// How many dimensions tell the rows apart, and how many the elements of one, 1 to 4.
layout(constant_id = 4) const uint ROW_DIMS = 1u;
layout(constant_id = 5) const uint COLUMN_DIMS = 1u;
// Whether places come in a tensor of their own (of an earlier dispatch) or are the columns' numbers.
layout(constant_id = 6) const uint HAS_PLACES = 0u;
// Whether four elements may be read at once.
layout(constant_id = 7) const uint FOURS = 0u;

// Whether an invocation's elements lie one after another.
layout(constant_id = 8) const uint IN_A_ROW = 0u;

layout(push_constant) uniform Push {
    uint rows;
    uint columns;
    uint parts;
    uint start;
    uint row_size[4];
    uint row_stride[4];
    uint column_size[4];
    uint column_stride[4];
    // What a sum is multiplied by at the end.
    float factor;
} push;

layout(set = 0, binding = 0, std430) buffer Out { uint data_out[]; };
layout(set = 0, binding = 1, std430) readonly buffer A { uint data_a[]; };
layout(set = 0, binding = 1, std430) readonly buffer A2 { uvec2 data_a2[]; };
layout(set = 0, binding = 1, std430) readonly buffer A4 { uvec4 data_a4[]; };
// A row's mean each, or the places of elements.
layout(set = 0, binding = 2, std430) readonly buffer B { uint data_b[]; };
// The places of what was found.
layout(set = 0, binding = 3, std430) buffer Places { uint data_places[]; };

#include "elements.glsl"
#include "long.glsl"

const uint SUM = 0u, SQUARES = 1u, MAX = 2u, MIN = 3u, ARGMAX = 4u, ARGMIN = 5u;
const bool IS_SUM = OP <= SQUARES;
const bool IS_MAX = OP == MAX || OP == ARGMAX;
const bool HAS_PLACE = OP >= ARGMAX;

uint row_place(uint i) {
    uint at = push.start;
    uint left = i;
    if (ROW_DIMS > 3u) { uint up = left / push.row_size[3]; at += (left - up * push.row_size[3]) * push.row_stride[3]; left = up; }
    if (ROW_DIMS > 2u) { uint up = left / push.row_size[2]; at += (left - up * push.row_size[2]) * push.row_stride[2]; left = up; }
    if (ROW_DIMS > 1u) { uint up = left / push.row_size[1]; at += (left - up * push.row_size[1]) * push.row_stride[1]; left = up; }
    return at + left * push.row_stride[0];
}

uint column_place(uint i) {
    uint at = 0u;
    uint left = i;
    if (COLUMN_DIMS > 3u) { uint up = left / push.column_size[3]; at += (left - up * push.column_size[3]) * push.column_stride[3]; left = up; }
    if (COLUMN_DIMS > 2u) { uint up = left / push.column_size[2]; at += (left - up * push.column_size[2]) * push.column_stride[2]; left = up; }
    if (COLUMN_DIMS > 1u) { uint up = left / push.column_size[1]; at += (left - up * push.column_size[1]) * push.column_stride[1]; left = up; }
    return at + left * push.column_stride[0];
}

uvec2 load(uint at) {
    if (T_A == I64) return data_a2[at];
    if (T_A >= U8) return uvec2((data_a[at >> 2] >> ((at & 3u) * 8u)) & 0xffu, 0u);
    if (T_A == F16 || T_A == BF16) return uvec2((data_a[at >> 1] >> ((at & 1u) * 16u)) & 0xffffu, 0u);
    return uvec2(data_a[at], 0u);
}

#if CLASS == 0
#define VALUE float
VALUE value_of(uvec2 bits) { return as_float(T_A, bits); }
bool before(float a, float b) {
    // NaN is beyond everything.
    if (is_nan(a)) return !is_nan(b);
    return IS_MAX ? a > b : a < b;
}
bool same(float a, float b) { return a == b || (is_nan(a) && is_nan(b)); }
#else
#define VALUE uvec2
VALUE value_of(uvec2 bits) { return widen(T_A, bits); }
bool before(uvec2 a, uvec2 b) { return IS_MAX ? long_less(b, a) : long_less(a, b); }
bool same(uvec2 a, uvec2 b) { return a == b; }
#endif

VALUE best;
uint place;
#if CLASS == 0
// What the sum lost so far: of two summands, the digits that did not fit (Kahan's sum).
vec4 total;
vec4 lost;
#endif

void take(VALUE value, uint at) {
    // Of equal ones the first.
    if (before(value, best) || (HAS_PLACE && same(value, best) && at < place)) {
        best = value;
        place = at;
    }
}

#if CLASS == 0
void add4(vec4 value, float mean) {
    if (OP == SQUARES) {
        value = value - mean;
        value = value * value;
    }
    precise vec4 summand = value - lost;
    precise vec4 sum = total + summand;
    lost = (sum - total) - summand;
    total = sum;
}

void add1(float value, float mean) {
    if (OP == SQUARES) {
        value = value - mean;
        value = value * value;
    }
    precise float summand = value - lost.x;
    precise float sum = total.x + summand;
    lost.x = (sum - total.x) - summand;
    total.x = sum;
}

vec4 four(uint at) {
    if (T_A == F32) return uintBitsToFloat(data_a4[at >> 2]);
    uvec2 words = data_a2[at >> 2];
    uvec4 bits = (words.xxyy >> uvec4(0u, 16u, 0u, 16u)) & 0xffffu;
    return vec4(as_float(T_A, uvec2(bits.x, 0u)), as_float(T_A, uvec2(bits.y, 0u)),
                as_float(T_A, uvec2(bits.z, 0u)), as_float(T_A, uvec2(bits.w, 0u)));
}
#endif

void main() {
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= push.rows * push.parts) return;
    uint row = push.parts == 1u ? i : i / push.parts;
    uint part = i - row * push.parts;
    uint base = row_place(row);
    // The first of an invocation's elements (or fours), the one behind the last, and the step between.
    uint all = FOURS == 1u ? push.columns / 4u : push.columns;
    uint share = (all + push.parts - 1u) / push.parts;
    uint from = IN_A_ROW == 1u ? part * share : part;
    uint to = IN_A_ROW == 1u ? min(from + share, all) : all;
    uint step = IN_A_ROW == 1u ? 1u : push.parts;
#if CLASS == 0
    if (IS_SUM) {
        total = vec4(0.0);
        lost = vec4(0.0);
        float mean = OP == SQUARES ? uintBitsToFloat(data_b[row]) : 0.0;
        if (FOURS == 1u) {
            for (uint k = from; k < to; k += step) add4(four(base + 4u * k), mean);
        } else {
            for (uint k = from; k < to; k += step)
                add1(value_of(load(base + column_place(k))), mean);
        }
        vec4 rest = total - lost;
        float sum = FOURS == 1u ? (rest.x + rest.y) + (rest.z + rest.w) : rest.x;
        uvec2 bits = from_float(T_OUT, sum * push.factor);
#else
    if (IS_SUM) {
        uvec2 sum = uvec2(0u);
        for (uint k = from; k < to; k += step)
            sum = long_sum(sum, value_of(load(base + column_place(k))));
        uvec2 bits = from_long(T_OUT, sum);
#endif
        if (T_OUT == I64) {
            data_out[2u * i] = bits.x;
            data_out[2u * i + 1u] = bits.y;
        } else {
            data_out[i] = bits.x;
        }
        return;
    }
    best = value_of(load(base + column_place(from)));
    place = HAS_PLACES == 1u ? data_b[row * push.columns + from] : from;
    for (uint k = from + step; k < to; k += step) {
        uint at = HAS_PLACES == 1u ? data_b[row * push.columns + k] : k;
        take(value_of(load(base + column_place(k))), at);
    }
#if CLASS == 0
    uvec2 bits = uvec2(floatBitsToUint(best), 0u);
#else
    uvec2 bits = best;
#endif
    if (T_OUT == I64) {
        data_out[2u * i] = bits.x;
        data_out[2u * i + 1u] = bits.y;
    } else {
        data_out[i] = bits.x;
    }
    if (HAS_PLACE) data_places[i] = place;
}
