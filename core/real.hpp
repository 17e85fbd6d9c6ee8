// The one number type of the engine.
//
// `real` is float. Building with -DTANDEM_REAL=double turns every tensor, kernel and message into double precision: slower,
// but exact enough to compare a hand-written derivative with a difference quotient (see gradcheck.hpp).
#pragma once

#include <cstddef>
#include <cstdint>

#ifndef TANDEM_REAL
#define TANDEM_REAL float
#endif

namespace tandem {

using real = TANDEM_REAL;
using Index = std::ptrdiff_t;  // sizes and positions; signed, so that differences and loops to zero are safe

constexpr Index divide_up(Index a, Index b) { return (a + b - 1) / b; }             // a / b, rounded up; a >= 0, b > 0
constexpr std::size_t count_of(Index n) { return static_cast<std::size_t>(n); }  // the same size for the standard library

inline constexpr bool real_is_double = sizeof(real) == 8;

}  // namespace tandem
