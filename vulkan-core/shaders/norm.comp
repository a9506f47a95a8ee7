// Rows of A less their mean, over their deviation, times a weight, plus a bias; and what a gradient (B) of
// that is for A. Without the mean (RMS) the deviation is that from 0.

#define STATS NormStats
// How many elements, their mean, the sum of their squared distances from it; of the gradient times the
// weight the sum, and that of its products with the elements' distances from the mean.
struct NormStats { float n; float mean; float squares; float g; float gx; };
#include "rows.glsl"

const uint FORWARD = 0u, BACKWARD = 1u;
layout(constant_id = 7) const uint IS_RMS = 0u;
layout(constant_id = 8) const uint T_WEIGHT = 0u;
layout(constant_id = 9) const uint HAS_WEIGHT = 0u;
layout(constant_id = 10) const uint T_BIAS = 0u;
layout(constant_id = 11) const uint HAS_BIAS = 0u;

layout(set = 0, binding = 4, std430) readonly buffer Weight { uint data_weight[]; };
layout(set = 0, binding = 5, std430) readonly buffer Bias { uint data_bias[]; };
// Each row's mean and 1 / deviation, for the gradient of the weight.
layout(set = 0, binding = 6, std430) buffer Moments { vec2 data_moments[]; };

FLOATS(load_weight, T_WEIGHT, data_weight)
FLOATS(load_bias, T_BIAS, data_bias)

#define EPS uintBitsToFloat(push.more[0])
#define WEIGHT_START push.more[1]
#define BIAS_START push.more[2]
#define MOMENTS_START push.more[3]

vec4 weights(uint c) {
    if (HAS_WEIGHT == 0u) return vec4(1.0);
    uint at = WEIGHT_START + c;
    if (FOURS == 0u) return vec4(load_weight(at));
    return vec4(load_weight(at), load_weight(at + 1u), load_weight(at + 2u), load_weight(at + 3u));
}

vec4 biases(uint c) {
    if (HAS_BIAS == 0u) return vec4(0.0);
    uint at = BIAS_START + c;
    if (FOURS == 0u) return vec4(load_bias(at));
    return vec4(load_bias(at), load_bias(at + 1u), load_bias(at + 2u), load_bias(at + 3u));
}

// Of two parts: the mean of all (Chan, Golub and LeVeque 1983), and the sums about it.
NormStats combine(NormStats a, NormStats b) {
    if (b.n == 0.0) return a;
    if (a.n == 0.0) return b;
    float n = a.n + b.n;
    float apart = IS_RMS == 1u ? 0.0 : b.mean - a.mean;
    float mean = a.mean + apart * (b.n / n);
    float squares = (a.squares + b.squares) + apart * apart * (a.n * (b.n / n));
    float gx = (a.gx + (a.mean - mean) * a.g) + (b.gx + (b.mean - mean) * b.g);
    return NormStats(n, mean, squares, a.g + b.g, gx);
}

NormStats find() {
    NormStats mine = NormStats(0.0, 0.0, 0.0, 0.0, 0.0);
    uint steps = first_column < push.columns ? (push.columns - first_column + column_step - 1u) / column_step : 0u;
    mine.n = float(steps * (FOURS == 1u ? 4u : 1u));
    if (steps == 0u) return mine;
    if (IS_RMS == 0u) {
        Sum sum = NO_SUM;
        EACH_COLUMN(c) add(sum, load_a(a_row, c));
        mine.mean = total_of(sum) / mine.n;
    }
    Sum squares = NO_SUM, g = NO_SUM, gx = NO_SUM;
    EACH_COLUMN(c) {
        vec4 x = load_a(a_row, c) - mine.mean;
        add(squares, x * x);
        if (OP == BACKWARD) {
            vec4 part = load_b(b_row, c) * weights(c);
            add(g, part);
            add(gx, part * x);
        }
    }
    mine.squares = total_of(squares);
    mine.g = total_of(g);
    mine.gx = total_of(gx);
    return mine;
}

void main() {
    if (!has_row()) return;
    NormStats all = NormStats(0.0, 0.0, 0.0, 0.0, 0.0);
    if (STAGE != APPLY) all = find();
    all = all_found(all);
    if (STAGE == FIND) return;
    float deviation = sqrt(all.squares / all.n + EPS);
    float scale = 1.0 / deviation;
    if (OP == FORWARD) {
        EACH_COLUMN(c) {
            vec4 v = (load_a(a_row, c) - all.mean) * scale;
            if (HAS_WEIGHT == 1u) v *= weights(c);
            store_out(out_row, c, v + biases(c));
        }
        return;
    }
    if (lane == 0u) data_moments[MOMENTS_START + row] = vec2(all.mean, scale);
    float middle = IS_RMS == 1u ? 0.0 : all.g / all.n;
    float along = all.gx / all.n * scale * scale;
    EACH_COLUMN(c) {
        vec4 x = load_a(a_row, c) - all.mean;
        vec4 g = load_b(b_row, c) * weights(c);
        store_out(out_row, c, scale * (g - middle - x * along));
    }
}
