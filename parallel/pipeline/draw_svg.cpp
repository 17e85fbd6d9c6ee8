#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <string_view>

#include "core/error.hpp"
#include "core/markup.hpp"
#include "parallel/pipeline/draw.hpp"
#include "parallel/pipeline/drawing.hpp"

namespace tandem {
namespace {

// Colours that stay apart for the colour-blind (after Okabe and Ito, "Color Universal Design", 2008) and in grey: F light, B dark.
// The stages of a rank go from `first` to `last`.
struct Paint {
  std::uint32_t first, last;
  std::string_view ink, words;
};

const Paint& paint_of(Op op) {
  static constexpr std::array<Paint, 8> paints{{{0x9fd0f0, 0xd8ecf9, "#123", "F: forward"},
                                                {0x0067a3, 0x4a9bc7, "#fff", "B: backward"},
                                                {0xb34700, 0xd9773a, "#fff", "I: backward of the input"},
                                                {0xf2c14e, 0xf9e3ac, "#321", "W: backward of the weights"},
                                                {0xb4b4b4, 0xb4b4b4, "#222", "message, and waiting for it"},
                                                {0x008a66, 0x5cb89d, "#fff", "sum over replicas"},
                                                {0x7a4b94, 0x7a4b94, "#fff", "update"},
                                                {0x5a5a5a, 0x5a5a5a, "#fff", "waiting inside an action"}}};
  if (op <= Op::W) return paints[static_cast<std::size_t>(op)];
  if (op < Op::reduce) return paints[4];
  return paints[5 + static_cast<std::size_t>(op) - static_cast<std::size_t>(Op::reduce)];
}

std::string shade(const Paint& paint, double share) {
  const auto channel = [&](int shift) {
    const double a = (paint.first >> shift) & 255, b = (paint.last >> shift) & 255;
    return static_cast<int>(std::lround(a + share * (b - a)));
  };
  return fmt::format("#{:02x}{:02x}{:02x}", channel(16), channel(8), channel(0));
}

struct Row {
  std::string name;
  const Timeline& timeline;
  double height;  // of its boxes
};

class Page {
 public:
  Page(const std::vector<Row>& rows, const Drawing& drawing) : rows_(rows), drawing_(drawing), unit_(drawing.unit.empty() ? "" : " " + drawing.unit) {
    for (const Row& row : rows) {
      makespan_ = std::max(makespan_, row.timeline.makespan());
      for (const auto& spans : row.timeline.ranks) {
        lanes_ = lanes_ || has_reductions(spans);
        most_stages_ = std::max(most_stages_, places_of_stages(spans).size());
        for (const Span& span : spans) digits_ = std::max(digits_, fmt::to_string(span.what.micro).size());
      }
    }
    // As wide as it takes to write two digits into most boxes, within what a screen shows.
    std::vector<double> lengths;
    for (const auto& spans : rows.front().timeline.ranks)
      for (const Span& span : spans)
        if (span.what.op <= Op::W) lengths.push_back(span.seconds());
    const auto middle = lengths.begin() + std::ssize(lengths) / 2;
    if (!lengths.empty()) std::ranges::nth_element(lengths, middle);
    const double wanted = lengths.empty() || *middle <= 0 ? 0 : 14 * makespan_ / *middle;
    plot_ = std::clamp(wanted, 760.0, 1800.0);
    per_time_ = makespan_ > 0 ? plot_ / makespan_ : 0;
  }

  std::string svg() {
    heading();
    const double top = y_;
    for (std::size_t rank = 0; rank < rows_.front().timeline.ranks.size(); ++rank) draw_rank(rank);
    axis(top);
    legend();
    const double width = left() + plot_ + right;
    return fmt::format(
               "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" viewBox=\"0 0 {0:.0f} {1:.0f}\" "
               "font-family=\"DejaVu Sans, Verdana, sans-serif\" font-size=\"12\" fill=\"#222\">\n"
               "<rect width=\"{0:.0f}\" height=\"{1:.0f}\" fill=\"#ffffff\"/>\n",
               width, y_) +
           body_ + "</svg>\n";
  }

 private:
  static constexpr double right = 24, lane = 6, gap = 3;

  double left() const { return rows_.size() > 1 ? 132 : 72; }
  double x(double time) const { return left() + time * per_time_; }
  std::string time_text(double time) const { return fmt::format("{:.5g}", time * drawing_.scale); }

  template <class... Args>
  void put(fmt::format_string<Args...> text, Args&&... values) { body_ += fmt::format(text, std::forward<Args>(values)...) + "\n"; }

  void heading() {
    y_ = 12;
    if (!drawing_.title.empty()) {
      put("<text x=\"{}\" y=\"{}\" font-size=\"16\" font-weight=\"bold\">{}</text>", gap * 4, y_ += 16, escape_html(drawing_.title));
      y_ += 6;
    }
    for (const Row& row : rows_) {
      const std::string name = row.name.empty() ? "" : row.name + ": ";
      put("<text x=\"{}\" y=\"{}\" fill=\"#555\">{}makespan {}{}, idle {:.1f} % of the time of {} rank{}</text>", gap * 4, y_ += 15, name,
          time_text(row.timeline.makespan()), escape_html(unit_), 100 * row.timeline.idle_share(), row.timeline.ranks.size(),
          row.timeline.ranks.size() == 1 ? "" : "s");
    }
    y_ += 12;
  }

  void draw_rank(std::size_t rank) {
    const double begin = y_;
    for (const Row& row : rows_) {
      put("<rect x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{}\" fill=\"#f0f0f0\"/>", left(), y_, plot_, row.height);
      if (rows_.size() > 1)
        put("<text x=\"{}\" y=\"{:.2f}\" font-size=\"10\" fill=\"#666\" text-anchor=\"end\">{}</text>", left() - 6, y_ + row.height / 2 + 3.5, row.name);
      const auto& spans = row.timeline.ranks[rank];
      const std::map<int, int> places = places_of_stages(spans);
      for (const Span& span : spans) draw_span(span, places.at(span.what.stage), row.height);
      y_ += row.height + (lanes_ ? lane + 1 : 0) + gap;
    }
    const double middle = begin + (rows_.size() > 1 ? (y_ - begin) / 2 - gap : rows_.front().height / 2) + 4;
    put("<text x=\"{}\" y=\"{:.2f}\">rank {}</text>", gap * 4, middle, rank);
    y_ += rows_.size() > 1 ? 8 : gap;
  }

  void draw_span(const Span& span, int place, double height) {
    const Op op = span.what.op;
    const Paint& paint = paint_of(op);
    used_[static_cast<std::size_t>(&paint - &paint_of(Op::F))] = true;
    const double width = span.seconds() * per_time_;
    const bool thin = op == Op::reduce, inner = op == Op::exchange;
    const double top = thin ? y_ + height + 1 : inner ? y_ + height * 0.75 : y_, tall = thin ? lane : inner ? height * 0.25 : height;
    const std::string colour = shade(paint, most_stages_ > 1 ? place / static_cast<double>(most_stages_ - 1) : 0);
    // A thin white edge parts equal neighbours; boxes of few pixels have no room for it.
    put("<rect x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.1f}\" fill=\"{}\"{}><title>{}: {} to {}{}</title></rect>", x(span.begin), top,
        std::max(width, 0.3), tall, colour, width > 3 ? " stroke=\"#fff\" stroke-width=\"0.6\"" : "", to_string(span.what), time_text(span.begin),
        time_text(span.end), escape_html(unit_));
    const std::string label = op == Op::update ? "U" : fmt::to_string(span.what.micro);
    // Where the longest number would not fit, none is written: boxes of one kind look alike.
    const double room = (width - 1.5) / (0.64 * static_cast<double>(op == Op::update ? 1 : digits_));
    const double size = std::min({11.0, height * 0.6, room});
    const bool labelled = (op <= Op::W || op == Op::update) && size >= 6;
    numbered_ = numbered_ || (labelled && op <= Op::W);
    if (labelled)
      put("<text x=\"{:.2f}\" y=\"{:.2f}\" font-size=\"{:.1f}\" fill=\"{}\" text-anchor=\"middle\">{}</text>", x(span.begin) + width / 2,
          top + tall / 2 + size * 0.36, size, paint.ink, label);
  }

  void axis(double top) {
    put("<path d=\"M{:.2f} {:.2f}H{:.2f}\" stroke=\"#444\"/>", left(), y_, left() + plot_);
    const double step = makespan_ > 0 ? tick_distance(makespan_ * drawing_.scale, plot_ / 90) / drawing_.scale : 1;
    for (int i = 0; i * step <= makespan_ * (1 + 1e-9); ++i) {
      put("<path d=\"M{0:.2f} {1:.2f}V{2:.2f}\" stroke=\"#000\" stroke-opacity=\"0.10\"/><path d=\"M{0:.2f} {2:.2f}v5\" stroke=\"#444\"/>", x(i * step), top, y_);
      put("<text x=\"{:.2f}\" y=\"{:.2f}\" font-size=\"11\" text-anchor=\"middle\">{}</text>", x(i * step), y_ + 17, time_text(i * step));
    }
    put("<text x=\"{:.2f}\" y=\"{:.2f}\" font-size=\"11\" fill=\"#555\" text-anchor=\"end\">time{}</text>", left() + plot_, y_ + 31,
        unit_.empty() ? "" : " in" + escape_html(unit_));
    y_ += 44;
  }

  // A swatch for each stage of a rank, then words.
  void legend() {
    double at = gap * 4;
    const auto item = [&](const Paint* paint, const std::string& words) {
      const std::size_t swatches = paint && paint->first != paint->last ? std::max<std::size_t>(most_stages_, 1) : 1;
      const double needed = 14.0 * static_cast<double>(swatches) + 6.6 * static_cast<double>(words.size()) + 20;
      if (at > gap * 4 && at + needed > left() + plot_ + right) {
        at = gap * 4;
        y_ += 20;
      }
      for (std::size_t i = 0; i < swatches; ++i, at += 14)
        put("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"13\" height=\"13\" fill=\"{}\"/>", at, y_,
            paint ? shade(*paint, swatches > 1 ? static_cast<double>(i) / static_cast<double>(swatches - 1) : 0) : "#f0f0f0");
      put("<text x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", at + 4, y_ + 11, words);
      at += needed - 14.0 * static_cast<double>(swatches);
    };
    for (std::size_t i = 0; i < used_.size(); ++i) {
      const Paint* paint = &paint_of(Op::F) + i;
      if (used_[i]) item(paint, std::string(paint->words));
    }
    item(nullptr, "idle");
    y_ += 20;
    std::string words = numbered_ ? "Numbers in boxes are micro-batches." : "The numbers of micro-batches do not fit; each box has a tooltip.";
    if (most_stages_ > 1) words += " Shades, from dark to light: the stages of a rank, from the first to the last.";
    put("<text x=\"{}\" y=\"{:.1f}\" fill=\"#555\">{}</text>", gap * 4, y_ + 12, words);
    y_ += 26;
  }

  const std::vector<Row>& rows_;
  const Drawing& drawing_;
  std::string unit_, body_;
  double makespan_ = 0, plot_ = 0, per_time_ = 0, y_ = 0;
  bool lanes_ = false, numbered_ = false;
  std::size_t most_stages_ = 0, digits_ = 1;
  std::array<bool, 8> used_{};
};

// Lower where there are many ranks.
double row_height(std::size_t ranks) { return ranks <= 4 ? 30 : ranks <= 8 ? 26 : 20; }

}  // namespace

std::string svg_of(const Timeline& timeline, const Drawing& drawing) {
  const std::vector<Row> rows{{"", timeline, row_height(timeline.ranks.size())}};
  return Page(rows, drawing).svg();
}

std::string svg_of(const Timeline& measured, const Timeline& predicted, const Drawing& drawing) {
  require(measured.ranks.size() == predicted.ranks.size(), "drawing: {} ranks measured, {} predicted", measured.ranks.size(), predicted.ranks.size());
  const double height = row_height(measured.ranks.size());
  const std::vector<Row> rows{{"measured", measured, height}, {"predicted", predicted, height * 0.75}};
  return Page(rows, drawing).svg();
}

}  // namespace tandem
