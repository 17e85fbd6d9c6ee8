#include "tasks/imagery/synthetic.hpp"

#include <cmath>
#include <numbers>

#include "core/threads.hpp"
#include "tasks/imagery/landscape.hpp"

namespace tandem {
namespace {

using namespace landscape;

// Typical surface reflectances (red, green, blue), measured on Sentinel-2 scenes of coast, farmland and forest.
constexpr Colour water{.041f, .065f, .061f}, mud{.090f, .097f, .075f}, crop{.032f, .057f, .042f},
    young_crop{.038f, .082f, .030f}, forest{.029f, .050f, .019f}, grass{.094f, .099f, .074f}, soil{.145f, .124f, .098f},
    red_soil{.230f, .130f, .080f}, sand{.300f, .250f, .190f}, asphalt{.125f, .120f, .115f}, roof{.240f, .200f, .156f},
    tile_roof{.260f, .150f, .110f}, white_roof{.400f, .400f, .400f}, shadow{.020f, .025f, .030f};

// One brightness per object, shared by all bands: exp(N(0, spread^2)).
Colour vary(Random& random, Colour colour, double spread) {
  return static_cast<float>(std::exp(spread * random.normal())) * colour;
}

void fill(Canvas& canvas, Colour colour) { canvas.values.fill(colour); }

// Multiplies by 1 + strength * noise.
void modulate(Canvas& canvas, const Field& noise, float strength) {
  for (std::size_t i = 0; i < canvas.values.size(); ++i)
    canvas.values[i] = std::max(0.2f, 1 + strength * noise.values[i]) * canvas.values[i];
}

void paint(Canvas& canvas, const Field& distance, float half_width, Colour colour, float opacity = 1) {
  for_pixels([&](int x, int y) {
    const float cover = opacity * coverage(half_width - distance(x, y));
    if (cover > 0) canvas(x, y) = blend(canvas(x, y), colour, cover);
  });
}

// --- Grounds: what the land is covered with ----------------------------------------------------------------------------

// A field is green or bare; `green` is the share of green ones, which the season sets for the whole tile.
Colour field_colour(Random& random, float green) {
  const bool growing = chance(random, green);
  const Colour sown = blend(crop, young_crop, between(random, 0, 1));
  const Colour colour =
      growing ? blend(sown, grass, between(random, 0, 0.8)) : blend(soil, red_soil, between(random, 0, 0.7));
  return vary(random, blend(colour, growing ? soil : grass, between(random, 0, 0.4)), 0.18);
}

struct Rows {
  float contrast;           // of the stripes
  float shortest, longest;  // period, pixels
};

// Fields with tillage or planting rows, each in its own direction, parted by paths (or hedges, if dark).
void paint_fields(Canvas& canvas, Random& random, const CellShape& shape, float green, const Rows& rows, Colour edge,
                  float edge_width) {
  const Cells cells = voronoi(random, shape);
  struct Parcel {
    Colour colour;
    float contrast, kx, ky, phase, edge;
  };
  std::vector<Parcel> parcels(static_cast<std::size_t>(cells.count));
  const float common = between(random, 0, std::numbers::pi);  // neighbours often share the direction, or a right angle to it
  for (Parcel& parcel : parcels) {
    const float angle = chance(random, 0.7) ? common + (chance(random, 0.5) ? 0 : std::numbers::pi_v<float> / 2)
                                            : between(random, 0, std::numbers::pi);
    const float wave = 2 * std::numbers::pi_v<float> / between(random, rows.shortest, rows.longest);
    parcel = {.colour = field_colour(random, green),
              .contrast = rows.contrast * between(random, 0.3, 1),
              .kx = wave * std::cos(angle),
              .ky = wave * std::sin(angle),
              .phase = between(random, 0, 6.28),
              .edge = between(random, 0, 1)};
  }
  for_pixels([&](int x, int y) {
    const Parcel& parcel = parcels[static_cast<std::size_t>(cells.cell(x, y))];
    const float stripes = std::sin(parcel.kx * static_cast<float>(x) + parcel.ky * static_cast<float>(y) + parcel.phase);
    const Colour inside = (1 + parcel.contrast * stripes) * parcel.colour;
    canvas(x, y) = blend(inside, edge, parcel.edge * coverage(edge_width - cells.border(x, y)));
  });
  modulate(canvas, fractal_noise(random, 24, 5), 0.06f);
}

void annual_crop(Canvas& canvas, Random& random) {
  const float green = between(random, 0, 1);
  paint_fields(canvas, random,
               {.size = between(random, 20, 48),
                .stretch = between(random, 1, 1.5),
                .warp = 0.3f,
                .disorder = between(random, 0.2, 0.8)},
               green, {.contrast = 0.05f, .shortest = 3, .longest = 9}, vary(random, blend(soil, sand, 0.3f), 0.2), 0.4f);
}

void permanent_crop(Canvas& canvas, Random& random) {
  const float green = between(random, 0, 1);
  paint_fields(canvas, random,
               {.size = between(random, 11, 24),
                .stretch = between(random, 1, 1.6),
                .warp = 0.4f,
                .disorder = between(random, 0.15, 0.7)},
               green, {.contrast = between(random, 0.1, 0.28), .shortest = 2.5f, .longest = 4.2f},
               vary(random, blend(soil, sand, 0.5f), 0.2), 0.6f);
}

void trees(Canvas& canvas, Random& random, int count, double largest) {
  for (int i = 0; i < count; ++i) {
    const float radius = between(random, 0.6, largest);
    landscape::paint(canvas,
                     {.centre = {between(random, 0, side), between(random, 0, side)},
                      .half_length = radius,
                      .half_width = radius * between(random, 0.6, 1),
                      .angle = between(random, 0, 3.14)},
                     vary(random, forest, 0.15), 0.8f);
  }
}

void pasture(Canvas& canvas, Random& random) {
  const float green = between(random, 0.85, 1);
  paint_fields(canvas, random,
               {.size = between(random, 16, 34),
                .stretch = between(random, 1, 1.3),
                .warp = between(random, 0.5, 3),
                .disorder = between(random, 0.4, 0.9)},
               green, {.contrast = 0.02f, .shortest = 4, .longest = 9}, vary(random, forest, 0.1), between(random, 0.4, 1));
  modulate(canvas, fractal_noise(random, 32, 4), 0.08f);
  trees(canvas, random, static_cast<int>(random.below(12)), 2.2);
}

void woods(Canvas& canvas, Random& random) {
  fill(canvas, vary(random, blend(forest, crop, between(random, 0, 0.5)), 0.15));
  modulate(canvas, fractal_noise(random, 40, 3), between(random, 0.04, 0.12));
  modulate(canvas, fractal_noise(random, 3, 2), 0.07f);  // crowns and their shadows
}

// No fields: two kinds of cover run into each other, with shrubs on top.
void herbs(Canvas& canvas, Random& random) {
  const Colour low = vary(random, blend(grass, blend(crop, young_crop, 0.5f), between(random, 0, 0.8)), 0.15);
  const Colour high = vary(random, blend(soil, red_soil, between(random, 0, 0.6)), 0.15);
  const float balance = between(random, -0.2, 1.1);
  const Field patches = fractal_noise(random, between(random, 20, 50), 6);
  const Field shrubs = fractal_noise(random, between(random, 2, 4), 2), thicket = fractal_noise(random, 24, 3);
  const float dense = between(random, 0.2, 1.6);
  for_pixels([&](int x, int y) {
    const Colour ground = blend(low, high, std::clamp(balance + 0.35f * patches(x, y), 0.0f, 1.0f));
    const float shrub = coverage(shrubs(x, y) + 0.5f * thicket(x, y) - dense);
    canvas(x, y) = blend(ground, forest, 0.6f * shrub);
  });
  modulate(canvas, fractal_noise(random, 16, 5), between(random, 0.06, 0.16));
}

// What lies beside a road or a river.
void any_ground(Canvas& canvas, Random& random) {
  switch (random.below(6)) {
    case 0:
    case 1:
      return annual_crop(canvas, random);
    case 2:
      return pasture(canvas, random);
    case 3:
      return woods(canvas, random);
    case 4:
      return herbs(canvas, random);
    default:
      return permanent_crop(canvas, random);
  }
}

// --- Objects on the ground ---------------------------------------------------------------------------------------------

Box random_box(Random& random, Point centre, float angle, double shortest, double longest) {
  return {centre, between(random, shortest, longest), between(random, shortest, longest) * between(random, 0.5, 1), angle};
}

void building(Canvas& canvas, const Box& box, Colour colour, float height) {
  Box cast = box;
  cast.centre = {box.centre.x - 0.6f * height, box.centre.y - height};  // the sun stands in the south-east
  landscape::paint(canvas, cast, shadow, 0.6f);
  landscape::paint(canvas, box, colour);
}

void highway(Canvas& canvas, Random& random) {
  any_ground(canvas, random);
  const int roads = chance(random, 0.3) ? 2 : 1;
  for (int i = 0; i < roads; ++i) {
    const Field distance = distance_to(meander(random, between(random, 0, 0.12)), 6);
    const bool dual = chance(random, 0.6);
    const float half = dual ? between(random, 1.6, 2.4) : between(random, 0.7, 1.3);
    paint(canvas, distance, half + 0.9f, blend(forest, grass, between(random, 0, 1)), 0.7f);  // verge
    paint(canvas, distance, half, vary(random, blend(asphalt, roof, between(random, 0, 0.8)), 0.15));
    if (dual) paint(canvas, distance, 0.4f, blend(forest, grass, between(random, 0, 1)), 0.8f);
  }
}

void river(Canvas& canvas, Random& random) {
  any_ground(canvas, random);
  const float half = between(random, 3, 10);
  const Field distance = distance_to(meander(random, between(random, 0.02, 0.3)), half + 8);
  const Field ragged = fractal_noise(random, 14, 3);
  Field bank;
  const float roughness = between(random, 0.2, 1.2);
  for (std::size_t i = 0; i < bank.values.size(); ++i) bank.values[i] = distance.values[i] + roughness * ragged.values[i];
  paint(canvas, bank, half + between(random, 0.5, 3), vary(random, chance(random, 0.7) ? forest : sand, 0.15), 0.85f);
  paint(canvas, bank, half, vary(random, blend(water, mud, between(random, 0, 1)), 0.15));
}

void industrial(Canvas& canvas, Random& random) {
  fill(canvas, vary(random, blend(asphalt, grass, between(random, 0, 0.7)), 0.15));
  modulate(canvas, fractal_noise(random, 16, 5), 0.2f);
  const float angle = between(random, 0, std::numbers::pi);
  paint(canvas, distance_to(meander(random, 0.02f), 3), between(random, 0.6, 1.2), asphalt);
  const int halls = 12 + static_cast<int>(random.below(24));
  const double largest = random.uniform(3, 10);
  for (int i = 0; i < halls; ++i) {
    const Point centre = {between(random, 0, side), between(random, 0, side)};
    const Colour colour =
        vary(random, blend(blend(asphalt, roof, between(random, 0, 1)), white_roof, between(random, 0, 0.8)), 0.25);
    building(canvas, random_box(random, centre, angle, 1, largest), colour, between(random, 0.8, 2));
  }
  trees(canvas, random, static_cast<int>(random.below(16)), 2);
}

// Streets in two directions at a right angle, and houses with gardens along them.
void residential(Canvas& canvas, Random& random) {
  fill(canvas, vary(random, blend(blend(crop, grass, 0.6f), soil, between(random, 0, 0.9)), 0.12));
  modulate(canvas, fractal_noise(random, 10, 4), 0.15f);
  trees(canvas, random, 30 + static_cast<int>(random.below(90)), 1.3);
  const float angle = between(random, 0, std::numbers::pi), along = std::cos(angle), across = std::sin(angle);
  const float block = between(random, 7, 12), spacing = between(random, 2.2, 3.6), built = between(random, 0.5, 0.9);
  const Colour roofs = blend(roof, tile_roof, between(random, 0, 1));
  const Field bent = fractal_noise(random, 50, 1);
  const float bend = between(random, 0, 3);
  const auto place = [&](float u, float v) {
    const Point straight = {side / 2 + along * u - across * v, side / 2 + across * u + along * v};
    const int x = std::clamp(static_cast<int>(straight.x), 0, side - 1),
              y = std::clamp(static_cast<int>(straight.y), 0, side - 1);
    return Point{straight.x + bend * bent(x, y), straight.y + bend * bent(x, y)};
  };
  for (float v = -48; v < 48; v += block) {
    Line street;
    for (float u = -48; u <= 48; u += 4) street.push_back(place(u, v));
    paint(canvas, distance_to(street, 2), 0.5f, roof, between(random, 0.2, 0.8));
    for (const float beside : {-0.25f, 0.25f}) {
      for (float u = -48; u < 48; u += spacing) {
        if (!chance(random, built)) continue;
        const Point centre = place(u + between(random, -0.8, 0.8), v + beside * block + between(random, -0.8, 0.8));
        building(canvas, random_box(random, centre, angle, 0.6, 1.6), vary(random, roofs, 0.3), 0.6f);
      }
    }
  }
}

void sea_lake(Canvas& canvas, Random& random) {
  const Colour colour = vary(random, blend(water, mud, between(random, 0, 1)), 0.3);
  if (chance(random, 0.25)) {
    any_ground(canvas, random);  // a shore in one corner: all is water but a disc round it
    const Point corner = {chance(random, 0.5) ? 0.0f : side, chance(random, 0.5) ? 0.0f : side};
    const float radius = between(random, 8, 30);
    const Field ragged = fractal_noise(random, 20, 4);
    for_pixels([&](int x, int y) {
      const float distance = std::hypot(static_cast<float>(x) - corner.x, static_cast<float>(y) - corner.y);
      canvas(x, y) = blend(canvas(x, y), colour, coverage(distance - radius + 2 * ragged(x, y)));
    });
  } else {
    fill(canvas, colour);
  }
  modulate(canvas, fractal_noise(random, 60, 2), between(random, 0, 0.05));
}

void forest_tile(Canvas& canvas, Random& random) {
  woods(canvas, random);
  if (chance(random, 0.25)) paint(canvas, distance_to(meander(random, 0.2f), 3), 0.4f, soil, between(random, 0.2, 0.5));
}

void herbaceous(Canvas& canvas, Random& random) {
  herbs(canvas, random);
  if (chance(random, 0.3)) paint(canvas, distance_to(meander(random, 0.25f), 3), 0.4f, sand, between(random, 0.3, 0.6));
}

// --- The sensor --------------------------------------------------------------------------------------------------------

// Top of atmosphere = light scattered by the air + transmission * surface; the air scatters blue most. Then the optics blur
// a little, and 0.28 becomes 255, with an error of about one step.
Image photograph(const Canvas& canvas, Random& random) {
  const float haze = between(random, 0.7, 1.3), light = static_cast<float>(std::exp(0.12 * random.normal() - 0.08));
  const std::array scattered = {0.015f * haze, 0.030f * haze, 0.058f * haze};
  const std::array gain = {0.92f * light * between(random, 0.96, 1.04), 0.88f * light,
                           0.84f * light * between(random, 0.96, 1.04)};
  const float blur = between(random, 0.08, 0.16);  // share of each of the four neighbours

  Image image{side, side, 3, std::vector<std::uint8_t>(3 * pixels)};
  for_pixels([&](int x, int y) {
    const auto at = [&](int dx, int dy) { return canvas(std::clamp(x + dx, 0, side - 1), std::clamp(y + dy, 0, side - 1)); };
    const Colour seen = (1 - 4 * blur) * at(0, 0) + blur * (at(-1, 0) + at(1, 0) + at(0, -1) + at(0, 1));
    const std::uint32_t noise = random.bits();
    const std::array bands = {seen.red, seen.green, seen.blue};
    for (std::size_t c = 0; c < 3; ++c) {
      const float error =
          static_cast<float>(noise >> (10 * c) & 1023) / 512 - 1;  // one draw serves three bands, 10 bits each
      const float value = (scattered[c] + gain[c] * bands[c]) * (255 / 0.28f) + error;
      image.pixels[static_cast<std::size_t>(3 * (y * side + x)) + c] =
          static_cast<std::uint8_t>(std::clamp(value + 0.5f, 0.0f, 255.0f));
    }
  });
  return image;
}

struct Class {
  std::string name;
  void (*draw)(Canvas&, Random&);
};
const std::array<Class, 10> landscapes = {{{"AnnualCrop", annual_crop},
                                           {"Forest", forest_tile},
                                           {"HerbaceousVegetation", herbaceous},
                                           {"Highway", highway},
                                           {"Industrial", industrial},
                                           {"Pasture", pasture},
                                           {"PermanentCrop", permanent_crop},
                                           {"Residential", residential},
                                           {"River", river},
                                           {"SeaLake", sea_lake}}};

}  // namespace

const std::vector<std::string>& synthetic_classes() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> result;
    for (const Class& kind : landscapes) result.push_back(kind.name);
    return result;
  }();
  return names;
}

Image synthetic_tile(std::uint64_t seed, std::int64_t index) {
  require(index >= 0, "synthetic tile: index {}", index);
  Random random(seed, mix(hash("synthetic tile"), static_cast<std::uint64_t>(index)));
  Canvas canvas;
  landscapes[static_cast<std::size_t>(index) % landscapes.size()].draw(canvas, random);
  return photograph(canvas, random);
}

TileSet synthetic_tiles(std::int64_t count, std::uint64_t seed) {
  require(count >= 0 && count <= (std::int64_t{1} << 24), "synthetic tiles: {} of them", count);
  TileSet tiles;
  tiles.height = tiles.width = synthetic_side;
  tiles.channels = 3;
  tiles.classes = synthetic_classes();
  for (std::int64_t i = 0; i < count; ++i) {
    tiles.labels.push_back(static_cast<std::int32_t>(i % 10));
    tiles.names.push_back(fmt::format("{}/{}", tiles.classes[static_cast<std::size_t>(i % 10)], i));
  }
  std::vector<std::uint8_t> values(static_cast<std::size_t>(count * tiles.tile_bytes()));
  for_blocks(count, 10, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i)
      std::ranges::copy(synthetic_tile(seed, i).pixels, values.begin() + i * tiles.tile_bytes());
  });
  tiles.own(std::move(values));
  return tiles;
}

}  // namespace tandem
