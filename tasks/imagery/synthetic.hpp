// Satellite tiles without a download: made-up landscapes in the manner of EuroSAT.
//
// Ten land-cover classes, 64x64 pixels of 10 m, red, green and blue, as Sentinel-2 sees them: reflectance 0.28 is 255. Each
// tile is drawn from objects (fields, roads, houses, rows of trees, water) whose spectra are typical ones, then seen through a
// random atmosphere. Colours of the classes overlap on purpose: a network must look at shapes and texture.
// Tile i depends on (seed, i) alone, so any rank or thread can make any tile.
//
// Source of the classes: P. Helber, B. Bischke, A. Dengel, D. Borth, "EuroSAT", IEEE JSTARS 12(7), 2019.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tasks/imagery/tiles.hpp"

namespace tandem {

inline constexpr Index synthetic_side = 64;

// AnnualCrop, Forest, HerbaceousVegetation, Highway, Industrial, Pasture, PermanentCrop, Residential, River, SeaLake.
const std::vector<std::string>& synthetic_classes();

// Tile `index`, an image [64,64,3] of class index mod 10.
Image synthetic_tile(std::uint64_t seed, std::int64_t index);

// Tiles 0 .. count-1, made by all threads. Classes are balanced: tile i is of class i mod 10.
TileSet synthetic_tiles(std::int64_t count, std::uint64_t seed);

}  // namespace tandem
