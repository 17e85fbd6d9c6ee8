// Pages and pictures: nothing in a text is obeyed, nothing is loaded from outside, nothing breaks on missing values.
#include "tasks/report/html.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "tasks/report/gnuplot.hpp"
#include "tasks/report/plot.hpp"
#include "tasks/report/training_report.hpp"

using namespace tandem;

namespace {

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

// The values of all attributes whose opening is `name="` or `name='`.
std::vector<std::string> attributes(const std::string& html, const std::string& name) {
  std::vector<std::string> values;
  for (const char quote : {'"', '\''}) {
    const std::string opening = " " + name + "=" + quote;
    for (std::size_t at = html.find(opening); at != std::string::npos; at = html.find(opening, at + 1)) {
      const std::size_t begin = at + opening.size();
      values.push_back(html.substr(begin, html.find(quote, begin) - begin));
    }
  }
  return values;
}

// Empty if every element is closed by its own end in the right order; else the first tag that is wrong.
std::string unbalanced(const std::string& html) {
  const std::set<std::string> without_end = {"!DOCTYPE", "meta", "img"};
  std::vector<std::string> open;
  for (std::size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at + 1)) {
    const std::size_t end = html.find('>', at);
    if (end == std::string::npos) return html.substr(at);
    const std::string tag = html.substr(at + 1, end - at - 1);
    const std::string name = tag.substr(0, tag.find_first_of(" \n\t/", 1));
    if (tag.front() == '/') {
      if (open.empty() || "/" + open.back() != tag) return tag;
      open.pop_back();
    } else if (tag.back() != '/' && !without_end.contains(name)) {
      open.push_back(name);
    }
  }
  return open.empty() ? "" : open.back();
}

// Every link stays in the page, every id is there once, every link has its id.
void check_self_contained(const std::string& html) {
  CHECK(unbalanced(html) == "");
  const std::vector<std::string> ids = attributes(html, "id");
  const std::set<std::string> unique(ids.begin(), ids.end());
  CHECK(unique.size() == ids.size());
  for (const char* name : {"href", "xlink:href"})
    for (const std::string& link : attributes(html, name)) {
      REQUIRE(link.starts_with("#"));
      CHECK(unique.contains(link.substr(1)));
    }
  for (const std::string& source : attributes(html, "src")) CHECK(source.starts_with("data:image/png;base64,"));
  for (const char* loads : {"<script", "<link", "<iframe", "@import", "url(http"}) CHECK_FALSE(contains(html, loads));
}

TrainingReport small_report() {
  TrainingReport report;
  report.title = "Two classes";
  report.summary = "A summary.";
  report.seconds = 404;
  report.weights_hash = "0123456789abcdef";
  report.epochs = {{.epoch = 1, .train_loss = 0.9, .validation_loss = 1.0}, {.epoch = 2, .train_loss = 0.5}};
  report.classes = {"Forest", "River"};
  report.confusion = {90, 10, 5, 95};
  report.samples = {{.png = "not really", .truth = 0, .prediction = 1, .confidence = 0.7}};
  report.ranks = {{.rank = 0,
                   .host = "here",
                   .threads = 1,
                   .images = 12000,
                   .compute_seconds = 8,
                   .communication_seconds = 1,
                   .data_seconds = 1}};
  return report;
}

class WithoutPrograms {
 public:
  WithoutPrograms() : path_(std::getenv("PATH")) { ::setenv("PATH", "/nowhere", 1); }
  ~WithoutPrograms() { ::setenv("PATH", path_.c_str(), 1); }

 private:
  std::string path_;
};

}  // namespace

TEST_CASE("text is shown, not obeyed") {
  CHECK(escape_html("<b a=\"1\">&'") == "&lt;b a=&quot;1&quot;&gt;&amp;&#39;");
  CHECK(escape_html("Wälder, 森") == "Wälder, 森");

  TrainingReport report = small_report();
  const std::string hostile = "<script>alert('1')</script>";
  report.title = report.summary = report.command = report.weights_hash = hostile;
  report.classes[0] = report.ranks[0].host = hostile;
  report.facts = {{hostile, hostile}};
  check_self_contained(training_report_page(report));
}

TEST_CASE("what no page may contain becomes the replacement character") {
  CHECK(printable("a\tb\nc") == "a\tb\nc");
  CHECK(printable(std::string_view("a\0\x1b", 3)) == "a\uFFFD\uFFFD");
  for (const char* broken : {"\xff", "\xc3", "\x80", "\xc0\x80", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xe2\x82"})
    CHECK(printable(broken).starts_with("\uFFFD"));
  CHECK(printable("\xf0\x9f\x8c\x8d") == "\xf0\x9f\x8c\x8d");  // four bytes, one letter
}

TEST_CASE("base64 gives the vectors of RFC 4648, section 10") {
  CHECK(base64("") == "");
  CHECK(base64("f") == "Zg==");
  CHECK(base64("fo") == "Zm8=");
  CHECK(base64("foo") == "Zm9v");
  CHECK(base64("foob") == "Zm9vYg==");
  CHECK(base64("fooba") == "Zm9vYmE=");
  CHECK(base64("foobar") == "Zm9vYmFy");
  CHECK(base64("\xff\xfe\xfd") == "//79");
}

TEST_CASE("a table says which row does not fit") {
  Page page("Tables");
  CHECK_THROWS_WITH_AS(page.table({.align = "lr", .header = {"a"}}), "table: a row of 1 cells under 2 columns", Error);
  page.table({.align = "lr", .header = {"name", "n"}, .rows = {{"a", "1"}}});
  CHECK(contains(page.str(), "<td class=\"r\">1</td>"));
  CHECK(unbalanced(page.str()) == "");
}

TEST_CASE("the tag check of these tests finds what is wrong") {
  CHECK(unbalanced("<p><b>x</b></p>") == "");
  CHECK(unbalanced("<p><b>x</p></b>") == "/p");
  CHECK(unbalanced("<p>") == "p");
}

TEST_CASE("two pictures in one page share no id") {
  const Plot plot{.title = "Loss", .x_label = "epoch", .y_label = "loss", .curves = {{"training", {1, 2, 3}, {3, 2, 1}}}};
  const std::string first = svg(plot), second = svg(plot);
  CHECK_FALSE(attributes(first, "id").empty());
  CHECK_FALSE(attributes(first, "xlink:href").empty());
  check_self_contained(first + second);

  const std::vector<std::string> ids = attributes(first + first, "id");
  CHECK(std::set<std::string>(ids.begin(), ids.end()).size() < ids.size());  // the same picture twice would share them
}

TEST_CASE("a picture is one svg element, without what gnuplot adds for itself") {
  const std::string picture = svg(Plot{.title = "Loss", .curves = {{"a", {1, 2}, {1, 2}}}});
  CHECK(picture.starts_with("<svg role=\"img\" aria-label=\"Loss\""));
  for (const char* part : {"<?xml", "<title", "<desc", "GNUPLOT"}) CHECK_FALSE(contains(picture, part));
}

TEST_CASE("no text is a command or markup to gnuplot") {
  const std::string marker = (std::filesystem::temp_directory_path() / "tandem-report-test-ran").string();
  std::filesystem::remove(marker);
  const std::string text = "it's \"a_b\" @c %d {/I x} \\n ü";
  const std::string run = "`touch " + marker + "`'\n!touch " + marker + "\nsystem('touch " + marker + "')";
  Plot plot{.title = text, .x_label = text, .y_label = text, .curves = {{text, {1, 2}, {1, 2}}, {run, {1}, {1}}}};
  HeatMap map{
      .title = run, .x_label = text, .y_label = text, .rows = {text}, .columns = {run}, .shades = {1}, .texts = {text}};

  CHECK(contains(svg(plot), ">" + text + "<"));
  const std::string drawn = svg(map);
  std::size_t times = 0;
  for (std::size_t at = 0; (at = drawn.find(">" + text + "<", at)) != std::string::npos; ++at) ++times;
  CHECK(times == 4);  // at both axes, beside the row, in the cell
  CHECK_FALSE(std::filesystem::exists(marker));
  gnuplot_svg("set title \"`touch " + marker + "`\"\nplot 1", 100, 100, "");  // unquoted it would have run
  CHECK(std::filesystem::remove(marker));

  plot.title = " id='x' href=\"#x\"";  // looks like an attribute, but is text
  CHECK(contains(svg(plot), "> id='x' href=\"#x\"<"));
  plot.title = "broken \xff";
  CHECK(contains(svg(plot), "broken \uFFFD"));
}

TEST_CASE("missing values interrupt a curve, and no curve is too short") {
  const double nan = std::nan(""), inf = HUGE_VAL;
  const std::vector<Curve> curves = {{"gap", {1, 2, 3, 4, 5}, {1, nan, 3, inf, 1e308}},
                                     {"empty", {}, {}},
                                     {"one point", {1}, {2}},
                                     {"all missing", {1, nan}, {nan, 1}}};
  const std::string all = svg(Plot{.curves = curves});
  for (const Curve& curve : curves) CHECK(contains(all, ">" + curve.name + "<"));
  for (const Curve& curve : curves) {
    CAPTURE(curve.name);
    for (const bool log : {false, true}) {
      const std::string alone = svg(Plot{.curves = {curve}, .log_x = log, .log_y = log, .y_from_zero = true});
      const bool empty = curve.name == "empty" || curve.name == "all missing";
      CHECK(contains(alone, "no data") == empty);
    }
  }
  CHECK(contains(svg(Plot{}), "no data"));
  CHECK(unbalanced(svg(Plot{.curves = {{"flat", {0, 0}, {0, 0}}, {"far", {-1e299}, {1e299}}}})) == "");
  CHECK_THROWS_WITH_AS(svg(Plot{.curves = {{"a", {1, 2}, {1}}}}), "curve 'a': 2 x but 1 y", Error);
}

TEST_CASE("a heat map of any size; its cells must fit its names") {
  CHECK(contains(svg(HeatMap{.rows = {"a"}, .columns = {"b"}, .shades = {std::nan("")}}), ">a<"));
  const std::vector<std::string> names(60, std::string(200, 'n') + "é");
  const std::vector<double> shades(3600, 0.5);
  CHECK(unbalanced(svg(HeatMap{.rows = names, .columns = names, .shades = shades})) == "");
  CHECK_THROWS_AS(svg(HeatMap{.rows = {"a"}, .columns = {"b", "c"}, .shades = {1}}), Error);
  CHECK_THROWS_AS(svg(HeatMap{}), Error);
}

TEST_CASE("without gnuplot the error says what to install; a wrong script says what gnuplot said") {
  CHECK_THROWS_WITH_AS(gnuplot_svg("plot nothing_of_this_name", 100, 100, ""), doctest::Contains("nothing_of_this_name"),
                       Error);
  const WithoutPrograms none;
  CHECK_THROWS_WITH_AS(svg(Plot{}), doctest::Contains("apt-get install gnuplot-nox"), Error);
}

TEST_CASE("the report of a training run shows its numbers and stands alone") {
  const TrainingReport report = small_report();
  const std::string page = training_report_page(report);
  check_self_contained(page);
  for (const char* part : {"92.50\u00A0%", "6 min 44 s", "0123456789abcdef", "Forest taken for River (10 of 100)", "12,000",
                           "1,200", "8.0 s (80\u00A0%)", "wrong: River, 70\u00A0%; it is Forest"})
    CHECK(contains(page, part));
  CHECK_FALSE(contains(page, "nan"));
}

TEST_CASE("the report leaves out what was not measured and refuses what does not fit") {
  const std::string page = training_report_page(TrainingReport{.title = "Nothing"});
  check_self_contained(page);
  CHECK_FALSE(contains(page, "<svg"));
  CHECK_FALSE(contains(page, "nan"));

  TrainingReport wrong = small_report();
  wrong.confusion.pop_back();
  CHECK_THROWS_WITH_AS(training_report_page(wrong), "report: 3 counts of confusion for 2 classes", Error);
  wrong = small_report();
  wrong.samples[0].prediction = 2;
  CHECK_THROWS_WITH_AS(training_report_page(wrong), "report: a sample of class 2 among 2 classes", Error);
}
