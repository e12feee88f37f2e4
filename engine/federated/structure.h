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

// The value of an item of an open step, in the form of `structure`, of whose leaves only the types matter: neither
// their values nor their memory are touched. Tensors get fresh memory. A Serializable makes an object of its type of
// the bytes that were saved; a reference stands for one leaf of any kind. structure_mismatch, which in the strict match
// lists every difference; what from_bytes fails with, naming the leaf; corruption and all else that restore() says.
Result<ProgramValue> read_structure(StepReader& reader, std::string_view item, const ProgramValue& structure,
                                    StructureMatch match);

}  // namespace milepost
