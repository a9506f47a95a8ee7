// Nothing but multiplications and additions, in twelve chains that do not wait for each other: what a
// device's arithmetic does at most, to compare with.

layout(local_size_x_id = 0) in;

layout(push_constant) uniform Push {
    uint count;
    uint rounds;
} push;

layout(set = 0, binding = 0, std430) buffer Out { float data_out[]; };

void main() {
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    uint i = group * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (i >= push.count) return;
    float x = 0.5 + float(i & 7u) * 0.01, y = 0.25;
    vec4 a = vec4(0.1, 0.2, 0.3, 0.4), b = a + 1.0, c = a + 2.0;
    for (uint k = 0u; k < push.rounds; k++) {
        a = a * x + y;
        b = b * x + y;
        c = c * x + y;
    }
    vec4 sum = a + b + c;
    data_out[i] = (sum.x + sum.y) + (sum.z + sum.w);
}
