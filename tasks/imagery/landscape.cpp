#include "tasks/imagery/landscape.hpp"

#include <limits>
#include <numbers>
#include <utility>

namespace tandem::landscape {

void paint(Canvas& canvas, const Field& distance, float half_width, Colour colour, float opacity) {
  for_pixels([&](int x, int y) {
    const float cover = opacity * coverage(half_width - distance(x, y));
    if (cover > 0) canvas(x, y) = blend(canvas(x, y), colour, cover);
  });
}

void modulate(Canvas& canvas, const Field& noise, float strength) {
  for (std::size_t i = 0; i < canvas.values.size(); ++i)
    canvas.values[i] = std::max(0.2f, 1 + strength * noise.values[i]) * canvas.values[i];
}

Colour vary(Random& random, Colour colour, double spread) {
  return static_cast<float>(std::exp(spread * random.normal())) * colour;
}

Field fractal_noise(Random& random, float wavelength, int octaves) {
  Field sum;
  float amplitude = 1, power = 0;
  for (int octave = 0; octave < octaves; ++octave, wavelength /= 2, amplitude /= 2) {
    // Random values on a lattice of this wavelength, at a random place.
    const float step = std::max(wavelength, 1.0f);
    const int n = static_cast<int>(side / step) + 3;
    std::vector<float> lattice(static_cast<std::size_t>(n * n));
    for (float& value : lattice) value = between(random, -amplitude, amplitude);
    const Point origin = {between(random, 0, 1), between(random, 0, 1)};

    // Between lattice points: smooth steps, first along x, then along y.
    const auto locate = [&](int pixel, float shift) {
      const float at = static_cast<float>(pixel) / step + shift;
      const float t = at - std::floor(at);
      return std::pair{static_cast<int>(at), t * t * (3 - 2 * t)};
    };
    std::array<std::pair<int, float>, side> columns;
    for (int x = 0; x < side; ++x) columns[static_cast<std::size_t>(x)] = locate(x, origin.x);
    for (int y = 0; y < side; ++y) {
      const auto [row, down] = locate(y, origin.y);
      const float* const upper = lattice.data() + row * n;
      const float* const lower = upper + n;
      for (int x = 0; x < side; ++x) {
        const auto [column, right] = columns[static_cast<std::size_t>(x)];
        const float a = upper[column] + right * (upper[column + 1] - upper[column]);
        const float b = lower[column] + right * (lower[column + 1] - lower[column]);
        sum(x, y) += a + down * (b - a);
      }
    }
    power += amplitude * amplitude;
  }
  // A uniform value in [-1, 1] has variance 1/3; interpolation leaves (26/35)^2 of it on average.
  const float scale = 1 / (26.0f / 35 * std::sqrt(power / 3));
  for (float& value : sum.values) value *= scale;
  return sum;
}

Cells voronoi(Random& random, const CellShape& shape) {
  // Seeds: one at a random place of each square of a grid, in coordinates (u, v) turned and scaled so that a square is one
  // cell. Within them, the nearest seed lies in the own square or one of its eight neighbours (nearly always).
  const float angle = between(random, 0, std::numbers::pi);
  const float along = std::cos(angle), across = std::sin(angle);
  const float u_scale = 1 / (shape.size * shape.stretch), v_scale = shape.stretch / shape.size;
  const float reach = 0.75f * side + 4 * shape.warp;
  const int u_half = static_cast<int>(reach * u_scale) + 3, v_half = static_cast<int>(reach * v_scale) + 3;
  const int columns = 2 * u_half, rows = 2 * v_half;
  std::vector<Point> seeds(static_cast<std::size_t>(columns * rows));
  const auto spot = [&] { return 0.5f + shape.disorder * between(random, -0.5, 0.5); };
  for (int i = 0; i < columns * rows; ++i)
    seeds[static_cast<std::size_t>(i)] = {static_cast<float>(i % columns) + spot(),
                                          static_cast<float>(i / columns) + spot()};
  const Point shift = {between(random, 0, 1), between(random, 0, 1)};
  const bool warped = shape.warp > 0;
  const Field warp_x = warped ? fractal_noise(random, 24, 3) : Field{};
  const Field warp_y = warped ? fractal_noise(random, 24, 3) : Field{};

  Cells cells;
  cells.count = columns * rows;
  for_pixels([&](int px, int py) {
    const float x = static_cast<float>(px - side / 2) + shape.warp * warp_x(px, py);
    const float y = static_cast<float>(py - side / 2) + shape.warp * warp_y(px, py);
    const float u = (along * x + across * y) * u_scale + static_cast<float>(u_half) + shift.x;
    const float v = (along * y - across * x) * v_scale + static_cast<float>(v_half) + shift.y;
    const int column = std::clamp(static_cast<int>(u), 1, columns - 2), row = std::clamp(static_cast<int>(v), 1, rows - 2);

    float nearest = std::numeric_limits<float>::max(), second = nearest;
    int nearest_seed = 0, second_seed = 0;
    for (int j = row - 1; j <= row + 1; ++j) {
      for (int i = column - 1; i <= column + 1; ++i) {
        const int seed = j * columns + i;
        const auto [su, sv] = seeds[static_cast<std::size_t>(seed)];
        const float distance = (u - su) * (u - su) + (v - sv) * (v - sv);
        if (distance < nearest) {
          second = std::exchange(nearest, distance);
          second_seed = std::exchange(nearest_seed, seed);
        } else if (distance < second) {
          second = distance;
          second_seed = seed;
        }
      }
    }
    // Distance to the line half way between two seeds a and b: (|p-b|^2 - |p-a|^2) / (2 |a-b|), turned into pixels along the
    // direction of a-b.
    const Point a = seeds[static_cast<std::size_t>(nearest_seed)], b = seeds[static_cast<std::size_t>(second_seed)];
    const float du = b.x - a.x, dv = b.y - a.y;
    cells.cell(px, py) = nearest_seed;
    cells.border(px, py) = (second - nearest) / (2 * std::hypot(du * u_scale, dv * v_scale));
  });
  return cells;
}

Line meander(Random& random, float bend) {
  // Walk both ways from a point near the middle, so that the curve surely crosses the tile.
  const Point middle = {between(random, 0.25 * side, 0.75 * side), between(random, 0.25 * side, 0.75 * side)};
  const float heading = between(random, 0, 2 * std::numbers::pi);
  constexpr float step = 4, margin = 24;
  Line line = {middle};
  for (const float sign : {1.0f, -1.0f}) {
    Point at = middle;
    float direction = heading, turn = bend * between(random, -1, 1);
    while (at.x > -margin && at.x < side + margin && at.y > -margin && at.y < side + margin && line.size() < 200) {
      turn = 0.8f * turn + 0.6f * bend * static_cast<float>(random.normal());  // remembers its turn: arcs, not a zigzag
      direction += sign * turn * step / 10;
      at = {at.x + sign * step * std::cos(direction), at.y + sign * step * std::sin(direction)};
      line.push_back(at);
    }
    std::ranges::reverse(line);  // the second walk goes on from the middle
  }
  return line;
}

Field distance_to(const Line& line, float reach) {
  Field distance;
  distance.values.fill(reach);
  for (std::size_t i = 0; i + 1 < line.size(); ++i) {
    const Point a = line[i], b = line[i + 1];
    const float dx = b.x - a.x, dy = b.y - a.y, length2 = std::max(dx * dx + dy * dy, 1e-6f);
    const auto first = [&](float p, float q) { return std::max(0, static_cast<int>(std::min(p, q) - reach)); };
    const auto last = [&](float p, float q) { return std::min(side - 1, static_cast<int>(std::max(p, q) + reach)); };
    for (int y = first(a.y, b.y); y <= last(a.y, b.y); ++y) {
      for (int x = first(a.x, b.x); x <= last(a.x, b.x); ++x) {
        const float px = static_cast<float>(x) + 0.5f - a.x, py = static_cast<float>(y) + 0.5f - a.y;
        const float t = std::clamp((px * dx + py * dy) / length2, 0.0f, 1.0f);
        const float ex = px - t * dx, ey = py - t * dy;
        distance(x, y) = std::min(distance(x, y), std::sqrt(ex * ex + ey * ey));
      }
    }
  }
  return distance;
}

void paint(Canvas& canvas, const Box& box, Colour colour, float opacity) {
  const float along = std::cos(box.angle), across = std::sin(box.angle);
  const float radius = std::hypot(box.half_length, box.half_width) + 1;
  const auto first = [&](float centre) { return std::max(0, static_cast<int>(centre - radius)); };
  const auto last = [&](float centre) { return std::min(side - 1, static_cast<int>(centre + radius)); };
  for (int y = first(box.centre.y); y <= last(box.centre.y); ++y) {
    for (int x = first(box.centre.x); x <= last(box.centre.x); ++x) {
      const float dx = static_cast<float>(x) + 0.5f - box.centre.x, dy = static_cast<float>(y) + 0.5f - box.centre.y;
      const float u = std::abs(along * dx + across * dy), v = std::abs(along * dy - across * dx);
      const float cover = coverage(box.half_length - u) * coverage(box.half_width - v);
      if (cover > 0) canvas(x, y) = blend(canvas(x, y), colour, opacity * cover);
    }
  }
}

}  // namespace tandem::landscape
