#include "core/markup.hpp"

#include <cstdint>

namespace tandem {
namespace {

// The bytes of the letter that `text` starts with, or 0 if they are not UTF-8.
// Source: RFC 3629: 0xxxxxxx, 110xxxxx 10xxxxxx, 1110xxxx ..., 11110xxx ...; no longer form than needed, no surrogates.
std::size_t utf8_letter(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::size_t length = byte(0) < 0x80   ? 1
                             : byte(0) < 0xc2 ? 0
                             : byte(0) < 0xe0 ? 2
                             : byte(0) < 0xf0 ? 3
                             : byte(0) < 0xf5 ? 4
                                              : 0;
  if (length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  const bool too_long = (byte(0) == 0xe0 && byte(1) < 0xa0) || (byte(0) == 0xf0 && byte(1) < 0x90);
  const bool surrogate = byte(0) == 0xed && byte(1) >= 0xa0, too_large = byte(0) == 0xf4 && byte(1) >= 0x90;
  return too_long || surrogate || too_large ? 0 : length;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t length = utf8_letter(text);
    const auto first = static_cast<std::uint8_t>(text.front());
    const bool control = first < ' ' ? first != '\n' && first != '\t' : first == 0x7f;
    if (length == 0 || control)
      out += "\uFFFD";
    else
      out += text.substr(0, length);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : printable(text)) switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  return out;
}

}  // namespace tandem
