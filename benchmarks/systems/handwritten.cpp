// The training loop of the arms none and batch by hand: how fast could it be? The arithmetic is
// that of bnstudy.kernels and optimizers.adam; the processor's vectors are written out.
// Samples lie side by side in vectors, and go in blocks whose hidden values stay in the cache.
// Forward, GROUP vectors at a time: one sweep over the units takes activations and outputs, with as
// many tanh in flight, which hides much of the division. Backward, one unit at a time: seven sums
// over the block's samples, kept as vectors until the epoch ends.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#ifdef __AVX512F__  // doubles in a vector
#define LANES 8
#elif defined(__AVX__)
#define LANES 4
#else
#define LANES 2
#endif

typedef double Vec __attribute__((vector_size(8 * LANES)));
typedef int64_t Bits __attribute__((vector_size(8 * LANES)));
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
constexpr int GROUP = 5;  // by trial; 1000 samples are whole groups, whatever LANES
constexpr int BLOCK_SAMPLES = 128, BLOCK_BYTES = 1024 * 1024;  // what a block's h may take
constexpr int SUMS = 7;  // of a unit: ∂A (3), ∂a, ∂V (3)
constexpr double BETA1 = 0.9, BETA2 = 0.999, ADAM_EPSILON = 1e-8;

constexpr double power(double base, int n) { return n ? base * power(base, n - 1) : 1; }
constexpr double ROUND = 1.5 * 4503599627370496.0;  // leaves the nearest integer in the low bits
constexpr double LN2 = M_LN2, PER_TANH = 2 / LN2, Q0 = 2 / LN2,
                 Q1 = 1.66666666666666019037e-01 * LN2,
                 Q2 = -2.77777777770155933842e-03 * power(LN2, 3),
                 Q3 = 6.61375632143793436117e-05 * power(LN2, 5),
                 Q4 = -1.65339022054652515390e-06 * power(LN2, 7),
                 Q5 = 4.13813679705723846039e-08 * power(LN2, 9);
const volatile double LIMIT = 64;  // volatile: with a known constant GCC 12 makes no vminpd

INLINE Vec splat(double value) { return value - Vec{}; }
INLINE double total(Vec v) {
  double sum = 0;
  for (int lane = 0; lane < LANES; lane++) sum += v[lane];
  return sum;
}

INLINE double dot(const double* a, const double* b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

// tanh(u ln2 / 2), see kernels._tanh. 2^k is added to the exponent of q + f, which costs less than
// a product; a NaN survives in q - f. The polynomial's chain is long, but has fewest operations.
INLINE Vec tanh_of(Vec u, Vec top, Vec bottom) {
  u = u > top ? top : u;
  u = u < bottom ? bottom : u;
  const Vec shifted = u + ROUND, f = u - (shifted - ROUND), f2 = f * f;
  const Vec q = Q0 + (Q1 + (Q2 + (Q3 + (Q4 + Q5 * f2) * f2) * f2) * f2) * f2;
  const Vec low = q - f, high = (Vec)((Bits)(q + f) + ((Bits)shifted << 52));
  return (high - low) / (high + low);
}

struct Samples {  // three rows of `vectors` each, the last of which is padded
  int vectors;
  std::vector<Vec> x, t;
  Vec valid;  // 1 where the last vector holds a sample, else 0

  Samples(const double* inputs, const double* targets, int n)
      : vectors((n + LANES - 1) / LANES), x(3 * vectors), t(3 * vectors) {
    for (int i = 0; i < 3 * n; i++) {
      const int vector = i / n * vectors + i % n / LANES, lane = i % n % LANES;
      x[vector][lane] = inputs[i], t[vector][lane] = targets[i];
    }
    for (int lane = 0; lane < LANES; lane++) valid[lane] = (vectors - 1) * LANES + lane < n;
  }
};

struct Unit { double A[3], a, V[3], unused; };  // A and a as tanh_of wants them; a cache line

struct Workspace {
  int block, stride;  // vectors in a block, and from row to row: an odd number of cache lines, as
                      // rows a power of two apart would fight for a few places in the cache
  std::vector<Unit> units;
  std::vector<Vec> h, e, sums;  // hidden values, twice the residuals, of a block; units' sums

  void fit(int width) {
    const int samples = std::clamp(BLOCK_BYTES / 8 / width, GROUP * LANES, BLOCK_SAMPLES);
    block = samples / LANES / GROUP * GROUP;
    stride = ((block * LANES + 7) / 8 | 1) * 8 / LANES;
    units.resize(width), sums.resize(SUMS * width);
    h.resize(width * stride), e.resize(3 * stride);
  }
};

struct Totals { Vec loss, gc[3]; };

// Vectors first to last - 1, G at a time and the rest with fewer: adds to `into` and, for training,
// leaves h and twice the residuals e of the block that begins with vector `start`.
template <int G, bool TRAIN>
void forward(const Samples& s, const double* c, Workspace& w, int start, int first, int last,
             Totals& into) {
  const Vec top = splat(LIMIT), bottom = splat(-LIMIT);
  const int n = s.vectors, stride = w.stride, width = w.units.size();
  for (; first + G <= last; first += G) {
    const Vec *x = &s.x[first], *t = &s.t[first];
    Vec *h = &w.h[first - start], *e = &w.e[first - start];
    Vec y[3][G], value[G];
    UNROLL for (int k = 0; k < 3; k++)
      UNROLL for (int g = 0; g < G; g++) y[k][g] = c[k] - t[k * n + g];
    for (int j = 0; j < width; j++) {
      const Unit& unit = w.units[j];
      UNROLL for (int g = 0; g < G; g++)
        value[g] = x[g] * unit.A[0] + unit.a + x[n + g] * unit.A[1] + x[2 * n + g] * unit.A[2];
      UNROLL for (int g = 0; g < G; g++) value[g] = tanh_of(value[g], top, bottom);
      UNROLL for (int g = 0; g < G; g++) {
        if (TRAIN) h[j * stride + g] = value[g];
        UNROLL for (int k = 0; k < 3; k++) y[k][g] += value[g] * unit.V[k];
      }
    }
    if (first + G == n) UNROLL for (int k = 0; k < 3; k++) y[k][G - 1] *= s.valid;
    UNROLL for (int g = 0; g < G; g++) {
      into.loss += y[0][g] * y[0][g] + y[1][g] * y[1][g] + y[2][g] * y[2][g];
      UNROLL for (int k = 0; k < 3 && TRAIN; k++)
        into.gc[k] += e[k * stride + g] = 2 * y[k][g];
    }
  }
  if constexpr (G > 1)
    if (first < last) forward<G - 1, TRAIN>(s, c, w, start, first, last, into);
}

// Adds a block's m vectors to unit j's sums.
INLINE void backward(const Samples& s, Workspace& w, int start, int m, int j) {
  const int n = s.vectors, stride = w.stride;
  const Vec *x = &s.x[start], *e = w.e.data(), *h = &w.h[j * stride];
  const double* V = w.units[j].V;
  Vec sum[SUMS];
  UNROLL for (int k = 0; k < SUMS; k++) sum[k] = w.sums[SUMS * j + k];
  for (int i = 0; i < m; i++) {
    const Vec value = h[i], slope = 1 - value * value;
    const Vec delta = (e[i] * V[0] + e[stride + i] * V[1] + e[2 * stride + i] * V[2]) * slope;
    UNROLL for (int k = 0; k < 3; k++) sum[k] += delta * x[k * n + i];
    sum[3] += delta;
    UNROLL for (int k = 0; k < 3; k++) sum[4 + k] += value * e[k * stride + i];
  }
  UNROLL for (int k = 0; k < SUMS; k++) w.sums[SUMS * j + k] = sum[k];
}

struct Network {  // a replicate's row of parameters, or of their gradients
  int width;
  bool norm;
  double *W, *b, *scale, *shift, *V, *c;

  Network(double* row, int width, bool norm)
      : width(width), norm(norm), W(row), b(W + 3 * width), scale(b + width),
        shift(scale + width), V(norm ? shift + width : scale), c(V + 3 * width) {}
};

struct Norm {  // BN: the inputs' mean (3,) and covariance (3, 3); values of each unit
  double momentum, epsilon;
  const double *x, *C;
  double *running_mean, *running_std;
  std::vector<double> mean, std;  // the batch's, without the bias
};

// Units for `forward`, see kernels.squared_error_after_bn.
void set_units(const Network& net, Norm& norm, bool training, std::vector<Unit>& units) {
  const int width = net.width;
  for (int j = 0; j < width; j++) {
    const double w[] = {net.W[j], net.W[width + j], net.W[2 * width + j]};
    double gain = 1, bias = net.b[j];
    if (net.norm && training) {
      const double keep = norm.momentum, mean = dot(norm.x, w);
      const double Cw[] = {dot(norm.C, w), dot(norm.C + 3, w), dot(norm.C + 6, w)};
      const double std = std::sqrt(dot(w, Cw) + norm.epsilon);
      norm.mean[j] = mean, norm.std[j] = std;  // the bias cancels
      norm.running_mean[j] = keep * norm.running_mean[j] + (1 - keep) * (mean + bias);
      norm.running_std[j] = keep * norm.running_std[j] + (1 - keep) * std;
      gain = net.scale[j] / std, bias = net.shift[j] - mean * gain;
    } else if (net.norm) {
      gain = net.scale[j] / norm.running_std[j];
      bias = net.shift[j] + (bias - norm.running_mean[j]) * gain;
    }
    const double to_u = gain * PER_TANH, *V = net.V + 3 * j;
    units[j] = {{w[0] * to_u, w[1] * to_u, w[2] * to_u}, bias * PER_TANH, {V[0], V[1], V[2]}, 0};
  }
}

// From the sums of `backward` to the gradients, see kernels.squared_error_after_bn.
void set_gradients(const Network& net, const Norm& norm, const Vec* sums, const Network& grad) {
  const int width = net.width;
  for (int j = 0; j < width; j++, sums += SUMS) {
    const double g[] = {total(sums[0]), total(sums[1]), total(sums[2])}, ga = total(sums[3]);
    for (int k = 0; k < 3; k++) grad.V[3 * j + k] = total(sums[4 + k]);
    for (int k = 0; k < 3; k++) grad.W[k * width + j] = g[k];
    if (!net.norm) {
      grad.b[j] = ga;
      continue;
    }
    const double w[] = {net.W[j], net.W[width + j], net.W[2 * width + j]};
    const double std = norm.std[j], gain = net.scale[j] / std;
    const double ggain = dot(g, w) - norm.mean[j] * ga, along = -ggain * gain / (std * std);
    for (int k = 0; k < 3; k++)
      grad.W[k * width + j] = gain * (g[k] - norm.x[k] * ga) + along * dot(norm.C + 3 * k, w);
    grad.scale[j] = ggain / std, grad.shift[j] = ga;
  }
}

void adam(double* value, const double* gradient, double* mean, double* square, int size,
          double learning_rate, int64_t step) {
  const double rate = learning_rate / (1 - std::pow(BETA1, step));
  const double correction = std::sqrt(1 - std::pow(BETA2, step));
  for (int i = 0; i < size; i++) {
    const double g = gradient[i];
    mean[i] += (1 - BETA1) * (g - mean[i]);
    square[i] = BETA2 * square[i] + (1 - BETA2) * g * g;
    value[i] -= rate * mean[i] / (std::sqrt(square[i]) / correction + ADAM_EPSILON);
  }
}

// Trains one replicate for so many epochs, after `step` of them. Inputs and targets: (3, n). In
// place: its parameters, Adam's moments, BN's running values (2, width). Writes both losses.
extern "C" void train(int width, bool norm, int64_t epochs, int64_t step, double learning_rate,
                      double momentum, double epsilon, int n, int test_n, int size,
                      const double* x, const double* t, const double* test_x,
                      const double* test_t, const double* mean, const double* covariance,
                      double* running, double* row, double* first, double* second,
                      double* losses, double* test_losses) {
  const Samples samples(x, t, n), test(test_x, test_t, test_n);
  static Workspace w;  // kept, as fresh memory costs a page fault every 4 kB
  w.fit(width);
  std::vector<double> gradients(size), work(width);
  const Network net(row, width, norm), grad(gradients.data(), width, norm);
  Norm bn{momentum, epsilon, mean, covariance, running, running + width, work, work};
  for (int64_t epoch = 0; epoch < epochs; epoch++) {
    Totals totals{}, test_totals{};
    set_units(net, bn, true, w.units);
    std::fill(w.sums.begin(), w.sums.end(), Vec{});
    for (int start = 0; start < samples.vectors; start += w.block) {
      const int m = std::min(w.block, samples.vectors - start);
      forward<GROUP, true>(samples, net.c, w, start, start, start + m, totals);
      for (int j = 0; j < width; j++) backward(samples, w, start, m, j);
    }
    set_gradients(net, bn, w.sums.data(), grad);
    for (int k = 0; k < 3; k++) grad.c[k] = total(totals.gc[k]);
    adam(row, gradients.data(), first, second, size, learning_rate, step + epoch + 1);
    set_units(net, bn, false, w.units);
    forward<GROUP, false>(test, net.c, w, 0, 0, test.vectors, test_totals);
    losses[epoch] = total(totals.loss), test_losses[epoch] = total(test_totals.loss);
  }
}
