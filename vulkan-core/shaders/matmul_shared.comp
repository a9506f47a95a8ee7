// The product of matrices by tiles of 64 x 64 that a group of 256 invocations reads into shared memory,
// 16 summed elements at a time, each invocation with 4 x 4 sums in its registers: for GPUs.

layout(local_size_x = 256) in;

#include "matrix.glsl"

const uint TILE = 64u, DEEP = 16u;
// Rows of shared memory are a little longer, so that neighbours lie in different banks.
shared float part_a[DEEP][TILE + 4];
shared float part_b[DEEP][TILE + 4];

void main() {
    uint across = (push.n + TILE - 1u) / TILE, down = (push.m + TILE - 1u) / TILE;
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    // The whole group goes, or stays.
    if (group >= push.count) {
        sum_row((group - push.count) * 256u + gl_LocalInvocationID.x);
        return;
    }
    uint matrix = group / (across * down);
    uint tile = group - matrix * across * down;
    uint row = tile / across * TILE, column = tile % across * TILE;
    uint a = matrix_a(matrix), b = matrix_b(matrix);
    uint id = gl_LocalInvocationID.x;
    uint my_row = id / 16u * 4u, my_column = id % 16u * 4u;

    float sum[4][4];
    for (uint r = 0u; r < 4u; r++)
        for (uint c = 0u; c < 4u; c++) sum[r][c] = 0.0;

    for (uint k = 0u; k < push.k; k += DEEP) {
        // Neighbours read what lies side by side.
        for (uint i = id; i < TILE * DEEP; i += 256u) {
            uint r = READ_A == SUMMED ? i / DEEP : i % TILE;
            uint s = READ_A == SUMMED ? i % DEEP : i / TILE;
            bool there = row + r < push.m && k + s < push.k;
            part_a[s][r] = there ? load_a(a + (row + r) * push.a_row + (k + s) * push.a_k) : 0.0;
            uint c = READ_B == SUMMED ? i / DEEP : i % TILE;
            s = READ_B == SUMMED ? i % DEEP : i / TILE;
            there = column + c < push.n && k + s < push.k;
            part_b[s][c] = there ? load_b(b + (column + c) * push.b_column + (k + s) * push.b_k) : 0.0;
        }
        barrier();
        for (uint s = 0u; s < DEEP; s++) {
            float x[4], y[4];
            for (uint r = 0u; r < 4u; r++) x[r] = part_a[s][my_row + r];
            for (uint c = 0u; c < 4u; c++) y[c] = part_b[s][my_column + c];
            for (uint r = 0u; r < 4u; r++)
                for (uint c = 0u; c < 4u; c++) sum[r][c] += x[r] * y[c];
        }
        barrier();
    }
    row += my_row;
    column += my_column;
    if (row >= push.m || column >= push.n) return;
    uint place = (matrix * push.m + row) * push.n + column;
    for (uint r = 0u; r < 4u; r++)
        for (uint c = 0u; c < 4u; c++)
            if (row + r < push.m && column + c < push.n) put(place + r * push.n + c, sum[r][c]);
    finish_tile(place, column, min(4u, push.m - row), min(4u, push.n - column));
}
