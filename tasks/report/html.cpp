#include "tasks/report/html.hpp"

#include <cstdint>

#include "core/error.hpp"

namespace tandem {
namespace {

// Fonts of the reader's system; one column of text; light, since the pictures are drawn on white. Widths that do not fit
// scroll inside their own box, so that the page itself never scrolls sideways.
constexpr std::string_view style = R"(
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 3rem 1.5rem 4rem; max-width: 68rem; background: #fff; color: #1f2328;
       font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; font-weight: 650; letter-spacing: -0.01em; margin: 0 0 1rem; }
h2 { font-size: 1.25rem; font-weight: 650; margin: 3rem 0 0.5rem; }
p { margin: 0 0 1rem; max-width: 44rem; }
.highlights { display: flex; flex-wrap: wrap; gap: 1.25rem 2.5rem; margin: 1.75rem 0;
              padding: 1.25rem 0; border: solid #d8dde3; border-width: 1px 0; }
.highlights div { flex: 1 1 auto; }
.highlights dt { font-size: 0.82rem; color: #59636e; }
.highlights dd { margin: 0; font-size: 1.5rem; line-height: 1.3; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.facts { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: 0.35rem 1.5rem; margin: 1rem 0; font-size: 0.92rem; }
.facts dt { color: #59636e; }
.facts dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: 0.92rem; font-variant-numeric: tabular-nums; }
th { font-weight: 600; color: #59636e; border-bottom: 1px solid #b9c0c8; vertical-align: bottom; }
td { border-bottom: 1px solid #e7eaee; }
th, td { padding: 0.35rem 1.5rem 0.35rem 0; text-align: left; }
th:last-child, td:last-child { padding-right: 0; }
.r { text-align: right; white-space: nowrap; }
figure { margin: 0; }
figcaption { max-width: 44rem; font-size: 0.86rem; line-height: 1.45; color: #59636e; overflow-wrap: anywhere; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); gap: 2rem; margin: 1.25rem 0; }
.figures svg { display: block; max-width: 100%; height: auto; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: 1.25rem; margin: 1.25rem 0; }
.pictures img { display: block; width: 100%; border-radius: 4px; margin-bottom: 0.35rem; }
.pictures .marked img { outline: 3px solid #d55e00; }
.pictures .marked figcaption { color: #a34700; }
@media print {
  body { max-width: none; padding: 0; font-size: 11pt; }
  h2 { break-after: avoid; }
  figure, tr { break-inside: avoid; }
  table, .pictures figcaption { font-size: 8pt; }
  th, td { padding-right: 0.8rem; }
  .scroll { overflow-x: visible; }
  .figures { grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); }
  .pictures { grid-template-columns: repeat(auto-fill, minmax(7.5rem, 1fr)); }
}
)";

std::string list(std::string_view kind, const std::vector<Fact>& facts) {
  std::string html = fmt::format("<dl class=\"{}\">\n", kind);
  for (const Fact& fact : facts)
    html += kind == "facts"
                ? fmt::format("<dt>{}</dt><dd>{}</dd>\n", escape_html(fact.name), escape_html(fact.value))
                : fmt::format("<div><dt>{}</dt><dd>{}</dd></div>\n", escape_html(fact.name), escape_html(fact.value));
  return html + "</dl>\n";
}

std::string table_row(std::string_view tag, std::string_view align, const std::vector<std::string>& cells) {
  require(cells.size() == align.size(), "table: a row of {} cells under {} columns", cells.size(), align.size());
  std::string html = "<tr>";
  for (std::size_t i = 0; i < cells.size(); ++i)
    html += fmt::format("<{} class=\"{}\">{}</{}>", tag, align[i] == 'r' ? 'r' : 'l', escape_html(cells[i]), tag);
  return html + "</tr>\n";
}

}  // namespace

std::string base64(std::string_view bytes) {
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (; !bytes.empty(); bytes.remove_prefix(std::min<std::size_t>(3, bytes.size()))) {
    const std::size_t n = std::min<std::size_t>(3, bytes.size());
    std::uint32_t bits = 0;  // 24 of them, the missing bytes zero
    for (std::size_t i = 0; i < 3; ++i) bits = bits << 8 | (i < n ? static_cast<std::uint8_t>(bytes[i]) : 0u);
    for (std::size_t i = 0; i < 4; ++i) out += i <= n ? letters[bits >> (18 - 6 * i) & 63] : '=';
  }
  return out;
}

Page::Page(std::string_view title) : title_(escape_html(title)) {}

void Page::section(std::string_view heading) { body_ += fmt::format("<h2>{}</h2>\n", escape_html(heading)); }

void Page::paragraph(std::string_view text) { body_ += fmt::format("<p>{}</p>\n", escape_html(text)); }

void Page::highlights(const std::vector<Fact>& facts) { body_ += list("highlights", facts); }

void Page::facts(const std::vector<Fact>& facts) { body_ += list("facts", facts); }

void Page::table(const Table& table) {
  std::string html = table_row("th", table.align, table.header);
  for (const auto& cells : table.rows) html += table_row("td", table.align, cells);
  body_ += fmt::format("<div class=\"scroll\"><table>\n{}</table></div>\n", html);
}

void Page::figures(const std::vector<Figure>& figures) {
  body_ += "<div class=\"figures\">\n";
  for (const Figure& figure : figures)
    body_ += fmt::format("<figure>{}<figcaption>{}</figcaption></figure>\n", figure.svg, escape_html(figure.caption));
  body_ += "</div>\n";
}

void Page::pictures(const std::vector<Picture>& pictures) {
  body_ += "<div class=\"pictures\">\n";
  for (const Picture& picture : pictures) {
    const std::string caption = escape_html(picture.caption);
    body_ += fmt::format("<figure{}><img alt=\"{}\" src=\"data:image/png;base64,{}\"><figcaption>{}</figcaption></figure>\n",
                         picture.marked ? " class=\"marked\"" : "", caption, base64(picture.png), caption);
  }
  body_ += "</div>\n";
}

std::string Page::str() const {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<h1>{}</h1>\n{}</body>\n</html>\n",
      title_, style, title_, body_);
}

}  // namespace tandem
