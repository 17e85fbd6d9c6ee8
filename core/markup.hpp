// Text that goes into HTML or SVG: shown as it is, never obeyed.
#pragma once

#include <string>
#include <string_view>

namespace tandem {

// `text` with U+FFFD, the replacement character, for what no page may hold: control characters and bytes that are not UTF-8.
std::string printable(std::string_view text);

// Printable text for use between tags or in a quoted attribute: & < > " ' become &amp; &lt; ...
std::string escape_html(std::string_view text);

}  // namespace tandem
