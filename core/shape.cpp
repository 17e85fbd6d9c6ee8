#include "core/shape.hpp"

namespace tandem {

std::string Shape::str() const { return fmt::format("[{}]", fmt::join(begin(), end(), ",")); }

void Shape::fail_too_large() const { fail("shape {}: too many elements", *this); }
void Shape::fail_no_axis(int axis) const { fail("shape {}: no axis {}", *this, axis); }

}  // namespace tandem
