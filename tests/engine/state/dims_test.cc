// The dimensions of a tensor: a vector of integers, whatever their number.
#include "milepost/engine/state/dims.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <utility>
#include <vector>

namespace milepost {
namespace {

using Vector = std::vector<std::int64_t>;

Vector content(const Dims& dims) { return Vector(dims.begin(), dims.end()); }

TEST(Dims, AreMadeLikeAVector) {
  EXPECT_EQ(content(Dims()), Vector());
  EXPECT_EQ(content({7}), Vector({7}));
  EXPECT_EQ(content({7, -8, 9, 10}), Vector({7, -8, 9, 10}));
  EXPECT_EQ(content(Dims(2)), Vector(2));
  EXPECT_EQ(content(Dims(65, 3)), Vector(65, 3));
  EXPECT_EQ(content(Vector({1, 2, 3})), Vector({1, 2, 3}));
}

TEST(Dims, AreEqualIfTheirElementsAre) {
  Dims grown;  // has room for more
  for (std::int64_t i = 0; i < 5; ++i) grown.push_back(i);
  EXPECT_EQ(grown, Dims({0, 1, 2, 3, 4}));
  EXPECT_NE(grown, Dims({0, 1, 2, 3}));
  EXPECT_NE(grown, Dims({0, 1, 2, 3, 5}));
  EXPECT_NE(Dims({0}), Dims());
}

// A second one, whichever way it is made of the first, does not share its elements.
TEST(Dims, AreValuesLikeVectors) {
  EXPECT_TRUE(rc::check([](const Vector& first, const Vector& second) {
    const Dims source(first);
    Dims copy(source);
    Dims assigned(second);
    assigned = copy;
    RC_ASSERT(content(assigned) == first);
    assigned = *&assigned;
    Dims moved(std::move(copy));
    copy = Dims(second);
    std::swap(copy, assigned);
    RC_ASSERT(content(copy) == first && content(assigned) == second && content(moved) == first);

    Vector expected = first;
    for (const std::int64_t value : second) {
      moved.push_back(value);
      expected.push_back(value);
      moved.reserve(static_cast<std::size_t>(value & 7));
      RC_ASSERT(content(moved) == expected && moved.back() == value);
    }
    for (std::size_t d = 0; d < moved.size(); ++d) moved[d] = expected[d] = static_cast<std::int64_t>(d);
    RC_ASSERT(content(moved) == expected && content(source) == first);
    RC_ASSERT(moved.empty() == expected.empty());
  }));
}

}  // namespace
}  // namespace milepost
