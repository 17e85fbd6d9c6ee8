// The packed form of a TileSet: pixels, then everything else.
//
//   pixels [n,h,w,c] | index | trailer
//
//   index     number of classes, their names; n tile names; n labels; number of bad files, name and reason of each
//   trailer   56 bytes: what this is, for which files, the sizes of all parts, a hash of index and trailer
//
// Numbers are as this machine keeps them (a cache is not for sending elsewhere). Every length is checked against what is left
// before it is used, so that no damaged file is read past its end.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tasks/imagery/tiles.hpp"

namespace tandem {

// Index and trailer of a set whose pixels stand before them.
std::string packed_ending(const TileSet& tiles, std::uint64_t key);

// The set in `bytes`, whose pixels are borrowed from there. Errors: cut, damaged, another version or another key.
TileSet unpack(std::string_view bytes, std::uint64_t key);

}  // namespace tandem
