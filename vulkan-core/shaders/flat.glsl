// What kernels share whose tensors lie in a row: each invocation takes four elements, the last one what is
// left.

layout(local_size_x_id = 0) in;

layout(constant_id = 1) const uint OP = 0u;
// The types of the result and of an input.
layout(constant_id = 2) const uint T_OUT = 0u;
layout(constant_id = 3) const uint T_A = 0u;
// Whether the first four elements of each tensor begin where four may be read at once.
layout(constant_id = 4) const uint FOURS = 0u;

layout(push_constant) uniform Push {
    uint n;
    // Where each tensor begins, in elements from the start of what is bound.
    uint start[6];
    uint scalar[16];
} push;

float scalar(uint i) { return uintBitsToFloat(push.scalar[i]); }

uint first_element() {
    uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    return (group * gl_WorkGroupSize.x + gl_LocalInvocationID.x) * 4u;
}
