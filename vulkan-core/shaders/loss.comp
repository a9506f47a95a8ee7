// The loss of each row over classes, and the gradient for what it was computed from, both at once if both
// are wanted. A are logits, or logarithms of probabilities; B says which class each row has, or how
// probable each class should be.

#define STATS vec4
#include "rows.glsl"

const uint CROSS_ENTROPY = 0u, NLL = 1u;
// What a row counts in the mean, instead of its loss.
const uint WEIGHTS = 2u;
layout(constant_id = 7) const uint T_WEIGHT = 0u;
// Whether classes have weights, and whether a part of each target is spread over all of them.
layout(constant_id = 8) const uint HAS_WEIGHT = 0u;
layout(constant_id = 9) const uint SMOOTH = 0u;
// Whether losses are divided by what all rows count, which each group sums.
layout(constant_id = 10) const uint COUNTS = 0u;
const bool IS_PROBABLE = T_B <= BF16;
// Whether a row's target has a part in every class.
const bool IS_SPREAD = IS_PROBABLE || SMOOTH == 1u;

layout(set = 0, binding = 4, std430) buffer Losses { float data_losses[]; };
layout(set = 0, binding = 5, std430) readonly buffer Weight { uint data_weight[]; };
layout(set = 0, binding = 6, std430) readonly buffer Upstream { float data_upstream[]; };
layout(set = 0, binding = 7, std430) readonly buffer Divisor { float data_divisor[]; };

FLOATS(load_weight, T_WEIGHT, data_weight)

#define KEPT uintBitsToFloat(push.more[0])
#define EVEN uintBitsToFloat(push.more[1])
#define FACTOR uintBitsToFloat(push.more[2])
#define IGNORE uvec2(push.more[3], push.more[4])
#define WEIGHT_START push.more[5]
#define UPSTREAM_AT(OUTER, INNER) (push.more[6] + (OUTER) * push.more[7] + (INNER) * push.more[8])
// What is wanted; whether losses are divided by a number from memory, and whether there is a gradient of the
// result.
#define WANTS_LOSS ((push.more[12] & 1u) != 0u)
#define WANTS_GRAD ((push.more[12] & 2u) != 0u)
#define DIVIDES ((push.more[12] & 4u) != 0u)
#define HAS_UPSTREAM ((push.more[12] & 8u) != 0u)
// The type of class indices.
#define T_INDEX push.more[13]
#define LOSS_AT(OUTER, INNER) (push.more[9] + (OUTER) * push.more[10] + (INNER) * push.more[11])

// Classes that are none: what counts for nothing, and what no row can have.
const uint IGNORED = 0xffffffffu, BEYOND = 0xfffffffeu;

uint class_at(uint at) {
    uvec2 v;
    if (T_INDEX == I64) v = data_b2[at];
    else if (T_INDEX == I32) v = widen(I32, uvec2(data_b[at], 0u));
    else v = uvec2((data_b[at >> 2] >> ((at & 3u) * 8u)) & 0xffu, 0u);
    if (v == IGNORE) return IGNORED;
    return v.y != 0u || v.x >= push.columns ? BEYOND : v.x;
}

float weight_of(uint own_class) {
    if (own_class == IGNORED) return 0.0;
    if (own_class == BEYOND) return NAN;
    return HAS_WEIGHT == 1u ? load_weight(WEIGHT_START + own_class) : 1.0;
}

vec4 weights(uint c) {
    if (HAS_WEIGHT == 0u) return vec4(1.0);
    uint at = WEIGHT_START + c;
    if (FOURS == 0u) return vec4(load_weight(at));
    return vec4(load_weight(at), load_weight(at + 1u), load_weight(at + 2u), load_weight(at + 3u));
}

// What each class has of a row's target, but for the class that the row has.
vec4 spread(uint c) {
    if (IS_PROBABLE) return weights(c) * (load_b(b_row, c) * KEPT + EVEN);
    return weights(c) * EVEN;
}

float finite(float m) { return m == -INFINITY ? 0.0 : m; }

// The largest logit, the sum of e^(x - largest), that of the spread targets times x - largest, and that of
// the spread targets.
vec4 combine(vec4 a, vec4 b) {
    float m = max(a.x, b.x), from = finite(m);
    vec4 factor = exp_below(vec4(a.x, b.x, a.x, b.x) - from);
    float z = (a.z + (finite(a.x) - from) * a.w) + (b.z + (finite(b.x) - from) * b.w);
    return vec4(m, a.y * factor.x + b.y * factor.y, z, a.w + b.w);
}

vec4 find() {
    vec4 largest = vec4(-INFINITY);
    EACH_COLUMN(c) largest = max(largest, load_a(a_row, c));
    float m = max_of(largest), from = finite(m);
    Sum sum = NO_SUM, along = NO_SUM, all = NO_SUM;
    EACH_COLUMN(c) {
        vec4 x = load_a(a_row, c) - from;
        add(sum, exp_below(x));
        if (IS_SPREAD) {
            vec4 part = spread(c);
            add(along, part * x);
            add(all, part);
        }
    }
    return vec4(m, total_of(sum), total_of(along), total_of(all));
}

shared float counts[256];

// What all rows count, summed by the whole group, always in the same order.
float count_all() {
    uint id = gl_LocalInvocationID.x, size = gl_WorkGroupSize.x;
    Sum mine = NO_SUM;
    for (uint i = id; i < push.rows; i += size) add(mine, vec4(weight_of(class_at(push.start[2] + i))));
    counts[id] = (mine.total - mine.lost).x;
    for (uint part = size / 2u; part > 0u; part /= 2u) {
        barrier();
        if (id < part) counts[id] += counts[id + part];
    }
    barrier();
    return counts[0];
}

void main() {
    // Before some of the group go.
    float divisor = COUNTS == 1u ? count_all() : 1.0;
    if (!has_row()) return;
    uint outer = push.inner == 1u ? row : row / push.inner;
    uint inner = row - outer * push.inner;
    uint own_class = IS_PROBABLE ? 0u : class_at(b_row);
    float weight = IS_PROBABLE ? 1.0 : weight_of(own_class);
    if (OP == WEIGHTS) {
        data_losses[LOSS_AT(outer, inner)] = weight;
        return;
    }
    vec4 all = vec4(0.0, 1.0, 0.0, 0.0);
    if (OP == CROSS_ENTROPY) {
        if (STAGE != APPLY) all = find();
        all = all_found(all);
        if (STAGE == FIND) return;
    }
    float from = finite(all.x), log_sum = log_(all.y);
    float factor = FACTOR / (DIVIDES ? data_divisor[0] : divisor);
    float own = IS_PROBABLE ? 0.0 : OP == NLL ? weight : weight * KEPT;

    if (WANTS_LOSS && lane == 0u) {
        float loss = IS_SPREAD ? all.w * log_sum - all.z : 0.0;
        if (!IS_PROBABLE) {
            float x = load_a_one(a_row + (own_class < push.columns ? own_class : 0u) * push.column_stride[1]);
            loss += OP == NLL ? -(own * x) : own * (log_sum - (x - from));
            if (own_class == IGNORED) loss = 0.0;
            if (own_class == BEYOND) loss = NAN;
        }
        data_losses[LOSS_AT(outer, inner)] = loss * factor;
    }
    if (WANTS_GRAD) {
        if (HAS_UPSTREAM) factor *= data_upstream[UPSTREAM_AT(outer, inner)];
        float share = (own + (IS_SPREAD ? all.w : 0.0)) / all.y;
        EACH_COLUMN(c) {
            vec4 v = vec4(0.0);
            if (OP == CROSS_ENTROPY) v = exp_below(load_a(a_row, c) - from) * share;
            if (IS_SPREAD) v -= spread(c);
            if (!IS_PROBABLE) {
                uvec4 columns = uvec4(c) + (FOURS == 1u ? uvec4(0u, 1u, 2u, 3u) : uvec4(0u));
                v -= mix(vec4(0.0), vec4(own), equal(columns, uvec4(own_class)));
                if (own_class == BEYOND) v = vec4(NAN);
            }
            store_out(out_row, c, !IS_PROBABLE && own_class == IGNORED ? vec4(0.0) : v * factor);
        }
    }
}
