// A step of an optimiser over parameters, gradients and state that lie in a row, in place. STEP 0 is stochastic
// gradient descent, 1 Adam and AdamW. What changes from step to step comes with the other numbers, or out of
// a schedule in memory (`ops/schedule.rs`).
#include "flat.glsl"

// What of the state there is: momentum of the former; the largest squares of the latter.
layout(constant_id = 5) const uint HAS_STATE = 0u;
layout(constant_id = 6) const uint NESTEROV = 0u;
layout(constant_id = 7) const uint IS_FIRST = 0u;
// Whether weight decay is added to the gradient.
layout(constant_id = 8) const uint DECAYS = 0u;
layout(constant_id = 9) const uint SCHEDULED = 0u;

#define BUFFER(BINDING, ACCESS, DATA)                                                             \
    layout(set = 0, binding = BINDING, std430) ACCESS buffer DATA##_ones { float DATA[]; };       \
    layout(set = 0, binding = BINDING, std430) ACCESS buffer DATA##_fours { vec4 DATA##4[]; };

BUFFER(0, , parameters)
BUFFER(1, readonly, gradients)
BUFFER(2, , state)
#if STEP == 1
BUFFER(3, , squares)
BUFFER(4, , largest)
#define SCHEDULE 5
#else
#define SCHEDULE 3
#endif

// The learning rate, how many steps there were before this one and how many with it, the length of the list,
// and for each step of Adam a factor of the rate and a root.
layout(set = 0, binding = SCHEDULE, std430) buffer Schedule { uint schedule[]; };

// `precise`: with each product and sum rounded by itself, every device gives the same, but for what it
// divides and takes roots of.
#if STEP == 0
void step(inout vec4 p, vec4 g, inout vec4 b) {
    float rate = scalar(0u), keep = scalar(1u), add = scalar(2u), decay = scalar(3u);
    bool is_first = IS_FIRST == 1u;
    if (SCHEDULED == 1u) {
        rate = uintBitsToFloat(schedule[0]);
        is_first = schedule[1] == 0u;
    }
    precise vec4 slope = g;
    if (DECAYS == 1u) slope = g + decay * p;
    precise vec4 direction = slope;
    if (HAS_STATE == 1u) {
        precise vec4 kept = slope;
        if (!is_first) kept = keep * b + add * slope;
        b = kept;
        direction = kept;
        if (NESTEROV == 1u) direction = slope + keep * kept;
    }
    precise vec4 next = p - rate * direction;
    p = next;
}
#else
void step(inout vec4 p, vec4 g, inout vec4 m, inout vec4 v, inout vec4 most) {
    float rate = scalar(0u), root = scalar(1u), new_mean = scalar(2u), keep = scalar(3u),
        new_square = scalar(4u), eps = scalar(5u), decay = scalar(6u), left = scalar(7u);
    if (SCHEDULED == 1u) {
        precise float lr = uintBitsToFloat(schedule[0]);
        uint row = 4u + 2u * min(schedule[1], schedule[3] - 1u);
        precise float scaled = lr * uintBitsToFloat(schedule[row]);
        precise float taken = lr * scalar(8u);
        precise float rest = 1.0 - taken;
        rate = scaled;
        root = uintBitsToFloat(schedule[row + 1u]);
        left = rest;
    }
    precise vec4 parameter = p * left;
    precise vec4 slope = g;
    if (DECAYS == 1u) slope = g + decay * parameter;
    precise vec4 mean = m + new_mean * (slope - m);
    precise vec4 square = keep * v + new_square * slope * slope;
    m = mean;
    v = square;
    vec4 used = square;
    if (HAS_STATE == 1u) {
        most = max(most, square);
        used = most;
    }
    precise vec4 size = sqrt(used) / root + eps;
    precise vec4 next = parameter - rate * (mean / size);
    p = next;
}
#endif

void main() {
    uint first = first_element();
    if (first >= push.n) return;
    if (SCHEDULED == 1u && first == 0u) schedule[2] = schedule[1] + 1u;
    uint s[5] = uint[5](push.start[0] + first, push.start[1] + first, push.start[2] + first,
                        push.start[3] + first, push.start[4] + first);
    bool whole = FOURS == 1u && first + 4u <= push.n;
    uint left = min(push.n - first, 4u);
    vec4 p = vec4(0.0), g = vec4(0.0), a = vec4(0.0), b = vec4(0.0), c = vec4(0.0);
#define READ(DATA, AT, V) if (whole) V = DATA##4[(AT) >> 2]; else for (uint k = 0u; k < left; k++) V[k] = DATA[(AT) + k];
#define WRITE(DATA, AT, V) if (whole) DATA##4[(AT) >> 2] = V; else for (uint k = 0u; k < left; k++) DATA[(AT) + k] = V[k];
    READ(parameters, s[0], p)
    READ(gradients, s[1], g)
#if STEP == 0
    if (HAS_STATE == 1u && IS_FIRST == 0u) { READ(state, s[2], a) }
    step(p, g, a);
    if (HAS_STATE == 1u) { WRITE(state, s[2], a) }
#else
    READ(state, s[2], a)
    READ(squares, s[3], b)
    if (HAS_STATE == 1u) { READ(largest, s[4], c) }
    step(p, g, a, b, c);
    WRITE(state, s[2], a)
    WRITE(squares, s[3], b)
    if (HAS_STATE == 1u) { WRITE(largest, s[4], c) }
#endif
    WRITE(parameters, s[0], p)
}
