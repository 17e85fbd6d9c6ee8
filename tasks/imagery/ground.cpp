#include "tasks/imagery/ground.hpp"

#include <numbers>

namespace tandem::landscape {
namespace {

constexpr double half_turn = std::numbers::pi;

// A field is green or bare; `green` is the share of green ones, which the season sets for the whole tile.
Colour field_colour(Random& random, float green) {
  const bool growing = chance(random, green);
  const float kind = between(random, 0, 1), ripe = between(random, 0, 0.7), mixed = between(random, 0, 0.4);
  const Colour colour = growing ? blend(blend(crop, young_crop, kind), grass, ripe) : blend(soil, red_soil, ripe);
  return vary(random, blend(colour, growing ? soil : grass, mixed), 0.18);
}

struct Fields {
  CellShape shape;
  float green;              // share of green fields
  float contrast;           // of the stripes that tillage and planting leave
  float shortest, longest;  // their period, pixels
  Colour edge;              // a path, or a hedge if dark
  float edge_width;
};

// Every field has its own colour and its own direction of rows.
void paint_fields(Canvas& canvas, Random& random, const Fields& fields) {
  const Cells cells = voronoi(random, fields.shape);
  struct Parcel {
    Colour colour;
    float contrast, kx, ky, phase, edge;  // stripes: contrast * sin(kx x + ky y + phase)
  };
  std::vector<Parcel> parcels(static_cast<std::size_t>(cells.count));
  const float common = between(random, 0, half_turn);
  for (Parcel& parcel : parcels) {
    // Neighbours often share the direction, or stand at a right angle to it.
    const bool aligned = chance(random, 0.7), turned = chance(random, 0.5);
    const float own = between(random, 0, half_turn);
    const float angle = aligned ? common + (turned ? static_cast<float>(half_turn / 2) : 0) : own;
    const float wave = static_cast<float>(2 * half_turn) / between(random, fields.shortest, fields.longest);
    parcel = {.colour = field_colour(random, fields.green),
              .contrast = fields.contrast * between(random, 0.3, 1),
              .kx = wave * std::cos(angle),
              .ky = wave * std::sin(angle),
              .phase = between(random, 0, 2 * half_turn),
              .edge = between(random, 0, 1)};
  }
  for_pixels([&](int x, int y) {
    const Parcel& parcel = parcels[static_cast<std::size_t>(cells.cell(x, y))];
    const float stripes = std::sin(parcel.kx * static_cast<float>(x) + parcel.ky * static_cast<float>(y) + parcel.phase);
    const Colour inside = (1 + parcel.contrast * stripes) * parcel.colour;
    canvas(x, y) = blend(inside, fields.edge, parcel.edge * coverage(fields.edge_width - cells.border(x, y)));
  });
  modulate(canvas, fractal_noise(random, 24, 5), 0.07f);
  modulate(canvas, fractal_noise(random, 2, 2), 0.04f);
}

}  // namespace

void annual_crop(Canvas& canvas, Random& random) {
  paint_fields(canvas, random,
               {.shape = {.size = between(random, 20, 48),
                          .stretch = between(random, 1, 1.5),
                          .warp = 0.3f,
                          .disorder = between(random, 0.2, 0.8)},
                .green = between(random, 0, 1),
                .contrast = 0.05f,
                .shortest = 3,
                .longest = 9,
                .edge = vary(random, blend(soil, sand, 0.3f), 0.2),
                .edge_width = 0.4f});
}

void permanent_crop(Canvas& canvas, Random& random) {
  paint_fields(canvas, random,
               {.shape = {.size = between(random, 11, 24),
                          .stretch = between(random, 1, 1.6),
                          .warp = 0.4f,
                          .disorder = between(random, 0.15, 0.7)},
                .green = between(random, 0, 1),
                .contrast = between(random, 0.1, 0.28),
                .shortest = 2.5f,
                .longest = 4.2f,
                .edge = vary(random, blend(soil, sand, 0.5f), 0.2),
                .edge_width = 0.6f});
}

void pasture(Canvas& canvas, Random& random) {
  paint_fields(canvas, random,
               {.shape = {.size = between(random, 16, 34),
                          .stretch = between(random, 1, 1.3),
                          .warp = between(random, 0.5, 3),
                          .disorder = between(random, 0.4, 0.9)},
                .green = between(random, 0.85, 1),
                .contrast = 0.02f,
                .shortest = 4,
                .longest = 9,
                .edge = vary(random, forest, 0.1),
                .edge_width = between(random, 0.4, 1)});
  modulate(canvas, fractal_noise(random, 32, 4), 0.08f);
  trees(canvas, random, static_cast<int>(random.below(12)), 2.2);
}

void woods(Canvas& canvas, Random& random) {
  const Colour leaves = blend(forest, crop, between(random, 0, 0.4));
  canvas.values.fill(vary(random, leaves, 0.15));
  const float patchy = between(random, 0.03, 0.1);
  modulate(canvas, fractal_noise(random, 40, 4), patchy);
  modulate(canvas, fractal_noise(random, 2, 2), 0.10f);  // crowns and their shadows
}

void herbs(Canvas& canvas, Random& random) {
  const Colour leaves = blend(grass, blend(crop, young_crop, 0.5f), between(random, 0, 0.8));
  const Colour earth = blend(soil, red_soil, between(random, 0, 0.6));
  const Colour low = vary(random, leaves, 0.15), high = vary(random, earth, 0.15);
  const float balance = between(random, -0.2, 1.1), patch_size = between(random, 20, 50),
              shrub_size = between(random, 1.2, 3);
  const Field patches = fractal_noise(random, patch_size, 6), thicket = fractal_noise(random, 24, 3);
  const Field shrubs = fractal_noise(random, shrub_size, 2);
  const float bare = between(random, 0, 1.5);  // the noise above which a shrub stands
  for_pixels([&](int x, int y) {
    const Colour ground = blend(low, high, std::clamp(balance + 0.35f * patches(x, y), 0.0f, 1.0f));
    const float shrub = coverage(shrubs(x, y) + 0.7f * thicket(x, y) - bare);
    canvas(x, y) = blend(ground, forest, 0.6f * shrub);
  });
  const float rough = between(random, 0.06, 0.16);
  modulate(canvas, fractal_noise(random, 12, 5), rough);
  modulate(canvas, fractal_noise(random, 1.5f, 1), rough);
}

void any_ground(Canvas& canvas, Random& random) {
  constexpr std::array grounds = {annual_crop, annual_crop, pasture, woods, herbs, permanent_crop};
  grounds[random.below(grounds.size())](canvas, random);
}

void trees(Canvas& canvas, Random& random, int count, double largest) {
  for (int i = 0; i < count; ++i) {
    const float radius = between(random, 0.6, largest);
    const Box crown = {.centre = {between(random, 0, side), between(random, 0, side)},
                       .half_length = radius,
                       .half_width = radius * between(random, 0.6, 1),
                       .angle = between(random, 0, half_turn)};
    paint(canvas, crown, vary(random, forest, 0.15), 0.8f);
  }
}

}  // namespace tandem::landscape
