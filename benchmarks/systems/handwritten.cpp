// The training loop of the arms none and batch by hand: how fast could it be? The arithmetic is that
// of bnstudy.experiment.kernels and optimizers.adam; the processor's vectors are written out.
//
// Samples lie side by side in vectors, and go in blocks whose hidden values stay in the cache.
// Forward, GROUP vectors at a time: one sweep over the units takes activations and outputs, all
// in registers, with several independent tanh in flight, which hides the division. Backward, one
// unit at a time: seven sums over the block's samples, kept as vectors until the epoch ends.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#ifndef LANES  // doubles in a vector
#if defined(__AVX512F__)
#define LANES 8
#elif defined(__AVX__)
#define LANES 4
#else
#define LANES 2
#endif
#endif
#ifndef GROUP  // vectors of samples in a sweep over the units
#define GROUP 4
#endif

typedef double Vec __attribute__((vector_size(8 * LANES)));
typedef int64_t Bits __attribute__((vector_size(8 * LANES)));

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

constexpr int INPUTS = 3, OUTPUTS = 3, SUMS = INPUTS + 1 + OUTPUTS;
constexpr int BLOCK_SAMPLES = 128, BLOCK_BYTES = 256 * 1024;  // of hidden values
constexpr double BETA1 = 0.9, BETA2 = 0.999, ADAM_EPSILON = 1e-8;

constexpr double power(double base, int n) { return n ? base * power(base, n - 1) : 1; }
constexpr double ROUND = 1.5 * 4503599627370496.0;  // leaves the nearest integer in the low bits
constexpr double LN2 = M_LN2, PER_TANH = 2 / LN2;
constexpr double Q0 = 2 / LN2, Q1 = 1.66666666666666019037e-01 * LN2,
                 Q2 = -2.77777777770155933842e-03 * power(LN2, 3),
                 Q3 = 6.61375632143793436117e-05 * power(LN2, 5),
                 Q4 = -1.65339022054652515390e-06 * power(LN2, 7),
                 Q5 = 4.13813679705723846039e-08 * power(LN2, 9);
const volatile double LIMIT = 64;  // volatile: of a known constant GCC makes no vminpd

INLINE Vec splat(double value) { return value - Vec{}; }

INLINE double total(Vec v) {
  double sum = 0;
  for (int lane = 0; lane < LANES; lane++) sum += v[lane];
  return sum;
}

// tanh(u ln2 / 2): see kernels._tanh. 2^k is added to the exponent of q + f, which costs less than
// a product; a NaN survives in q - f.
INLINE Vec tanh_of(Vec u, Vec top, Vec bottom) {
  u = u > top ? top : u;
  u = u < bottom ? bottom : u;
  Vec shifted = u + ROUND;
  Vec f = u - (shifted - ROUND), f2 = f * f, f4 = f2 * f2;
  Vec q = (Q0 + Q1 * f2) + ((Q2 + Q3 * f2) + (Q4 + Q5 * f2) * f4) * f4;
  Vec low = q - f, high = (Vec)((Bits)(q + f) + ((Bits)shifted << 52));
  return (high - low) / (high + low);
}

struct Unit {  // what a sweep needs of a unit: A and a as tanh_of wants them, V
  double A[INPUTS], a, V[OUTPUTS], unused;
};

struct Samples {  // rows of vectors; the last vector is padded
  int vectors;
  std::vector<Vec> x, t;
  Vec valid;  // 1 where the last vector holds a sample, else 0

  Samples(const double* inputs, const double* targets, int n)
      : vectors((n + LANES - 1) / LANES), x(padded(inputs, n)), t(padded(targets, n)) {
    for (int lane = 0; lane < LANES; lane++) valid[lane] = (vectors - 1) * LANES + lane < n;
  }

  std::vector<Vec> padded(const double* rows, int n) const {
    std::vector<Vec> to(3 * vectors);
    for (int k = 0; k < 3; k++)
      for (int i = 0; i < n; i++) to[k * vectors + i / LANES][i % LANES] = rows[k * n + i];
    return to;
  }
};

struct Workspace {
  int block, stride;  // vectors in a block, and from row to row: one cache line more, as powers of
                      // two as strides would use a part of the cache only
  std::vector<Unit> units;
  std::vector<Vec> h, e, sums;

  explicit Workspace(int width)
      : block(std::clamp(BLOCK_BYTES / 8 / width, 16, BLOCK_SAMPLES) / LANES / GROUP * GROUP),
        stride(block + 8 / LANES), units(width), h(width * stride), e(OUTPUTS * stride),
        sums(SUMS * width) {}
};

// Vectors first to last - 1, G at a time and the rest with fewer: adds to `loss` and, for training,
// leaves h and twice the residuals e of the block that begins with vector `start`.
template <int G, bool TRAIN>
void forward(const Samples& s, const double* c, Workspace& w, int start, int first, int last,
             Vec& loss) {
  const Vec top = splat(LIMIT), bottom = splat(-LIMIT);
  const int n = s.vectors, stride = w.stride, width = w.units.size();
  const Unit* __restrict units = w.units.data();
  for (; first + G <= last; first += G) {
    const Vec *x = &s.x[first], *t = &s.t[first];
    Vec *h = &w.h[first - start], *e = &w.e[first - start];
    Vec y[OUTPUTS][G];
    UNROLL for (int k = 0; k < OUTPUTS; k++)
      UNROLL for (int g = 0; g < G; g++) y[k][g] = c[k] - t[k * n + g];
    for (int j = 0; j < width; j++) {
      const Unit& unit = units[j];
      UNROLL for (int g = 0; g < G; g++) {
        Vec u = x[g] * unit.A[0] + unit.a + x[n + g] * unit.A[1] + x[2 * n + g] * unit.A[2];
        Vec value = tanh_of(u, top, bottom);
        if (TRAIN) h[j * stride + g] = value;
        UNROLL for (int k = 0; k < OUTPUTS; k++) y[k][g] += value * unit.V[k];
      }
    }
    if (first + G == n) UNROLL for (int k = 0; k < OUTPUTS; k++) y[k][G - 1] *= s.valid;
    UNROLL for (int k = 0; k < OUTPUTS; k++)
      UNROLL for (int g = 0; g < G; g++) {
        loss += y[k][g] * y[k][g];
        if (TRAIN) e[k * stride + g] = 2 * y[k][g];
      }
  }
  if constexpr (G > 1)
    if (first < last) forward<G - 1, TRAIN>(s, c, w, start, first, last, loss);
}

// Adds a block's m vectors to unit j's sums: ∂A (3), ∂a, ∂V (3).
INLINE void backward(const Samples& s, Workspace& w, int start, int m, int j) {
  const int n = s.vectors, stride = w.stride;
  const Vec *x = &s.x[start], *e = w.e.data(), *h = &w.h[j * stride];
  const double* V = w.units[j].V;
  Vec sum[SUMS];
  UNROLL for (int k = 0; k < SUMS; k++) sum[k] = w.sums[SUMS * j + k];
  for (int i = 0; i < m; i++) {
    Vec value = h[i], e0 = e[i], e1 = e[stride + i], e2 = e[2 * stride + i];
    Vec delta = (e0 * V[0] + e1 * V[1] + e2 * V[2]) * (1 - value * value);
    sum[0] += delta * x[i];
    sum[1] += delta * x[n + i];
    sum[2] += delta * x[2 * n + i];
    sum[3] += delta;
    sum[4] += value * e0;
    sum[5] += value * e1;
    sum[6] += value * e2;
  }
  UNROLL for (int k = 0; k < SUMS; k++) w.sums[SUMS * j + k] = sum[k];
}

struct Network {  // one replicate: rows of parameters, and their gradients
  int width;
  bool norm;
  double *W, *b, *scale, *shift, *V, *c;

  Network(double* row, int width, bool norm) : width(width), norm(norm), W(row) {
    b = W + INPUTS * width, scale = b + width, shift = scale + width;
    V = norm ? shift + width : scale, c = V + OUTPUTS * width;
  }
};

struct Norm {  // BN of one replicate, as in kernels._affine and the two after it
  double momentum, epsilon;
  const double *x, *C;  // mean (3,) and covariance (3, 3) of the inputs
  double *running_mean, *running_std;
  std::vector<double> mean, std;  // per unit, without the bias
};

// Units for `forward`; `norm`: its values are those of the batch if `training`, else the running.
void set_units(const Network& net, Norm& norm, bool training, std::vector<Unit>& units) {
  const int width = net.width;
  for (int j = 0; j < width; j++) {
    const double w0 = net.W[j], w1 = net.W[width + j], w2 = net.W[2 * width + j];
    double gain = 1, bias = net.b[j];
    if (net.norm && training) {
      const double *x = norm.x, *C = norm.C, keep = norm.momentum;
      const double mean = x[0] * w0 + x[1] * w1 + x[2] * w2;
      const double variance = w0 * (C[0] * w0 + C[1] * w1 + C[2] * w2) +
                              w1 * (C[3] * w0 + C[4] * w1 + C[5] * w2) +
                              w2 * (C[6] * w0 + C[7] * w1 + C[8] * w2);
      const double std = std::sqrt(variance + norm.epsilon);
      norm.mean[j] = mean, norm.std[j] = std;
      norm.running_mean[j] = keep * norm.running_mean[j] + (1 - keep) * (mean + bias);
      norm.running_std[j] = keep * norm.running_std[j] + (1 - keep) * std;
      gain = net.scale[j] / std, bias = net.shift[j] - mean * gain;
    } else if (net.norm) {
      gain = net.scale[j] / norm.running_std[j];
      bias = net.shift[j] + (bias - norm.running_mean[j]) * gain;
    }
    const double to_u = gain * PER_TANH, *V = net.V + OUTPUTS * j;
    units[j] = {{w0 * to_u, w1 * to_u, w2 * to_u}, bias * PER_TANH, {V[0], V[1], V[2]}, 0};
  }
}

// From the sums of `backward` to the gradients.
void set_gradients(const Network& net, const Norm& norm, const Vec* sums, const Network& grad) {
  const int width = net.width;
  for (int j = 0; j < width; j++, sums += SUMS) {
    double g[SUMS];
    for (int k = 0; k < SUMS; k++) g[k] = total(sums[k]);
    for (int k = 0; k < OUTPUTS; k++) grad.V[OUTPUTS * j + k] = g[INPUTS + 1 + k];
    if (!net.norm) {
      for (int k = 0; k < INPUTS; k++) grad.W[k * width + j] = g[k];
      grad.b[j] = g[INPUTS];
      continue;
    }
    const double w[] = {net.W[j], net.W[width + j], net.W[2 * width + j]}, ga = g[INPUTS];
    const double std = norm.std[j], gain = net.scale[j] / std;
    const double ggain = g[0] * w[0] + g[1] * w[1] + g[2] * w[2] - norm.mean[j] * ga;
    const double along = -ggain * gain / (std * std);
    for (int k = 0; k < INPUTS; k++) {
      const double* C = norm.C + INPUTS * k;
      const double Cw = C[0] * w[0] + C[1] * w[1] + C[2] * w[2];
      grad.W[k * width + j] = gain * (g[k] - norm.x[k] * ga) + along * Cw;
    }
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

// Train one replicate for so many epochs, after `step` of them; inputs and targets (3, n). In place:
// the parameters' row (in the order of `Network`), Adam's moments, the running values (2, width).
extern "C" void train(int width, int norm, int64_t epochs, int64_t step, double learning_rate,
                      int n, const double* x, const double* t, int test_n, const double* test_x,
                      const double* test_t, double momentum, double epsilon, const double* mean,
                      const double* covariance, double* running, int size, double* row,
                      double* first, double* second, double* losses, double* test_losses) {
  const Samples samples(x, t, n), test(test_x, test_t, test_n);
  Workspace w(width);
  std::vector<double> gradients(size);
  const Network net(row, width, norm), grad(gradients.data(), width, norm);
  Norm bn{momentum, epsilon, mean, covariance, running, running + width,
          std::vector<double>(width), std::vector<double>(width)};
  for (int64_t epoch = 0; epoch < epochs; epoch++) {
    Vec loss{}, test_loss{}, gc[OUTPUTS] = {};
    set_units(net, bn, true, w.units);
    std::fill(w.sums.begin(), w.sums.end(), Vec{});
    for (int start = 0; start < samples.vectors; start += w.block) {
      const int m = std::min(w.block, samples.vectors - start);
      forward<GROUP, true>(samples, net.c, w, start, start, start + m, loss);
      for (int j = 0; j < width; j++) backward(samples, w, start, m, j);
      for (int k = 0; k < OUTPUTS; k++)
        for (int i = 0; i < m; i++) gc[k] += w.e[k * w.stride + i];
    }
    for (int k = 0; k < OUTPUTS; k++) grad.c[k] = total(gc[k]);
    set_gradients(net, bn, w.sums.data(), grad);
    adam(row, gradients.data(), first, second, size, learning_rate, step + epoch + 1);
    set_units(net, bn, false, w.units);
    forward<GROUP, false>(test, net.c, w, 0, 0, test.vectors, test_loss);
    losses[epoch] = total(loss), test_losses[epoch] = total(test_loss);
  }
}
