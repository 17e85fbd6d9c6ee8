#include "tasks/report/gnuplot.hpp"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

#include "core/error.hpp"
#include "tasks/report/html.hpp"

extern char** environ;

namespace tandem {
namespace {

// A file without a name that vanishes when it is closed. The child gets three of them instead of pipes: with pipes each side
// could wait for the other to read.
class TemporaryFile {
 public:
  TemporaryFile() : file_(std::tmpfile()) {
    require(file_ != nullptr, "gnuplot: no temporary file: {}", std::generic_category().message(errno));
  }

  int descriptor() const { return ::fileno(file_.get()); }

  void write(std::string_view text) {
    const bool written =
        std::fwrite(text.data(), 1, text.size(), file_.get()) == text.size() && std::fflush(file_.get()) == 0;
    require(written, "gnuplot: writing a temporary file: {}", std::generic_category().message(errno));
    std::rewind(file_.get());
  }

  std::string read() {
    std::rewind(file_.get());
    std::string text;
    char block[4096];
    while (const std::size_t n = std::fread(block, 1, sizeof block, file_.get())) text.append(block, n);
    return text;
  }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::unique_ptr<std::FILE, Close> file_;
};

// What gnuplot writes when it is given `script`. No shell takes part, so nothing in it is a command but gnuplot's own.
std::string run_gnuplot(std::string_view script) {
  TemporaryFile input, output, messages;
  input.write(script);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input.descriptor(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output.descriptor(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, messages.descriptor(), STDERR_FILENO);
  char program[] = "gnuplot", no_personal_settings[] = "--default-settings";
  char* const arguments[] = {program, no_personal_settings, nullptr};
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, program, &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  require(error != ENOENT,
          "gnuplot, which draws the pictures, is not installed. To install it:  apt-get install gnuplot-nox");
  require(error == 0, "gnuplot cannot be started: {}", std::generic_category().message(error));

  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  std::string drawn = output.read();
  require(status == 0 && drawn.find("</svg>") != std::string::npos, "gnuplot failed: {}", messages.read());
  return drawn;
}

// gnuplot gives the same ids to the parts of every picture, and in a page the first one wins. So each definition and each
// use of an id gets a prefix, but only inside of tags: text that looks like one stays.
std::string with_id_prefix(std::string_view svg, std::string_view prefix) {
  std::string out;
  out.reserve(svg.size() + svg.size() / 8);
  bool inside_tag = false;
  while (!svg.empty()) {
    if (svg.front() == '<' || svg.front() == '>') inside_tag = svg.front() == '<';
    std::size_t length = 1;
    bool names_id = false;
    for (const std::string_view mark : {" id='", " id=\"", "href='#", "href=\"#", "url(#"})
      if (inside_tag && svg.starts_with(mark)) {
        length = mark.size();
        names_id = true;
      }
    out += svg.substr(0, length);
    if (names_id) out += prefix;
    svg.remove_prefix(length);
  }
  return out;
}

// Cuts out every element <name>...</name>, which must hold no other of that name.
void remove_elements(std::string& svg, std::string_view name) {
  const std::string open = fmt::format("<{}>", name), close = fmt::format("</{}>", name);
  for (std::size_t begin; (begin = svg.find(open)) != std::string::npos;)
    svg.erase(begin, svg.find(close, begin) + close.size() - begin);
}

}  // namespace

std::string gnuplot_svg(std::string_view script, int width, int height, std::string_view label) {
  require(width > 0 && height > 0, "picture: {} x {} pixels", width, height);
  std::string svg = run_gnuplot(fmt::format(
      "set encoding utf8\nset terminal svg noenhanced size {},{} font 'sans-serif,12' background '#ffffff'\n{}\n", width,
      height, script));

  // Leave out the XML prolog, and the elements that browsers show as "gnuplot_plot_1" under the mouse pointer.
  svg.erase(0, svg.find("<svg"));
  remove_elements(svg, "title");
  remove_elements(svg, "desc");
  svg.replace(0, 4, fmt::format("<svg role=\"img\" aria-label=\"{}\"", escape_html(label)));

  static std::atomic<int> pictures{0};
  return with_id_prefix(printable(svg), fmt::format("p{}-", ++pictures));
}

std::string gnuplot_quote(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    quoted += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
    if (c == '\'') quoted += c;  // a quote is written twice
  }
  return quoted + "'";
}

}  // namespace tandem
