// Values as Python prints them: what str() gives for a leaf, a tensor's being that of its tolist().
#pragma once

#include "milepost/engine/state/tree.h"

#include <string>

namespace milepost {

// As repr() does: the shortest decimal that reads back as the same number; 1.0, 1e-07, 1e+16, nan, inf, -0.0.
std::string python_text(double value);
std::string python_text(float value);

// Of a leaf: True, 1, 1.5, text as it is, b'...', [[1, 1], [1, 1]], (1+2j); nothing of null. Floats are the shortest
// decimals that read back as the same number of their own type, but for those of F4, F6 and F8_E8M0, which are doubles
// here. The leaf is one that check_state() takes. Throws std::bad_alloc where memory does not
// suffice, and for a tensor that repeats its elements without end before it has tried.
std::string python_text(const Tree& leaf);

}  // namespace milepost
