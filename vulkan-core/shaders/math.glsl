// Functions of floats whose errors are the same on every device. The built-in ones are as good as each
// driver makes them: Vulkan asks of sin an absolute error of 2^-11 only, and of exp one that grows with
// its argument.
//
// Polynomials were fitted to the functions themselves (least squares at Chebyshev nodes, reweighted
// until the error was level) and rounded to binary32; each comment gives the function and the interval.
// `precise` keeps a compiler from reordering sums whose order matters.

const float INFINITY = uintBitsToFloat(0x7f800000u);
const float NAN = uintBitsToFloat(0x7fc00000u);

// 2^n * x, for n within twice the exponents of a float.
float scale(float x, int n) {
    int half_n = n / 2;
    return x * uintBitsToFloat(uint(127 + half_n) << 23) * uintBitsToFloat(uint(127 + n - half_n) << 23);
}

// 2^more e^(x + low), where low is small beside x. x = n ln 2 + r, |r| <= ln 2 / 2.
float exp_scaled(float x, float low, int more) {
    // Beyond, the result is infinite or 0 by itself. NaN is put back at the end.
    float within = clamp(x, -105.0, 90.0);
    float n = floor(within * 1.44269504 + 0.5);
    // ln 2 in two parts: n times the first is exact.
    precise float r = (within - n * 0.693145751953125) - n * 1.4286067653e-6;
    r = r + low;
    // (e^r - 1 - r) / r^2
    float p = (((0.0013942159712314606 * r + 0.008363775908946991) * r + 0.041666362434625626) * r
        + 0.16666573286056519) * r + 0.5;
    precise float y = r + r * r * p;
    float result = scale(1.0 + y, int(n) + more);
    return is_nan(x) ? x : result;
}

float exp_sum(float x, float low) { return exp_scaled(x, low, 0); }

float exp_(float x) { return exp_sum(x, 0.0); }

// ln of a positive number as a sum, whose second part is small: x = 2^e (1 + f), 1 + f within a factor
// sqrt 2 of 1.
vec2 log_sum(float x) {
    int e = 0;
    uint bits = floatBitsToUint(x);
    if (bits < 0x00800000u) {
        bits = floatBitsToUint(x * 8388608.0);
        e = -23;
    }
    e += int(bits >> 23) - 127;
    uint fraction = bits & 0x7fffffu;
    if (fraction > 0x3504f3u) {
        e += 1;
        bits = fraction | 0x3f000000u;
    } else {
        bits = fraction | 0x3f800000u;
    }
    precise float f = uintBitsToFloat(bits) - 1.0;
    // (ln(1 + f) - f + f^2 / 2) / f^3
    float p = (((((((0.07332403212785721 * f - 0.11659873276948929) * f + 0.11634683609008789) * f
        - 0.12396709620952606) * f + 0.1425115466117859) * f - 0.16669151186943054) * f
        + 0.2000068873167038) * f - 0.24999980628490448) * f + 0.3333333134651184;
    // f^2 in two parts, by halves of f of 12 bits each.
    float upper = uintBitsToFloat(floatBitsToUint(f) & 0xfffff000u);
    precise float lower = f - upper;
    precise float square = f * f;
    precise float rest = ((upper * upper - square) + 2.0 * upper * lower) + lower * lower;
    float n = float(e);
    precise float big = n * 0.693145751953125;
    precise float first = big + f;
    precise float lost = (big - first) + f;
    precise float second = first - 0.5 * square;
    precise float lost_too = (first - second) - 0.5 * square;
    precise float small = ((n * 1.4286067653e-6 - 0.5 * rest) + f * square * p) + (lost + lost_too);
    precise float sum = second + small;
    return vec2(sum, (second - sum) + small);
}

float log_(float x) {
    if (is_nan(x) || x < 0.0) return NAN;
    if (x == 0.0) return -INFINITY;
    if (floatBitsToUint(x) == 0x7f800000u) return INFINITY;
    return log_sum(x).x;
}

// The binary digits of 2 / pi, behind the point.
const uint TWO_OVER_PI[7] = uint[7](
    0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu);

// x without multiples of pi / 2, of which it counts how many modulo 4: for |x| beyond 200.
float reduce_large(float x, out uint quarter) {
    uint bits = floatBitsToUint(x);
    uint mantissa = (bits & 0x7fffffu) | 0x800000u;
    // x = mantissa * 2^(exponent - 23); of 2 / pi only those digits matter that do not make multiples of 4.
    int exponent = int((bits >> 23) & 0xffu) - 127;
    int skip = max(exponent - 23 - 2, 0);
    uint word = uint(skip) >> 5, shift = uint(skip) & 31u;
    uint w[4];
    for (uint i = 0u; i < 4u; i++) {
        uint high = TWO_OVER_PI[word + i];
        uint low = word + i + 1u < 7u ? TWO_OVER_PI[word + i + 1u] : 0u;
        w[i] = shift == 0u ? high : (high << shift) | (low >> (32u - shift));
    }
    // mantissa times 96 digits: 120 bits, the top word's upper part of which is whole multiples.
    uint h0, l0, h1, l1, h2, l2;
    umulExtended(mantissa, w[0], h0, l0);
    umulExtended(mantissa, w[1], h1, l1);
    umulExtended(mantissa, w[2], h2, l2);
    uint carry;
    uint third = uaddCarry(l1, h2, carry);
    uint second = h1 + carry;
    second = uaddCarry(second, l0, carry);
    uint first = h0 + carry;
    // The point is so many bits below the top of these 128 bits, of which 8 are 0.
    int point = 32 + exponent - 23 - skip;
    // point is 32 + 2, or less where nothing was skipped.
    uint whole, high, low;
    if (point >= 32) {
        uint up = uint(point - 32);
        whole = up == 0u ? first : (first << up) | (second >> (32u - up));
        high = up == 0u ? second : (second << up) | (third >> (32u - up));
        low = up == 0u ? third : (third << up) | (l2 >> (32u - up));
    } else {
        uint down = uint(32 - point);
        whole = first >> down;
        high = (first << (32u - down)) | (second >> down);
        low = (second << (32u - down)) | (third >> down);
    }
    quarter = whole;
    // The nearest multiple leaves at most half of one, of either sign.
    bool over = high >= 0x80000000u;
    if (over) {
        quarter += 1u;
        low = ~low + 1u;
        high = ~high + (low == 0u ? 1u : 0u);
    }
    float fraction = 0.0;
    if ((high | low) != 0u) {
        int top = high != 0u ? findMSB(high) : findMSB(low) - 32;
        // 32 digits from the first that is 1.
        uint digits = top >= 0 ? (high << (31 - top)) | (top == 31 ? 0u : low >> (top + 1))
                               : low << (-1 - top);
        // digits / 2^32, in [1/2, 1), times 2^(top + 1 - 32).
        float kept = float(digits >> 8);
        fraction = scale(kept * 5.9604644775390625e-8, top - 31);
    }
    bool negative = int(bits) < 0;
    float r = fraction * 1.57079632679;
    if (over != negative) r = -r;
    if (negative) quarter = 0u - quarter;
    return r;
}

// x without multiples of pi / 2.
float reduce(float x, out uint quarter) {
    if (abs(x) > 200.0) return reduce_large(x, quarter);
    float n = floor(x * 0.636619772 + 0.5);
    quarter = uint(int(n));
    // pi / 2 in parts of which n times the first three is exact.
    precise float r = ((x - n * 1.5703125) - n * 0.00048351287841796875) - n * 3.1385570764541626e-7;
    r = r - n * 6.0770941583318e-11;
    return r;
}

float sin_part(float r) {
    float z = r * r;
    // (sin r - r) / r^3 for r up to pi / 4, in r^2
    float p = ((2.724385922192596e-06 * z - 0.00019840039021801203) * z + 0.008333331905305386) * z
        - 0.1666666716337204;
    return r + r * z * p;
}

float cos_part(float r) {
    float z = r * r;
    // (cos r - 1 + r^2 / 2) / r^4 for r up to pi / 4, in r^2
    float p = ((-2.7303104843667825e-07 * z + 2.4800639948807657e-05) * z - 0.00138888880610466) * z
        + 0.0416666679084301;
    precise float half_z = 0.5 * z;
    precise float one = 1.0 - half_z;
    precise float lost = (1.0 - one) - half_z;
    return one + (lost + z * z * p);
}

float sin_(float x) {
    if ((floatBitsToUint(x) & 0x7fffffffu) >= 0x7f800000u) return NAN;
    uint quarter;
    float r = reduce(x, quarter);
    float y = (quarter & 1u) == 0u ? sin_part(r) : cos_part(r);
    return (quarter & 2u) == 0u ? y : -y;
}

float cos_(float x) {
    if ((floatBitsToUint(x) & 0x7fffffffu) >= 0x7f800000u) return NAN;
    uint quarter;
    float r = reduce(x, quarter);
    float y = (quarter & 1u) == 0u ? cos_part(r) : sin_part(r);
    return ((quarter + 1u) & 2u) == 0u ? y : -y;
}

float tanh_(float x) {
    float a = abs(x);
    if (is_nan(x)) return x;
    if (a < 0.55) {
        float z = x * x;
        // (tanh x - x) / x^3 up to 0.6, in x^2
        float p = ((((0.002376237418502569 * z - 0.008415001444518566) * z + 0.021789876744151115) * z
            - 0.053961753845214844) * z + 0.13333313167095184) * z - 0.3333333432674408;
        return x + x * z * p;
    }
    float y = a > 10.0 ? 1.0 : 1.0 - 2.0 / (exp_(2.0 * a) + 1.0);
    return x < 0.0 ? -y : y;
}

float sigmoid_(float x) {
    float e = exp_(-abs(x));
    return (x < 0.0 ? e : 1.0) / (1.0 + e);
}

// erf(x) for |x| <= 1: x times a polynomial in x^2.
float erf_small(float x) {
    float z = x * x;
    float p = (((((7.889118569437414e-05 * z - 0.0008020841050893068) * z + 0.005189535208046436) * z
        - 0.026854444295167923) * z + 0.11283600330352783) * z - 0.3761262595653534) * z
        + 1.1283791065216064;
    return x * p;
}

// The part of a normal distribution beyond a >= 3/4: with y = a / sqrt 2, half of 1 - erf(y), which is
// e^(-y^2) t times a polynomial in t = 1 / (1 + y / 2).
float normal_tail(float a) {
    float t = 1.0 / (1.0 + 0.35355339059327376 * a);
    float p = (((((((-0.061515357345342636 * t + 0.29738256335258484) * t - 0.5139375329017639) * t
        + 0.3076379895210266) * t - 0.04571777209639549) * t + 0.21007786691188812) * t
        + 0.24142687022686005) * t + 0.2825792133808136) * t + 0.28207623958587646;
    // y^2 = a^2 / 2 in two parts, of which the first is exact.
    float upper = uintBitsToFloat(floatBitsToUint(a) & 0xfffff000u);
    precise float square = 0.5 * upper * upper;
    precise float rest = 0.5 * (a - upper) * (a + upper);
    return 0.5 * exp_sum(-square, -rest) * t * p;
}

// The part of a normal distribution below x.
float normal_cdf(float x) {
    if (abs(x) < 1.0) return 0.5 + 0.5 * erf_small(x * 0.70710678118654752);
    float tail = normal_tail(abs(x));
    return x < 0.0 ? tail : 1.0 - tail;
}

float gelu_(float x) {
    if (is_nan(x)) return x;
    // Beyond, the part is 0 or 1; of minus infinity, 0 times that is NaN, as in PyTorch.
    if (x < -14.0) return x == -INFINITY ? NAN : -0.0;
    if (x > 14.0) return x;
    return x * normal_cdf(x);
}

float gelu_tanh_(float x) {
    if (is_nan(x)) return x;
    if (x < -14.0) return x == -INFINITY ? NAN : -0.0;
    if (x > 14.0) return x;
    // 1/2 (1 + tanh u) is 1 / (1 + e^(-2u)), which does not cancel.
    float u = 0.79788456080286535 * (x + 0.044715 * x * x * x);
    return x * sigmoid_(2.0 * u);
}

float silu_(float x) {
    if (x < -110.0) return x == -INFINITY ? NAN : -0.0;
    // The sigmoid itself may be too small to be normal.
    if (x < -20.0) return x * exp_scaled(x, 0.0, 30) * 9.3132257461547852e-10;
    return x * sigmoid_(x);
}

// a^b, as C has it.
float pow_(float a, float b) {
    if (b == 0.0 || a == 1.0) return 1.0;
    if (is_nan(a) || is_nan(b)) return NAN;
    float size = abs(a);
    bool whole = floor(b) == b;
    bool odd = whole && abs(b) < 16777216.0 && (int(b) & 1) == 1;
    bool negative = int(floatBitsToUint(a)) < 0 && odd;
    float result;
    if (abs(b) == INFINITY) {
        result = size == 1.0 ? 1.0 : (size > 1.0) == (b > 0.0) ? INFINITY : 0.0;
    } else if (size == 0.0) {
        result = b > 0.0 ? 0.0 : INFINITY;
    } else if (size == INFINITY) {
        result = b > 0.0 ? INFINITY : 0.0;
    } else if (a < 0.0 && !whole) {
        return NAN;
    } else {
        // b times ln a in two parts.
        vec2 l = log_sum(size);
        precise float product = b * l.x;
        if (abs(product) > 110.0) {
            result = product > 0.0 ? INFINITY : 0.0;
        } else {
            float bu = uintBitsToFloat(floatBitsToUint(b) & 0xfffff000u);
            float lu = uintBitsToFloat(floatBitsToUint(l.x) & 0xfffff000u);
            precise float bl = b - bu;
            precise float ll = l.x - lu;
            precise float rest = ((bu * lu - product) + bu * ll + bl * lu) + bl * ll;
            rest = rest + b * l.y;
            result = exp_sum(product, rest);
        }
    }
    return negative ? -result : result;
}
