#include "core/shape.hpp"

namespace tandem {

std::string Shape::str() const { return fmt::format("[{}]", fmt::join(begin(), end(), ",")); }

}  // namespace tandem
