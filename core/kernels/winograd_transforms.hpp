// The transforms of Winograd's F(2x2,3x3), of one packet of channels at a time; winograd.cpp says what they are for.
//
//         | 1  0 -1  0 |         | 1    0    0  |
//   B^T = | 0  1  1  0 |     G = | 1/2  1/2  1/2 |     A^T = | 1  1  1  0 |
//         | 0 -1  1  0 |         | 1/2 -1/2  1/2 |           | 0  1 -1 -1 |
//         | 0  1  0 -1 |         | 0    0    1  |
//
// Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, section 4.1.
#pragma once

#include "core/kernels/register_tile.hpp"

namespace tandem::winograd {

inline Packet load(const real* p) { return Eigen::internal::ploadu<Packet>(p); }
inline void store(real* p, Packet v) { Eigen::internal::pstoreu(p, v); }
inline Packet plus(Packet a, Packet b) { return Eigen::internal::padd(a, b); }
inline Packet minus(Packet a, Packet b) { return Eigen::internal::psub(a, b); }
inline Packet half(Packet a) { return Eigen::internal::pmul(a, Eigen::internal::pset1<Packet>(real(0.5))); }

template <int n>
struct Packets {
  Packet at[n];
};

// B^T d
inline Packets<4> input_transform(const Packets<4>& d) {
  return {{minus(d.at[0], d.at[2]), plus(d.at[1], d.at[2]), minus(d.at[2], d.at[1]), minus(d.at[1], d.at[3])}};
}
// A^T m
inline Packets<2> output_transform(const Packets<4>& m) {
  return {{plus(plus(m.at[0], m.at[1]), m.at[2]), minus(minus(m.at[1], m.at[2]), m.at[3])}};
}
// A y
inline Packets<4> output_gradient(const Packets<2>& y) {
  return {{y.at[0], plus(y.at[0], y.at[1]), minus(y.at[0], y.at[1]), Eigen::internal::pnegate(y.at[1])}};
}
// G g
inline Packets<4> kernel_transform(const Packets<3>& g) {
  const Packet sides = half(plus(g.at[0], g.at[2])), middle = half(g.at[1]);
  return {{g.at[0], plus(sides, middle), minus(sides, middle), g.at[2]}};
}
// G^T u
inline Packets<3> kernel_gradient(const Packets<4>& u) {
  const Packet sum = half(plus(u.at[1], u.at[2])), difference = half(minus(u.at[1], u.at[2]));
  return {{plus(u.at[0], sum), difference, plus(sum, u.at[3])}};
}

// Such a transform T in two dimensions, T in T^T: first of the columns of a square of n x n packets, then of the rows of what that
// gives. `in` points at the packet in row k and column l, `out` takes it. All of it stays in registers.
template <int m, int n, class In, class Out>
void transform_square(Packets<m> (*T)(const Packets<n>&), const In& in, const Out& out) {
  Packets<m> column[n];
#pragma GCC unroll 4
  for (int l = 0; l < n; ++l) {
    Packets<n> from;
#pragma GCC unroll 4
    for (int k = 0; k < n; ++k) from.at[k] = load(in(k, l));
    column[l] = T(from);
  }
#pragma GCC unroll 4
  for (int k = 0; k < m; ++k) {
    Packets<n> from;
#pragma GCC unroll 4
    for (int l = 0; l < n; ++l) from.at[l] = column[l].at[k];
    const Packets<m> row = T(from);
#pragma GCC unroll 4
    for (int l = 0; l < m; ++l) out(k, l, row.at[l]);
  }
}

}  // namespace tandem::winograd
