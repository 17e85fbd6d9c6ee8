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

inline constexpr bool real_is_double = sizeof(real) == 8;

}  // namespace tandem
