// Softmax and its logarithm along a dimension, and their gradients: of a gradient (A) and a result (B).

#define STATS vec2
#include "rows.glsl"

const uint SOFTMAX = 0u, LOG = 1u, SOFTMAX_BACKWARD = 2u, LOG_BACKWARD = 3u;
const bool IS_BACKWARD = OP >= SOFTMAX_BACKWARD;
// Whether the result's memory keeps the powers until their sum is known; else they are computed again.
layout(constant_id = 7) const uint KEEP = 0u;
const bool KEEPS = KEEP == 1u && STAGE == WHOLE;

// Of no distance from minus infinity is there anything to say.
float finite(float m) { return m == -INFINITY ? 0.0 : m; }

// The largest element and the sum of e^(x - largest); or just a sum.
vec2 combine(vec2 a, vec2 b) {
    if (IS_BACKWARD) return vec2(0.0, a.y + b.y);
    float m = max(a.x, b.x);
    vec4 factor = exp_below(vec4(a.x, b.x, a.x, b.x) - finite(m));
    return vec2(m, a.y * factor.x + b.y * factor.y);
}

vec2 find() {
    Sum sum = NO_SUM;
    if (IS_BACKWARD) {
        EACH_COLUMN(c) {
            vec4 g = load_a(a_row, c);
            add(sum, OP == SOFTMAX_BACKWARD ? g * load_b(b_row, c) : g);
        }
        return vec2(0.0, total_of(sum));
    }
    vec4 largest = vec4(-INFINITY);
    EACH_COLUMN(c) largest = max(largest, load_a(a_row, c));
    float m = max_of(largest);
    float from = finite(m);
    EACH_COLUMN(c) {
        vec4 e = exp_below(load_a(a_row, c) - from);
        if (KEEPS) store_out(out_row, c, e);
        add(sum, e);
    }
    return vec2(m, total_of(sum));
}

void main() {
    if (!has_row()) return;
    vec2 mine = vec2(0.0);
    if (STAGE != APPLY) mine = find();
    vec2 all = all_found(mine);
    if (STAGE == FIND) return;
    if (IS_BACKWARD) {
        EACH_COLUMN(c) {
            vec4 g = load_a(a_row, c), y = load_b(b_row, c);
            store_out(out_row, c, OP == SOFTMAX_BACKWARD ? y * (g - all.y) : g - exp_below(y) * all.y);
        }
        return;
    }
    float from = finite(all.x);
    if (OP == LOG) {
        float log_sum = log_(all.y);
        EACH_COLUMN(c) store_out(out_row, c, (load_a(a_row, c) - from) - log_sum);
    } else if (KEEPS) {
        float factor = exp_below_one(finite(mine.x) - from) / all.y;
        EACH_COLUMN(c) store_out(out_row, c, load_out(out_row, c) * factor);
    } else {
        float factor = 1.0 / all.y;
        EACH_COLUMN(c) store_out(out_row, c, exp_below(load_a(a_row, c) - from) * factor);
    }
}
