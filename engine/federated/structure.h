// Reading a value back into the structure that a program expects.
#pragma once

#include "milepost/engine/federated/value.h"
#include "milepost/engine/restore/restore.h"

#include <cstdint>
#include <string_view>

namespace milepost {

// When what was saved fits a structure.
enum class StructureMatch : std::uint8_t {
  strict,  // names, kinds of leaves, dtypes and shapes are the same
  loose,   // there are as many leaves; they are taken in order, whatever their names and types
};

// The leaves of an item of an open step that `structure` asks for. Only the types of its leaves matter: neither their
// values nor their memory are touched. Tensors get fresh memory; a reference stands for one leaf of any kind, an object
// for its bytes. structure_mismatch, which in the strict match lists every difference; corruption and all else that
// restore() says.
Result<Tree> read_leaves(StepReader& reader, std::string_view item, const ProgramValue& structure,
                         StructureMatch match);

// What read_leaves() gave for `structure`, in the form of it: where that has an object, one of its type is made of the
// bytes. structure_mismatch if these are something else; otherwise what from_bytes fails with. Names the leaf.
Result<ProgramValue> assemble(Tree leaves, const ProgramValue& structure);

}  // namespace milepost
