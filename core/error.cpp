#include "core/error.hpp"

namespace tandem {

void fail_with(fmt::string_view message, fmt::format_args values) { throw Error(fmt::vformat(message, values)); }

}  // namespace tandem
