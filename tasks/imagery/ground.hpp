// What land is covered with: the palette, and five grounds that fill a canvas.
#pragma once

#include "tasks/imagery/landscape.hpp"

namespace tandem::landscape {

// Surface reflectances (red, green, blue). Water, crop, forest, grass and soil are medians measured on Sentinel-2 L2A scenes of
// coast and farmland; the others are typical values.
inline constexpr Colour water{.041f, .065f, .061f}, mud{.090f, .097f, .075f}, crop{.032f, .057f, .042f},
    young_crop{.038f, .082f, .030f}, forest{.029f, .050f, .019f}, grass{.094f, .099f, .074f}, soil{.145f, .124f, .098f},
    red_soil{.230f, .130f, .080f}, sand{.300f, .250f, .190f}, asphalt{.125f, .120f, .115f}, roof{.240f, .200f, .156f},
    tile_roof{.260f, .150f, .110f}, white_roof{.400f, .400f, .400f}, shadow{.020f, .025f, .030f};

void annual_crop(Canvas& canvas, Random& random);     // large fields, green or bare, faint tillage
void permanent_crop(Canvas& canvas, Random& random);  // small parcels of orchards and vineyards: clear rows
void pasture(Canvas& canvas, Random& random);         // green fields with hedges
void woods(Canvas& canvas, Random& random);           // dark, and uneven only in detail
void herbs(Canvas& canvas, Random& random);           // no fields: grass and bare soil run into each other, with shrubs
void any_ground(Canvas& canvas, Random& random);      // one of these

// `count` trees anywhere, of 0.6 to `largest` pixels radius.
void trees(Canvas& canvas, Random& random, int count, double largest);

}  // namespace tandem::landscape
