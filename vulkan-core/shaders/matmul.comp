// The product of matrices by tiles of 8 x 8 in each invocation's registers, without shared memory: for
// programs on the host's processor, where invocations that wait for each other cost more than reading
// twice.

layout(local_size_x_id = 0) in;

#include "matrix.glsl"

const uint TILE = 8u;

void main() {
    uint across = (push.n + TILE - 1u) / TILE, down = (push.m + TILE - 1u) / TILE;
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= push.count) {
        sum_row(i - push.count);
        return;
    }
    uint matrix = i / (across * down);
    uint tile = i - matrix * across * down;
    uint row = tile / across * TILE, column = tile % across * TILE;

    // Beyond the edge, what is at the edge is read once more, and not written.
    uint a_at[TILE], b_at[TILE];
    uint a = matrix_a(matrix), b = matrix_b(matrix);
    for (uint r = 0u; r < TILE; r++) {
        // Of four that are read at once, the first is a multiple of 4.
        uint at = READ_A == ACROSS ? min(row + r, push.m - 4u + (r & 3u)) : min(row + r, push.m - 1u);
        a_at[r] = a + at * push.a_row;
        at = READ_B == ACROSS ? min(column + r, push.n - 4u + (r & 3u)) : min(column + r, push.n - 1u);
        b_at[r] = b + at * push.b_column;
    }
    vec4 sum[TILE][2];
    for (uint r = 0u; r < TILE; r++) sum[r][0] = sum[r][1] = vec4(0.0);

    uint whole = push.k / 4u;
    for (uint q = 0u; q < whole; q++) {
        // Four summed elements of eight rows, and of eight columns.
        vec4 x[TILE];
        vec4 y[4][2];
        uint k = 4u * q;
        if (READ_A == SUMMED) {
            for (uint r = 0u; r < TILE; r++) x[r] = four_a(a_at[r] + k);
        } else if (READ_A == ACROSS) {
            for (uint h = 0u; h < 2u; h++) {
                mat4 rows = mat4(four_a(a_at[4u * h] + k * push.a_k), four_a(a_at[4u * h] + (k + 1u) * push.a_k),
                                 four_a(a_at[4u * h] + (k + 2u) * push.a_k), four_a(a_at[4u * h] + (k + 3u) * push.a_k));
                mat4 turned = transpose(rows);
                for (uint r = 0u; r < 4u; r++) x[4u * h + r] = turned[r];
            }
        } else {
            for (uint r = 0u; r < TILE; r++)
                for (uint s = 0u; s < 4u; s++) x[r][s] = load_a(a_at[r] + (k + s) * push.a_k);
        }
        if (READ_B == ACROSS) {
            for (uint s = 0u; s < 4u; s++) {
                y[s][0] = four_b(b_at[0] + (k + s) * push.b_k);
                y[s][1] = four_b(b_at[4] + (k + s) * push.b_k);
            }
        } else if (READ_B == SUMMED) {
            for (uint h = 0u; h < 2u; h++) {
                mat4 columns = mat4(four_b(b_at[4u * h] + k), four_b(b_at[4u * h + 1u] + k),
                                    four_b(b_at[4u * h + 2u] + k), four_b(b_at[4u * h + 3u] + k));
                mat4 turned = transpose(columns);
                for (uint s = 0u; s < 4u; s++) y[s][h] = turned[s];
            }
        } else {
            for (uint s = 0u; s < 4u; s++)
                for (uint c = 0u; c < TILE; c++) y[s][c / 4u][c % 4u] = load_b(b_at[c] + (k + s) * push.b_k);
        }
        for (uint s = 0u; s < 4u; s++) {
            for (uint r = 0u; r < TILE; r++) {
                sum[r][0] += x[r][s] * y[s][0];
                sum[r][1] += x[r][s] * y[s][1];
            }
        }
    }
    for (uint k = 4u * whole; k < push.k; k++) {
        vec4 y[2];
        for (uint c = 0u; c < TILE; c++) y[c / 4u][c % 4u] = load_b(b_at[c] + k * push.b_k);
        for (uint r = 0u; r < TILE; r++) {
            float x = load_a(a_at[r] + k * push.a_k);
            sum[r][0] += x * y[0];
            sum[r][1] += x * y[1];
        }
    }

    uint place = (matrix * push.m + row) * push.n + column;
    for (uint r = 0u; r < TILE; r++) {
        if (row + r >= push.m) break;
        for (uint c = 0u; c < TILE; c++)
            if (column + c < push.n) put(place + r * push.n + c, sum[r][c / 4u][c % 4u]);
    }
    finish_tile(place, column, min(TILE, push.m - row), min(TILE, push.n - column));
}
