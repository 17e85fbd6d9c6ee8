// Self-contained HTML pages: one file that can be mailed, printed or put in an archive. Pictures and style are inside;
// nothing is loaded from anywhere, and no script runs.
//
//   Page page("A run");
//   page.section("Learning");
//   page.paragraph("The loss falls.");
//   page.figures({{svg(plot), "Loss after each epoch."}});
//   write_file("run.html", page.str());
//
// Every text is escaped, so that a class named <b> is shown and not obeyed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/markup.hpp"

namespace tandem {

// A name and its value, as shown: {"test accuracy", "96.4 %"}.
struct Fact {
  std::string name, value;
};

// `align` has one letter for each column, as in LaTeX: l for text, r for numbers, which stand right, digits of equal width.
struct Table {
  std::string align{};
  std::vector<std::string> header{};
  std::vector<std::vector<std::string>> rows{};
};

// A drawing, as svg() of plot.hpp makes it, and the sentence below that says what it shows.
struct Figure {
  std::string svg, caption;
};

// A small image with a caption; `marked` ones stand out by a coloured frame, so the caption should say why.
struct Picture {
  std::string png;  // the bytes of a PNG file
  std::string caption;
  bool marked = false;
};

class Page {
 public:
  explicit Page(std::string_view title);

  void section(std::string_view heading);
  void paragraph(std::string_view text);
  void highlights(const std::vector<Fact>& facts);   // a row of large numbers
  void facts(const std::vector<Fact>& facts);        // a list: name, value
  void table(const Table& table);                    // errors: a row or `align` of another length than the header
  void figures(const std::vector<Figure>& figures);  // side by side where there is room
  void pictures(const std::vector<Picture>& pictures);

  std::string str() const;

 private:
  std::string title_, body_;
};

// RFC 4648, section 4, with padding: three bytes become four letters.
std::string base64(std::string_view bytes);

}  // namespace tandem
