// Brushes for made-up landscapes: noise, fields, lines, boxes, on a canvas of 64x64 pixels of 10 m.
//
// Positions are in pixels, pixel (x, y) covers [x, x+1) x [y, y+1). Edges are soft: a brush knows the distance to its edge and
// blends over one pixel, as a sensor does that sees an area and not a point.
//
// A note on order: the numbers of a Random are drawn in program order, but C++ leaves the order of function arguments and of
// the operands of * open. No expression here draws twice except in braces, where the order is fixed.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "core/random.hpp"

namespace tandem::landscape {

inline constexpr int side = 64;
inline constexpr int pixels = side * side;

// Surface reflectance, 0..1, in the bands B4, B3, B2 of Sentinel-2.
struct Colour {
  float red, green, blue;
};
inline Colour operator*(float s, Colour a) { return {s * a.red, s * a.green, s * a.blue}; }
inline Colour operator+(Colour a, Colour b) { return {a.red + b.red, a.green + b.green, a.blue + b.blue}; }
inline Colour blend(Colour a, Colour b, float t) { return (1 - t) * a + t * b; }

// One value per pixel, row-major.
template <class T>
struct Grid {
  std::array<T, pixels> values{};
  T& operator()(int x, int y) { return values[static_cast<std::size_t>(y * side + x)]; }
  const T& operator()(int x, int y) const { return values[static_cast<std::size_t>(y * side + x)]; }
};
using Field = Grid<float>;
using Canvas = Grid<Colour>;

template <class Body>
void for_pixels(const Body& body) {
  for (int y = 0; y < side; ++y)
    for (int x = 0; x < side; ++x) body(x, y);
}

// 1 well inside an object, 0 well outside; `depth` is the distance to its edge in pixels, positive inside.
inline float coverage(float depth) {
  const float t = std::clamp(depth + 0.5f, 0.0f, 1.0f);
  return t * t * (3 - 2 * t);
}

inline float between(Random& random, double low, double high) { return static_cast<float>(random.uniform(low, high)); }
inline bool chance(Random& random, double probability) { return random.uniform() < probability; }

// Puts `colour` where `distance` is below `half_width`; or on a rotated rectangle.
struct Point {
  float x, y;
};
struct Box {
  Point centre;
  float half_length, half_width, angle;
};
void paint(Canvas& canvas, const Field& distance, float half_width, Colour colour, float opacity = 1);
void paint(Canvas& canvas, const Box& box, Colour colour, float opacity = 1);

// Multiplies by 1 + strength * noise.
void modulate(Canvas& canvas, const Field& noise, float strength);

// One brightness per object, shared by all bands: colour * exp(N(0, spread^2)).
Colour vary(Random& random, Colour colour, double spread);

// Value noise, summed over octaves of half the wavelength and half the amplitude each; mean 0, standard deviation about 1.
// Source: D. Ebert et al., "Texturing and Modeling", 3rd ed., chapter 2 (value noise) and chapter 16 (fractal sums).
Field fractal_noise(Random& random, float wavelength, int octaves);

// A patchwork of cells: each pixel belongs to the nearest of many scattered seeds (a Voronoi diagram).
struct Cells {
  Grid<int> cell;  // number of the cell, 0 .. count-1
  Field border;    // distance to the next cell, pixels
  int count = 0;
};
struct CellShape {
  float size;          // mean diameter, pixels
  float stretch = 1;   // cells are `stretch` squared times longer than wide
  float warp = 0;      // edges wander by about this many pixels
  float disorder = 1;  // 0: a grid of equal rectangles, 1: seeds anywhere in their squares
};
Cells voronoi(Random& random, const CellShape& shape);

// A smooth curve through the tile, as the corners of a polyline.
using Line = std::vector<Point>;

// Enters at a random place, passes near the middle, turns by about `bend` radians every 10 pixels.
Line meander(Random& random, float bend);

// Distance of each pixel to the line, or `reach` if it is farther away.
Field distance_to(const Line& line, float reach);

}  // namespace tandem::landscape
