#include "tasks/imagery/synthetic.hpp"

#include <cmath>
#include <numbers>

#include "core/threads.hpp"
#include "tasks/imagery/ground.hpp"

namespace tandem {
namespace {

using namespace landscape;

constexpr double half_turn = std::numbers::pi;

void forest_tile(Canvas& canvas, Random& random) {
  woods(canvas, random);
  if (!chance(random, 0.25)) return;
  const float visible = between(random, 0.2, 0.5);  // a track
  paint(canvas, distance_to(meander(random, 0.2f), 3), 0.4f, soil, visible);
}

void herbaceous(Canvas& canvas, Random& random) {
  herbs(canvas, random);
  if (!chance(random, 0.3)) return;
  const float visible = between(random, 0.3, 0.6);
  paint(canvas, distance_to(meander(random, 0.25f), 3), 0.4f, sand, visible);
}

// One road or two, with green verges; a dual carriageway has green in the middle as well.
void highway(Canvas& canvas, Random& random) {
  any_ground(canvas, random);
  const int roads = chance(random, 0.3) ? 2 : 1;
  for (int i = 0; i < roads; ++i) {
    const float bend = between(random, 0, 0.12);
    const Field distance = distance_to(meander(random, bend), 6);
    const bool dual = chance(random, 0.6);
    const float half = dual ? between(random, 1.6, 2.4) : between(random, 0.7, 1.3);
    const Colour verge = blend(forest, grass, between(random, 0, 1));
    const Colour surface = blend(asphalt, roof, between(random, 0, 0.8));
    paint(canvas, distance, half + 0.9f, verge, 0.7f);
    paint(canvas, distance, half, vary(random, surface, 0.15));
    if (dual) paint(canvas, distance, 0.4f, verge, 0.8f);
  }
}

void river(Canvas& canvas, Random& random) {
  any_ground(canvas, random);
  const float half = between(random, 3, 10), bend = between(random, 0.02, 0.3), roughness = between(random, 0.2, 1.2);
  Field bank = distance_to(meander(random, bend), half + 8);
  Field rim_line = bank;
  const Field ragged = fractal_noise(random, 14, 3), patchy = fractal_noise(random, 10, 3);
  for (std::size_t i = 0; i < bank.values.size(); ++i) {
    bank.values[i] += roughness * ragged.values[i];
    rim_line.values[i] += 2 * patchy.values[i];
  }

  const float shore = half + between(random, 0, 3);
  const Colour rim = chance(random, 0.7) ? forest : sand, wet = blend(water, mud, between(random, 0, 1));
  paint(canvas, rim_line, shore, vary(random, rim, 0.15), 0.8f);
  paint(canvas, bank, half, vary(random, wet, 0.15));
}

// All water, or all but a ragged disc in one corner.
void sea_lake(Canvas& canvas, Random& random) {
  const Colour wet = blend(water, mud, between(random, 0, 1)), colour = vary(random, wet, 0.25);
  if (chance(random, 0.25)) {
    any_ground(canvas, random);
    const Point corner = {chance(random, 0.5) ? 0.0f : side, chance(random, 0.5) ? 0.0f : side};
    const float radius = between(random, 8, 30);
    const Field ragged = fractal_noise(random, 20, 4);
    for_pixels([&](int x, int y) {
      const float distance = std::hypot(static_cast<float>(x) - corner.x, static_cast<float>(y) - corner.y);
      canvas(x, y) = blend(canvas(x, y), colour, coverage(distance - radius + 2 * ragged(x, y)));
    });
  } else {
    canvas.values.fill(colour);
  }
  const float waves = between(random, 0, 0.05);
  modulate(canvas, fractal_noise(random, 60, 2), waves);
}

Box random_box(Random& random, Point centre, float angle, double shortest, double longest) {
  const float half_length = between(random, shortest, longest), half_width = between(random, shortest, longest);
  return {centre, half_length, half_width * between(random, 0.5, 1), angle};
}

// The sun stands in the south-east, as at the hour of the overpass on the northern half of the Earth.
void building(Canvas& canvas, const Box& box, Colour colour, float height) {
  Box cast = box;
  cast.centre = {box.centre.x - 0.6f * height, box.centre.y - height};
  paint(canvas, cast, shadow, 0.6f);
  paint(canvas, box, colour);
}

// Halls of all sizes, parallel to each other, on asphalt and poor grass.
void industrial(Canvas& canvas, Random& random) {
  const Colour yard = blend(asphalt, grass, between(random, 0, 0.7));
  canvas.values.fill(vary(random, yard, 0.15));
  modulate(canvas, fractal_noise(random, 8, 4), 0.22f);
  const float angle = between(random, 0, half_turn), road = between(random, 0.6, 1.2);
  paint(canvas, distance_to(meander(random, 0.02f), 3), road, asphalt);
  const int halls = 20 + static_cast<int>(random.below(30));
  const double largest = random.uniform(3, 9);
  for (int i = 0; i < halls; ++i) {
    const Point centre = {between(random, 0, side), between(random, 0, side)};
    const double longest = chance(random, 0.5) ? largest : 2.5;  // sheds stand between the halls
    const Box hall = random_box(random, centre, angle, 0.7, longest);
    const float bright = between(random, 0, 1), white = between(random, 0, 0.8), height = between(random, 0.8, 2);
    building(canvas, hall, vary(random, blend(blend(asphalt, roof, bright), white_roof, white), 0.25), height);
  }
  trees(canvas, random, static_cast<int>(random.below(16)), 2);
}

// Streets, some crossing at a right angle, and along them houses in gardens. (u, v) are coordinates along and across streets.
void residential(Canvas& canvas, Random& random) {
  const Colour garden = blend(blend(crop, grass, 0.6f), soil, between(random, 0, 0.9));
  canvas.values.fill(vary(random, garden, 0.12));
  modulate(canvas, fractal_noise(random, 10, 4), 0.15f);
  modulate(canvas, fractal_noise(random, 2, 1), 0.15f);
  trees(canvas, random, 30 + static_cast<int>(random.below(90)), 1.3);

  const float angle = between(random, 0, half_turn), along = std::cos(angle), across = std::sin(angle);
  const float bend = between(random, 0, 3);
  const Field bent = fractal_noise(random, 50, 1);
  const auto place = [&](float u, float v) {
    const Point straight = {side / 2 + along * u - across * v, side / 2 + across * u + along * v};
    const auto inside = [](float at) { return std::clamp(static_cast<int>(at), 0, side - 1); };
    const float aside = bend * bent(inside(straight.x), inside(straight.y));
    return Point{straight.x + aside, straight.y + aside};
  };

  constexpr float reach = 48;  // more than half the diagonal
  const float block = between(random, 7, 12), visible = between(random, 0.2, 0.8);
  for (float v = -reach; v < reach; v += block) {
    Line street;
    for (float u = -reach; u <= reach; u += 4) street.push_back(place(u, v));
    paint(canvas, distance_to(street, 2), 0.5f, roof, visible);
  }
  for (float u = -reach; u < reach; u += between(random, 15, 40)) {
    Line street;
    for (float v = -reach; v <= reach; v += 4) street.push_back(place(u, v));
    paint(canvas, distance_to(street, 2), 0.5f, roof, visible);
  }

  const float spacing = between(random, 2.2, 3.6), built = between(random, 0.5, 0.9);
  const Colour roofs = blend(roof, tile_roof, between(random, 0, 1));
  for (float v = -reach; v < reach; v += block) {
    for (const float beside : {-0.25f, 0.25f}) {
      for (float u = -reach; u < reach; u += spacing) {
        if (!chance(random, built)) continue;
        const float du = between(random, -0.8, 0.8), dv = between(random, -0.8, 0.8);
        const Box house = random_box(random, place(u + du, v + beside * block + dv), angle, 0.6, 1.6);
        building(canvas, house, vary(random, roofs, 0.3), 0.6f);
      }
    }
  }
}

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
