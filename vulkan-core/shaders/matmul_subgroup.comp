// The product of matrices by tiles in the registers of a subgroup: each of its invocations reads elements of
// some rows of the one matrix and some columns of the other, and hears the others' columns from them. For
// programs on the host's processor, where reading costs more than all else.
#extension GL_KHR_shader_subgroup_ballot : require

// A group is one subgroup.
layout(local_size_x_id = 0) in;
const uint LANES = gl_WorkGroupSize.x;
// How many rows an invocation reads, how many columns a tile has, and how many of them an invocation reads.
layout(constant_id = 1) const uint ROWS = 1u;
layout(constant_id = 2) const uint WIDE = 1u;
const uint COLUMNS = (WIDE + LANES - 1u) / LANES;

#include "matrix.glsl"

// Does something for each invocation's element V of the columns of number c: with its column in the tile, and
// the element, `theirs`. Which invocation that is has to be a constant.
#define ONE(S, V, DO)                                                                                   \
    if (S < LANES && c * LANES + S < WIDE) {                                                            \
        float theirs = subgroupBroadcast(V, S);                                                         \
        DO(c * LANES + S)                                                                               \
    }
#define FOUR(S, V, DO) ONE(S, V, DO) ONE(S + 1u, V, DO) ONE(S + 2u, V, DO) ONE(S + 3u, V, DO)
#define FOR_EACH(V, DO) FOUR(0u, V, DO) FOUR(4u, V, DO) FOUR(8u, V, DO) FOUR(12u, V, DO)

void main() {
    uint high = ROWS * LANES;
    uint across = (push.n + WIDE - 1u) / WIDE, down = (push.m + high - 1u) / high;
    uint tile = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    if (tile >= push.count) return;
    uint matrix = tile / (across * down);
    tile -= matrix * across * down;
    uint first_row = tile / across * high, first_column = tile % across * WIDE;
    uint row = first_row + gl_SubgroupInvocationID, column = first_column + gl_SubgroupInvocationID;

    // Beyond the edge, what is at the edge is read once more, and not written.
    uint a_at[ROWS], b_at[COLUMNS];
    for (uint r = 0u; r < ROWS; r++) a_at[r] = matrix_a(matrix) + min(row + r * LANES, push.m - 1u) * push.a_row;
    for (uint c = 0u; c < COLUMNS; c++)
        b_at[c] = matrix_b(matrix) + min(column + c * LANES, push.n - 1u) * push.b_column;

    float sum[WIDE][ROWS];
    Total total[ROWS];
    for (uint r = 0u; r < ROWS; r++) {
        total[r] = Total(0.0, 0.0);
        for (uint c = 0u; c < WIDE; c++) sum[c][r] = 0.0;
    }
    for (uint k = 0u; k < push.k; k++) {
        float x[ROWS];
        for (uint r = 0u; r < ROWS; r++) {
            x[r] = load_a(a_at[r] + k * push.a_k);
            if (SUMS == 1u) add(total[r], x[r]);
        }
        for (uint c = 0u; c < COLUMNS; c++) {
            float y = load_b(b_at[c] + k * push.b_k);
#define MULTIPLY(J) for (uint r = 0u; r < ROWS; r++) sum[J][r] += x[r] * theirs;
            FOR_EACH(y, MULTIPLY)
        }
    }

    uint place = (matrix * push.m + row) * push.n + first_column;
    for (uint c = 0u; c < COLUMNS; c++) {
        float bias = 0.0;
        if (HAS_BIAS == 1u) bias = load_beside(push.start[2] + min(column + c * LANES, push.n - 1u));
#define WRITE(J)                                                                                        \
        if (first_column + J < push.n)                                                                  \
            for (uint r = 0u; r < ROWS; r++) {                                                          \
                uint at = place + r * LANES * push.n + J;                                               \
                float x = sum[J][r] + theirs;                                                           \
                if (row + r * LANES < push.m) put(at, IS_SHORT ? activate(x, at) : x);                  \
            }
        FOR_EACH(bias, WRITE)
    }
    // As `finish_tile`, with the bias added already.
    if (!IS_SHORT)
        for (uint i = 0u; i < ROWS * WIDE; i++) {
            uint r = i / WIDE * LANES, c = i % WIDE;
            if (row + r >= push.m || first_column + c >= push.n) continue;
            uint at = place + r * push.n + c, in_out = push.start[3] + at;
            data_out[in_out] = activate(data_out[in_out], at);
        }
    if (SUMS == 1u && first_column == 0u)
        for (uint r = 0u; r < ROWS; r++)
            if (row + r * LANES < push.m) put_sum(row + r * LANES, total[r]);
}
